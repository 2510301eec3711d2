import { type Expression, type RawBuilder, sql } from 'kysely';
import { IN_USE } from '../contracts/tenant.ts';
import { FIRST_EPOCH } from '../placement/tenant-names.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { isNoFollowUp } from '../registry/moves.ts';
import { type JsonText, parseJson, type TimeWithoutZone } from '../registry/registry-column.ts';
import { asText, latest, rfc3339 } from '../registry/registry-expressions.ts';
import { compilingOnly, registrySql } from '../registry/registry-sql.ts';
import type { Decision } from './decide.ts';
import type { PromotionFigures, Sample } from './figures.ts';

/** A tenant to decide for, with its figures and its last recorded decision. */
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

type Row = Awaited<ReturnType<typeof readCandidates>>[number];

/** Ranks the isolation model of a hop's source or target; a higher rank is more isolated. */
const rank = (place: RawBuilder<unknown>) =>
  sql`array_position(array['shared', 'schema', 'dedicated'], ${place} ->> 'isolationModel')`;

function latestSamples(tenantId: Expression<string>, samplesEach: number) {
  const samples = compilingOnly
    .selectFrom('usage_samples as u')
    .select(['u.sampled_on as sampledOn', 'u.active_users as activeUsers'])
    .select(['u.active_employees as activeEmployees', 'u.assessment_count as assessmentCount'])
    .select(['u.storage_bytes as storageBytes', 'u.row_operations as rowOperations'])
    .select('u.monthly_revenue as monthlyRevenue')
    .where('u.tenant_id', '=', tenantId)
    .orderBy('u.sampled_on', 'desc')
    .limit(samplesEach);
  return asText(sql<JsonText<Sample[]> | null>`(select json_agg(s) from ${samples} as s)`);
}

/**
 * For a tenant that came from another region. Its move is recorded in that region; here only the routing row, which the
 * move wrote, has the time. That row is then younger than its tenant, and the tenant has moved before (its epoch has
 * grown). A tenant that was onboarded here has had the row since then, or has later moves in this registry. For
 * `tenants as t` and its route as `r`.
 */
const lastMove = asText(sql<JsonText<{ finishedAt: string; succeeded: boolean }> | null>`
  (select json_build_object('finishedAt', ${rfc3339(sql<TimeWithoutZone>`ended.at`, 'MS')},
                            'succeeded', ended.succeeded)
   from (select m.finished_at as at, m.status = 'succeeded' as succeeded
         from tenant_moves as m where m.tenant_id = t.tenant_id and m.finished_at is not null
         union all
         select r.created_at, true where r.epoch > ${sql.lit(FIRST_EPOCH)} and r.created_at > t.created_at) as ended
   order by ended.at desc limit 1)`);

const firstSource = rank(sql`(array_agg(h.source order by h.hop_index))[1]`);
const lastTarget = rank(sql`(array_agg(h.target order by h.hop_index desc))[1]`);

/** The last move that changed the tenant's isolation model. The committed hops decide what a move did. */
const movedDown = (tenantId: Expression<string>) =>
  compilingOnly
    .selectFrom('tenant_moves as m')
    .innerJoin('tenant_move_hops as h', (join) =>
      join.onRef('h.move_id', '=', 'm.move_id').on('h.state', 'in', ['committed', 'settled', 'cleaned']),
    )
    .select(sql<boolean>`${lastTarget} < ${firstSource}`.as('moved_down'))
    .where('m.tenant_id', '=', tenantId)
    .where((eb) => isNoFollowUp(eb.ref('m.execution_arn')))
    .groupBy('m.move_id')
    .having(sql<boolean>`${lastTarget} <> ${firstSource}`)
    .orderBy('m.started_at', 'desc')
    .limit(1);

