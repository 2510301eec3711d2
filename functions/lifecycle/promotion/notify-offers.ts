import type { RegistryExecutor } from '../../registry/data-api.ts';
import type { Reason } from './decide.ts';

/** What people are told of an offer. */
export interface OfferNotice {
  readonly subject: string;
  readonly message: string;
}

/** Sends a notice. @throws when it was not accepted. */
export type PublishNotice = (notice: OfferNotice) => Promise<void>;

interface Row {
  readonly offer_id: string;
  readonly tenant_id: string;
  readonly tenant_name: string;
  readonly tenant_slug: string;
  readonly target_tier: string;
  readonly reasons: string;
}

/**
 * Tells of every open offer that nobody was told of. One whose notice fails is told of by the next run; where the run
 * dies between notice and note, it is told of twice.
 * @returns the offers whose notice failed, with the errors.
 * @throws {RegistryError}
 */
export async function notifyOffers(
  registry: RegistryExecutor,
  publish: PublishNotice,
): Promise<{ offerId: string; tenantId: string; error: unknown }[]> {
  const rows = await registry.query<Row>(
    `SELECT o.offer_id::text AS offer_id, o.tenant_id::text AS tenant_id, t.tenant_name, t.tenant_slug,
            o.target_tier, o.reasons::text AS reasons
     FROM tenant_offers o JOIN tenants t ON t.tenant_id = o.tenant_id
     WHERE o.status = 'open' AND o.notified_at IS NULL AND t.status NOT IN ('arriving', 'elsewhere')
     ORDER BY o.created_at, o.offer_id`,
  );
  const failed: { offerId: string; tenantId: string; error: unknown }[] = [];
  for (const row of rows) {
    try {
      await publish(noticeOf(row));
      await registry.query(
        `UPDATE tenant_offers SET notified_at = now(), updated_at = now()
         WHERE offer_id = :offerId::uuid AND notified_at IS NULL`,
        { offerId: row.offer_id },
      );
    } catch (error) {
      failed.push({ offerId: row.offer_id, tenantId: row.tenant_id, error });
    }
  }
  return failed;
}

function noticeOf(row: Row): OfferNotice {
  const offer = `/tenants/${row.tenant_id}/offers/${row.offer_id}`;
  // A name with line breaks could forge lines of the message, such as another link.
  const name = row.tenant_name.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, ' ');
  const reasons = (JSON.parse(row.reasons) as Reason[]).map(({ detail }) => `- ${detail}`);
  return {
    subject: `Strata: ${row.tenant_slug} should be offered ${row.target_tier}`,
    message: [
      `${name} (${row.tenant_slug}) has outgrown its tier and is offered ${row.target_tier}:`,
      ...reasons,
      '',
      `Accept: POST ${offer}/accept`,
      `Decline: POST ${offer}/decline`,
    ].join('\n'),
  };
}
