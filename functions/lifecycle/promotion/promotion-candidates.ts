import { FIRST_EPOCH } from '../../placement/tenant-names.ts';
import type { RegistryExecutor } from '../../registry/data-api.ts';
import { isNotOnward } from '../../registry/onward-move.ts';
import type { TenantStatus, Tier } from '../../registry/tenant-record.ts';
import type { Decision } from './decide.ts';
import type { PromotionFigures, Sample } from './figures.ts';

/** A tenant that is decided upon, with its figures, and what was recorded last. */
export interface Candidate {
  readonly tenantId: string;
  readonly figures: Omit<PromotionFigures, 'at' | 'runningMoves'>;
  readonly previous: PreviousDecision | null;
}

export interface PreviousDecision {
  readonly decision: Decision['decision'];
  readonly targetTier: string | null;
  readonly rules: readonly string[];
  /** RFC 3339 UTC. */
  readonly decidedAt: string;
}

interface Row {
  readonly tenant_id: string;
  readonly subscription_tier: Tier;
  readonly status: TenantStatus;
  readonly compliance_requirements: string | null;
  readonly max_storage_gb: number | null;
  readonly samples: string | null;
  readonly moving: boolean;
  readonly last_move: string | null;
  readonly moved_down: boolean | null;
  readonly open_offer: boolean;
  readonly declined_at: string | null;
  readonly previous: string | null;
}

const utc = (column: string): string =>
  `to_char(${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;

/** As a hop's source and target name it; a higher rank is more isolated. */
const rank = (place: string): string =>
  `array_position(ARRAY['shared', 'schema', 'dedicated'], ${place}->>'isolationModel')`;

const samples = `
  (SELECT json_agg(s) FROM (
     SELECT u.sampled_on AS "sampledOn", u.active_users AS "activeUsers", u.active_employees AS "activeEmployees",
            u.assessment_count AS "assessmentCount", u.storage_bytes AS "storageBytes",
            u.row_operations AS "rowOperations", u.monthly_revenue AS "monthlyRevenue"
     FROM usage_samples u WHERE u.tenant_id = t.tenant_id
     ORDER BY u.sampled_on DESC LIMIT :samples::integer) s)::text`;

/**
 * A move from another region is on record there; here it has left its time, which is when it wrote the routing row. That
 * row is younger than its tenant, which has moved before (its epoch has grown): one that was onboarded here has either
 * had the row since then, or moves of this registry that ended later.
 */
const lastMove = `
  (SELECT json_build_object('finishedAt', ${utc('ended.at')}, 'succeeded', ended.succeeded)
   FROM (SELECT m.finished_at AS at, m.status = 'succeeded' AS succeeded
         FROM tenant_moves m WHERE m.tenant_id = t.tenant_id AND m.finished_at IS NOT NULL
         UNION ALL
         SELECT r.created_at, true WHERE r.epoch > ${FIRST_EPOCH} AND r.created_at > t.created_at) AS ended
   ORDER BY ended.at DESC LIMIT 1)::text`;

/** Of the last move that changed what the tenant has. What came of a move is told by its hops that were committed. */
const movedDown = `
  (SELECT ${rank('(array_agg(h.target ORDER BY h.hop_index DESC))[1]')}
          < ${rank('(array_agg(h.source ORDER BY h.hop_index))[1]')}
   FROM tenant_moves m
   JOIN tenant_move_hops h ON h.move_id = m.move_id AND h.state IN ('committed', 'settled', 'cleaned')
   WHERE m.tenant_id = t.tenant_id AND ${isNotOnward('m')}
   GROUP BY m.move_id
   HAVING ${rank('(array_agg(h.target ORDER BY h.hop_index DESC))[1]')}
          <> ${rank('(array_agg(h.source ORDER BY h.hop_index))[1]')}
   ORDER BY m.started_at DESC LIMIT 1)`;

const previousDecision = `
  (SELECT json_build_object('decision', d.decision, 'targetTier', d.target_tier, 'decidedAt', ${utc('d.decided_at')},
            'rules', (SELECT json_agg(reason->>'rule') FROM jsonb_array_elements(d.reasons) AS reason))
   FROM promotion_decisions d WHERE d.tenant_id = t.tenant_id
   ORDER BY d.decided_at DESC, d.decision_id DESC LIMIT 1)::text`;

/**
 * The next tenants of the region to decide upon, by id.
 * @param samplesEach how many of the latest samples come with each.
 * @throws {RegistryError}
 */
export async function listCandidates(
  registry: RegistryExecutor,
  {
    region,
    after,
    limit,
    samplesEach,
  }: { region: string; after: string | undefined; limit: number; samplesEach: number },
): Promise<Candidate[]> {
  const rows = await registry.query<Row>(
    `SELECT t.tenant_id::text AS tenant_id, t.subscription_tier, t.status, t.max_storage_gb,
            t.compliance_requirements::text AS compliance_requirements, ${samples} AS samples,
            EXISTS (SELECT FROM tenant_moves m WHERE m.tenant_id = t.tenant_id AND m.status = 'running') AS moving,
            ${lastMove} AS last_move, ${movedDown} AS moved_down,
            EXISTS (SELECT FROM tenant_offers o WHERE o.tenant_id = t.tenant_id AND o.status = 'open') AS open_offer,
            (SELECT ${utc('max(o.updated_at)')} FROM tenant_offers o
             WHERE o.tenant_id = t.tenant_id AND o.status = 'declined') AS declined_at,
            ${previousDecision} AS previous
     FROM tenants t JOIN tenant_database_routing r ON r.tenant_id = t.tenant_id
     WHERE t.status IN ('active', 'suspended') AND r.region = :region ${after ? 'AND t.tenant_id > :after::uuid' : ''}
     ORDER BY t.tenant_id LIMIT :limit::integer`,
    { region, limit, samples: samplesEach, ...(after ? { after } : {}) },
  );
  return rows.map(toCandidate);
}

/** How many moves run now, of whichever tenants. */
export async function countRunningMoves(registry: RegistryExecutor): Promise<number> {
  const [row] = await registry.query<{ running: number }>(
    `SELECT count(*)::integer AS running FROM tenant_moves WHERE status = 'running'`,
  );
  return row?.running ?? 0;
}

function toCandidate(row: Row): Candidate {
  const parse = <Value>(json: string | null): Value | null =>
    json === null ? null : (JSON.parse(json) as Value);
  return {
    tenantId: row.tenant_id,
    figures: {
      tier: row.subscription_tier,
      status: row.status,
      complianceRequirements: parse<string[]>(row.compliance_requirements) ?? [],
      storageLimitBytes: row.max_storage_gb === null ? null : row.max_storage_gb * 1024 ** 3,
      samples: parse<Sample[]>(row.samples) ?? [],
      moving: row.moving,
      lastMove: parse(row.last_move),
      movedDown: row.moved_down ?? false,
      openOffer: row.open_offer,
      declinedAt: row.declined_at,
    },
    previous: parse(row.previous),
  };
}