/** For `tenants as t`. */
const previousDecision = asText(sql<JsonText<PreviousDecision> | null>`
  (select json_build_object('decision', d.decision, 'targetTier', d.target_tier,
            'decidedAt', ${rfc3339(sql<TimeWithoutZone>`d.decided_at`, 'MS')},
            'rules', (select json_agg(reason ->> 'rule') from jsonb_array_elements(d.reasons) as reason))
   from promotion_decisions as d where d.tenant_id = t.tenant_id
   order by d.decided_at desc, d.decision_id desc limit 1)`);

interface CandidatePage {
  readonly region: string;
  readonly after: string | undefined;
  readonly limit: number;
  readonly samplesEach: number;
}

function readCandidates(registry: RegistryExecutor, { region, after, limit, samplesEach }: CandidatePage) {
  return registrySql(registry)
    .selectFrom('tenants as t')
    .innerJoin('tenant_database_routing as r', 'r.tenant_id', 't.tenant_id')
    .select(['t.tenant_id', 't.subscription_tier', 't.status', 't.max_storage_gb'])
    .select(['t.compliance_requirements'])
    .select((eb) => [
      latestSamples(eb.ref('t.tenant_id'), samplesEach).as('samples'),
      eb
        .exists(
          eb
            .selectFrom('tenant_moves as m')
            .select('m.move_id')
            .whereRef('m.tenant_id', '=', 't.tenant_id')
            .where('m.status', '=', 'running'),
        )
        .$castTo<boolean>()
        .as('moving'),
      lastMove.as('last_move'),
      movedDown(eb.ref('t.tenant_id')).as('moved_down'),
      eb
        .exists(
          eb
            .selectFrom('tenant_offers as o')
            .select('o.offer_id')
            .whereRef('o.tenant_id', '=', 't.tenant_id')
            .where('o.status', '=', 'open'),
        )
        .$castTo<boolean>()
        .as('open_offer'),
      eb
        .selectFrom('tenant_offers as o')
        .select((each) => rfc3339(latest(each.ref('o.updated_at')), 'MS').as('declined_at'))
        .whereRef('o.tenant_id', '=', 't.tenant_id')
        .where('o.status', '=', 'declined')
        .as('declined_at'),
      previousDecision.as('previous'),
    ])
    .where('t.status', 'in', IN_USE)
    .where('t.clone_of', 'is', null)
    .where('r.region', '=', region)
    .$if(after !== undefined, (tenants) => tenants.where('t.tenant_id', '>', after as string))
    .orderBy('t.tenant_id')
    .limit(limit)
    .execute();
}

/**
 * The next tenants of the region to decide for, by id.
 * @param samplesEach how many of the latest samples to read for each.
 * @throws {RegistryError}
 */
export async function listCandidates(registry: RegistryExecutor, page: CandidatePage): Promise<Candidate[]> {
  const rows = await readCandidates(registry, page);
  return rows.map(toCandidate);
}

/** Number of running moves, of all tenants. */
export async function countRunningMoves(registry: RegistryExecutor): Promise<number> {
  const row = await registrySql(registry)
    .selectFrom('tenant_moves')
    .select((eb) => eb.fn.countAll<number>().as('running'))
    .where('status', '=', 'running')
    .executeTakeFirst();
  return row?.running ?? 0;
}

function toCandidate(row: Row): Candidate {
  const parse = <Value>(json: JsonText<Value> | null): Value | null =>
    json === null ? null : parseJson(json);
  return {
    tenantId: row.tenant_id,
    figures: {
      tier: row.subscription_tier,
      status: row.status,
      complianceRequirements: parse(row.compliance_requirements) ?? [],
      storageLimitBytes: row.max_storage_gb === null ? null : row.max_storage_gb * 1024 ** 3,
      samples: parse(row.samples) ?? [],
      moving: row.moving,
      lastMove: parse(row.last_move),
      movedDown: row.moved_down ?? false,
      openOffer: row.open_offer,
      declinedAt: row.declined_at,
    },
    previous: parse(row.previous),
  };
}
