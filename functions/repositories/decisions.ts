import type { RegistryExecutor } from '../registry/data-api.ts';
import { type PageRequest, readCursor } from './keyset-page.ts';
import { pageOfBoundedRows, readBoundedRows } from './registry-page.ts';
import { getTenant } from './tenants.ts';

/** What the daily run decided about a tenant's tier, and why. */
export interface PromotionDecision {
  readonly decisionId: string;
  readonly tenantId: string;
  readonly decision: 'keep' | 'promote' | 'defer' | 'offer';
  readonly targetTier: 'business' | 'enterprise' | null;
  readonly reasons: readonly { readonly rule: string; readonly detail: string }[];
  /** The figures that led to it. */
  readonly figures: Record<string, unknown>;
  /** The move that a promotion started. */
  readonly moveId: string | null;
  readonly offerId: string | null;
  readonly decidedAt: string;
}

interface Row {
  readonly decision_id: string;
  readonly tenant_id: string;
  readonly decision: PromotionDecision['decision'];
  readonly target_tier: PromotionDecision['targetTier'];
  readonly reasons: string;
  readonly figures: string;
  readonly move_id: string | null;
  readonly offer_id: string | null;
  readonly decided_at: string;
}

/** One page of the decisions about the tenant, newest first. @throws {ResourceNotFound | InvalidCursor} */
export async function listDecisions(registry: RegistryExecutor, tenantReference: string, page: PageRequest) {
  const { tenantId } = await getTenant(registry, tenantReference);
  const position = page.cursor === undefined ? undefined : readCursor(page.cursor);
  const select = `SELECT decision_id::text AS decision_id, tenant_id::text AS tenant_id, decision, target_tier,
            reasons::text AS reasons, figures::text AS figures, move_id::text AS move_id, offer_id::text AS offer_id,
            to_char(decided_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS decided_at
     FROM promotion_decisions
     WHERE tenant_id = :tenantId::uuid
       ${position ? 'AND (promotion_decisions.decided_at, promotion_decisions.decision_id) < (:time::timestamptz, :id::uuid)' : ''}
     ORDER BY promotion_decisions.decided_at DESC, promotion_decisions.decision_id DESC LIMIT :rows::integer`;
  const rows = await readBoundedRows<Row>(
    registry,
    { select, order: 'decided_at DESC, decision_id DESC', parameters: { tenantId, ...position } },
    page,
  );
  const positionOf = (row: Row) => ({ time: row.decided_at, id: row.decision_id });
  return pageOfBoundedRows(rows, page, positionOf, toDecision);
}

function toDecision(row: Row): PromotionDecision {
  return {
    decisionId: row.decision_id,
    tenantId: row.tenant_id,
    decision: row.decision,
    targetTier: row.target_tier,
    reasons: JSON.parse(row.reasons),
    figures: JSON.parse(row.figures),
    moveId: row.move_id,
    offerId: row.offer_id,
    decidedAt: row.decided_at,
  };
}
