import { type InferResult, sql } from 'kysely';
import { type PageRequest, readCursor } from '../resources/keyset-page.ts';
import type { RegistryExecutor } from './data-api.ts';
import { parseJson } from './registry-column.ts';
import { asText, columnValue, rfc3339 } from './registry-expressions.ts';
import { pageOfBoundedRows, readBoundedRows } from './registry-page.ts';
import { compilingOnly } from './registry-sql.ts';
import { getTenant } from './tenant-record.ts';

/** A decision of the daily run about a tenant's tier, with its reasons. */
export interface PromotionDecision {
  readonly decisionId: string;
  readonly tenantId: string;
  readonly decision: 'keep' | 'promote' | 'defer' | 'offer';
  readonly targetTier: 'business' | 'enterprise' | null;
  readonly reasons: readonly { readonly rule: string; readonly detail: string }[];
  /** The figures behind it. */
  readonly figures: Record<string, unknown>;
  /** The move that a promotion started. */
  readonly moveId: string | null;
  readonly offerId: string | null;
  readonly decidedAt: string;
}

const selectDecisions = () =>
  compilingOnly
    .selectFrom('promotion_decisions as d')
    .select(['d.decision_id', 'd.tenant_id', 'd.decision', 'd.target_tier', 'd.move_id', 'd.offer_id'])
    .select((eb) => [
      asText(eb.ref('d.reasons')).as('reasons'),
      asText(eb.ref('d.figures')).as('figures'),
      rfc3339(eb.ref('d.decided_at')).as('decided_at'),
    ]);

type Row = InferResult<ReturnType<typeof selectDecisions>>[number];

/** One page of the decisions about the tenant, newest first. @throws {ResourceNotFound | InvalidCursor} */
export async function listDecisions(registry: RegistryExecutor, tenantReference: string, page: PageRequest) {
  const { tenantId } = await getTenant(registry, tenantReference);
  const position = page.cursor === undefined ? undefined : readCursor(page.cursor);
  const decisions = selectDecisions()
    .where('d.tenant_id', '=', tenantId)
    .orderBy('d.decided_at', 'desc')
    .orderBy('d.decision_id', 'desc');
  const select = position
    ? decisions.where((eb) =>
        eb(
          eb.refTuple('d.decided_at', 'd.decision_id'),
          '<',
          eb.tuple(columnValue('promotion_decisions.decided_at', position.time), position.id),
        ),
      )
    : decisions;
  const order = sql`decided_at desc, decision_id desc`;
  const rows = await readBoundedRows(registry, { select, order }, page);
  const positionOf = (row: Row) => ({ time: row.decided_at, id: row.decision_id });
  return pageOfBoundedRows(rows, page, positionOf, toDecision);
}

function toDecision(row: Row): PromotionDecision {
  return {
    decisionId: row.decision_id,
    tenantId: row.tenant_id,
    decision: row.decision,
    targetTier: row.target_tier,
    reasons: parseJson(row.reasons),
    figures: parseJson(row.figures),
    moveId: row.move_id,
    offerId: row.offer_id,
    decidedAt: row.decided_at,
  };
}
