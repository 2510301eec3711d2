import { type InferResult, sql } from 'kysely';
import { ResourceNotFound } from '../resources/errors.ts';
import { type PageRequest, readCursor } from '../resources/keyset-page.ts';
import { type AuditActor, recordAudit } from './audit-log.ts';
import type { RegistryExecutor } from './data-api.ts';
import { parseJson } from './registry-column.ts';
import { asText, columnValue, rfc3339 } from './registry-expressions.ts';
import { pageOfBoundedRows, readBoundedRows } from './registry-page.ts';
import { compilingOnly, type RegistrySql, registrySql } from './registry-sql.ts';
import { getTenant } from './tenant-record.ts';

export interface NewOffer {
  readonly tenantId: string;
  readonly targetTier: 'business' | 'enterprise';
  /** Why the tenant is offered the tier: the rule and the figures in words. */
  readonly reasons: readonly { readonly rule: string; readonly detail: string }[];
  /**
   * The figures behind it. `tier` is the tenant's current one: the offer is withdrawn when the tenant has another one.
   */
  readonly figures: Readonly<Record<string, unknown>>;
}

/**
 * Makes an offer, with its line in the audit log. A tenant has at most one open offer of a tier.
 * @returns its id; undefined when one is open already.
 */
export async function insertOffer(
  transaction: RegistryExecutor,
  { tenantId, targetTier, reasons, figures }: NewOffer,
  actor: AuditActor,
): Promise<string | undefined> {
  const offer = await registrySql(transaction)
    .insertInto('tenant_offers')
    .values({ tenant_id: tenantId, target_tier: targetTier, reasons, figures })
    // A literal, because it must equal the condition of the unique index.
    .onConflict((row) =>
      row.columns(['tenant_id', 'target_tier']).where('status', '=', sql.lit('open')).doNothing(),
    )
    .returning('offer_id')
    .executeTakeFirst();
  if (!offer) return undefined;
  await recordAudit(transaction, {
    actor,
    action: 'offer.make',
    tenantId,
    resource: { type: 'offer', id: offer.offer_id },
    data: { targetTier, rules: reasons.map(({ rule }) => rule) },
  });
  return offer.offer_id;
}

/** An offer of a tier. No tenant moves before it is accepted. */
export interface Offer {
  readonly offerId: string;
  readonly tenantId: string;
  readonly targetTier: 'business' | 'enterprise';
  readonly status: 'open' | 'accepted' | 'declined' | 'withdrawn';
  readonly reasons: readonly { readonly rule: string; readonly detail: string }[];
  /** The figures behind it. */
  readonly figures: Record<string, unknown>;
  /** The move that its acceptance started. */
  readonly moveId: string | null;
  /** Who accepted, declined or withdrew it. */
  readonly decidedBy: string | null;
  readonly notifiedAt: string | null;
  readonly createdAt: string;
  readonly updatedAt: string;
}

const selectOffers = (db: RegistrySql) =>
  db
    .selectFrom('tenant_offers as o')
    .select(['o.offer_id', 'o.tenant_id', 'o.target_tier', 'o.status', 'o.move_id', 'o.decided_by'])
    .select((eb) => [
      asText(eb.ref('o.reasons')).as('reasons'),
      asText(eb.ref('o.figures')).as('figures'),
      rfc3339(eb.ref('o.notified_at')).as('notified_at'),
      rfc3339(eb.ref('o.created_at')).as('created_at'),
      rfc3339(eb.ref('o.updated_at')).as('updated_at'),
    ]);

type Row = InferResult<ReturnType<typeof selectOffers>>[number];

/** One page of the tenant's offers, newest first. @throws {ResourceNotFound | InvalidCursor} */
export async function listOffers(registry: RegistryExecutor, tenantReference: string, page: PageRequest) {
  const { tenantId } = await getTenant(registry, tenantReference);
  const position = page.cursor === undefined ? undefined : readCursor(page.cursor);
  const offers = selectOffers(compilingOnly)
    .where('o.tenant_id', '=', tenantId)
    .orderBy('o.created_at', 'desc')
    .orderBy('o.offer_id', 'desc');
  const select = position
    ? offers.where((eb) =>
        eb(
          eb.refTuple('o.created_at', 'o.offer_id'),
          '<',
          eb.tuple(columnValue('tenant_offers.created_at', position.time), position.id),
        ),
      )
    : offers;
  const order = sql`created_at desc, offer_id desc`;
  const rows = await readBoundedRows(registry, { select, order }, page);
  const positionOf = (row: Row) => ({ time: row.created_at, id: row.offer_id });
  return pageOfBoundedRows(rows, page, positionOf, toOffer);
}

/** @throws {ResourceNotFound} */
export async function getOffer(
  registry: RegistryExecutor,
  tenantId: string,
  offerId: string,
  { lock = false }: { lock?: boolean } = {},
): Promise<Offer> {
  const row = await selectOffers(registrySql(registry))
    .where('o.tenant_id', '=', tenantId)
    .where('o.offer_id', '=', offerId)
    .$if(lock, (offer) => offer.forUpdate())
    .executeTakeFirst();
  if (!row) throw new ResourceNotFound('no such offer');
  return toOffer(row);
}

function toOffer(row: Row): Offer {
  return {
    offerId: row.offer_id,
    tenantId: row.tenant_id,
    targetTier: row.target_tier,
    status: row.status,
    reasons: parseJson(row.reasons),
    figures: parseJson(row.figures),
    moveId: row.move_id,
    decidedBy: row.decided_by,
    notifiedAt: row.notified_at,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}
