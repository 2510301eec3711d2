import type { RegistryExecutor } from '../registry/data-api.ts';
import { ResourceNotFound } from './errors.ts';
import { type PageRequest, readCursor } from './keyset-page.ts';
import { pageOfBoundedRows, readBoundedRows } from './registry-page.ts';
import { getTenant } from './tenants.ts';

/** A tier that a tenant is offered. Nobody is moved before it is accepted. */
export interface Offer {
  readonly offerId: string;
  readonly tenantId: string;
  readonly targetTier: 'business' | 'enterprise';
  readonly status: 'open' | 'accepted' | 'declined' | 'withdrawn';
  readonly reasons: readonly { readonly rule: string; readonly detail: string }[];
  /** The figures that led to it. */
  readonly figures: Record<string, unknown>;
  /** The move that accepting it started. */
  readonly moveId: string | null;
  /** Who accepted, declined or withdrew it. */
  readonly decidedBy: string | null;
  readonly notifiedAt: string | null;
  readonly createdAt: string;
  readonly updatedAt: string;
}

interface Row {
  readonly offer_id: string;
  readonly tenant_id: string;
  readonly target_tier: Offer['targetTier'];
  readonly status: Offer['status'];
  readonly reasons: string;
  readonly figures: string;
  readonly move_id: string | null;
  readonly decided_by: string | null;
  readonly notified_at: string | null;
  readonly created_at: string;
  readonly updated_at: string;
}

const utc = (column: string): string =>
  `to_char(${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS ${column}`;
const COLUMNS = `offer_id::text AS offer_id, tenant_id::text AS tenant_id, target_tier, status, reasons::text AS reasons,
  figures::text AS figures, move_id::text AS move_id, decided_by, ${utc('notified_at')}, ${utc('created_at')},
  ${utc('updated_at')}`;

/** One page of the tenant's offers, newest first. @throws {ResourceNotFound | InvalidCursor} */
export async function listOffers(registry: RegistryExecutor, tenantReference: string, page: PageRequest) {
  const { tenantId } = await getTenant(registry, tenantReference);
  const position = page.cursor === undefined ? undefined : readCursor(page.cursor);
  const select = `SELECT ${COLUMNS} FROM tenant_offers
     WHERE tenant_id = :tenantId::uuid
       ${position ? 'AND (tenant_offers.created_at, tenant_offers.offer_id) < (:time::timestamptz, :id::uuid)' : ''}
     ORDER BY tenant_offers.created_at DESC, tenant_offers.offer_id DESC LIMIT :rows::integer`;
  const rows = await readBoundedRows<Row>(
    registry,
    { select, order: 'created_at DESC, offer_id DESC', parameters: { tenantId, ...position } },
    page,
  );
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
  const [row] = await registry.query<Row>(
    `SELECT ${COLUMNS} FROM tenant_offers
     WHERE tenant_id = :tenantId::uuid AND offer_id = :offerId::uuid ${lock ? 'FOR UPDATE' : ''}`,
    { tenantId, offerId },
  );
  if (!row) throw new ResourceNotFound('no such offer');
  return toOffer(row);
}

function toOffer(row: Row): Offer {
  return {
    offerId: row.offer_id,
    tenantId: row.tenant_id,
    targetTier: row.target_tier,
    status: row.status,
    reasons: JSON.parse(row.reasons),
    figures: JSON.parse(row.figures),
    moveId: row.move_id,
    decidedBy: row.decided_by,
    notifiedAt: row.notified_at,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}
