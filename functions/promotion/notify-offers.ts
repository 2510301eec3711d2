import type { RegistryExecutor } from '../registry/data-api.ts';
import { parseJson } from '../registry/registry-column.ts';
import { now } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';

/** The content of a notice about an offer. */
export interface OfferNotice {
  readonly subject: string;
  readonly message: string;
}

/** Sends a notice. @throws when the notice was not accepted. */
export type PublishNotice = (notice: OfferNotice) => Promise<void>;

type Row = Awaited<ReturnType<typeof offersToTell>>[number];

/**
 * Sends a notice for every open offer that has none yet. The next run repeats a failed notice. When the run dies
 * between the notice and its record, the notice is sent twice.
 * @returns the offers whose notice failed, with the errors.
 * @throws {RegistryError}
 */
export async function notifyOffers(
  registry: RegistryExecutor,
  publish: PublishNotice,
): Promise<{ offerId: string; tenantId: string; error: unknown }[]> {
  const rows = await offersToTell(registry);
  const failed: { offerId: string; tenantId: string; error: unknown }[] = [];
  for (const row of rows) {
    try {
      await publish(noticeOf(row));
      await registrySql(registry)
        .updateTable('tenant_offers')
        .set({ notified_at: now, updated_at: now })
        .where('offer_id', '=', row.offer_id)
        .where('notified_at', 'is', null)
        .execute();
    } catch (error) {
      failed.push({ offerId: row.offer_id, tenantId: row.tenant_id, error });
    }
  }
  return failed;
}

function offersToTell(registry: RegistryExecutor) {
  return registrySql(registry)
    .selectFrom('tenant_offers as o')
    .innerJoin('tenants as t', 't.tenant_id', 'o.tenant_id')
    .select(['o.offer_id', 'o.tenant_id', 't.tenant_name', 't.tenant_slug', 'o.target_tier', 'o.reasons'])
    .where('o.status', '=', 'open')
    .where('o.notified_at', 'is', null)
    .where('t.status', 'not in', ['arriving', 'elsewhere'])
    .orderBy('o.created_at')
    .orderBy('o.offer_id')
    .execute();
}

function noticeOf(row: Row): OfferNotice {
  const offer = `/tenants/${row.tenant_id}/offers/${row.offer_id}`;
  // A name with line breaks could forge lines of the message, such as another link.
  const name = row.tenant_name.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, ' ');
  const reasons = parseJson(row.reasons).map(({ detail }) => `- ${detail}`);
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
