import {
  type EvaluationOptions,
  type EvaluationOutcome,
  evaluatePromotions,
} from '../../functions/promotion/evaluate-promotions.ts';
import type { OfferNotice } from '../../functions/promotion/notify-offers.ts';
import { defaultPromotionPolicy } from '../../functions/promotion/promotion-policy.ts';
import type { RegistryExecutor } from '../../functions/registry/data-api.ts';
import { listDecisions } from '../../functions/registry/decisions.ts';
import { listOffers } from '../../functions/registry/offers.ts';
import { MeteredWorld } from './metered-world.ts';

export const FIRST_PAGE = { limit: 50, cursor: undefined };

/** Half past two today: these registries' clocks are this machine's. */
export const today = () => `${new Date().toISOString().slice(0, 10)}T02:30:00.000Z`;
export const daysFromToday = (days: number) => new Date(Date.parse(today()) + days * 86_400_000);

/** A registry with tenants and their samples, and the daily run on it. Each test has the tenants to itself. */
export class Evaluation {
  readonly world: MeteredWorld;
  /** What people were told, and what went wrong, in the running test. */
  notices: OfferNotice[] = [];
  failures: unknown[] = [];

  private constructor(world: MeteredWorld) {
    this.world = world;
  }

  static async create(): Promise<Evaluation> {
    const world = await MeteredWorld.create();
    await world.addCell('us-1');
    return new Evaluation(world);
  }

  /** Whoever an earlier test left behind has nothing to do with the next. */
  async forget(): Promise<void> {
    [this.notices, this.failures] = [[], []];
    await this.world.registry.query(`UPDATE tenants SET status = 'offboarded' WHERE status <> 'offboarded'`);
    await this.world.registry.query(
      `UPDATE tenant_moves SET status = 'succeeded', finished_at = now() WHERE status = 'running'`,
    );
  }

  /** What a move leaves in the registry when it has been requested; nothing moves here. */
  readonly startMove = async (
    request: { tenantId: string; targetTier: string },
    registry: RegistryExecutor = this.world.registry,
  ): Promise<string> => {
    const [row] = await registry.query<{ move_id: string }>(
      `INSERT INTO tenant_moves (tenant_id, input, plan, started_by)
       VALUES (:tenantId::uuid, jsonb_build_object('targetTier', :targetTier::text), '[]', 'test')
       RETURNING move_id::text AS move_id`,
      request,
    );
    return row!.move_id;
  };

  run(options: Partial<EvaluationOptions> = {}): Promise<EvaluationOutcome> {
    return evaluatePromotions(this.world.registry, {
      region: 'us',
      policy: defaultPromotionPolicy,
      actor: { id: 'promotion', type: 'system' },
      at: new Date(today()),
      deadline: performance.now() + 60_000,
      startPromotion: (request) => this.startMove(request),
      publish: async (notice) => void this.notices.push(notice),
      onFailure: (failure) => this.failures.push(failure),
      ...options,
    });
  }

  async addSample(
    tenantId: string,
    {
      users = 1,
      daysAgo = 0,
      revenue = null,
    }: { users?: number; daysAgo?: number; revenue?: number | null } = {},
  ): Promise<void> {
    await this.world.registry.query(
      `INSERT INTO usage_samples (tenant_id, sampled_on, active_users, active_employees, storage_bytes, monthly_revenue)
       VALUES (:tenantId::uuid, :day::date, :users::integer, 1, 1000, :revenue::numeric)`,
      { tenantId, users, revenue, day: daysFromToday(-daysAgo).toISOString().slice(0, 10) },
    );
  }

  /** A Starter tenant with so many users today. */
  async starter(users: number): Promise<string> {
    const { tenantId } = await this.world.addTenant('shared', 'us-1');
    await this.addSample(tenantId, { users });
    return tenantId;
  }

  /** A Business tenant with a requirement that a schema does not satisfy. */
  async regulated(): Promise<string> {
    const complianceRequirements = ['soc2', 'hipaa'];
    const { tenantId } = await this.world.addTenant('schema', 'us-1', { complianceRequirements });
    await this.addSample(tenantId);
    return tenantId;
  }

  /** @param assignment of columns of `tenants`. */
  async change(tenantId: string, assignment: string): Promise<void> {
    await this.world.registry.query(`UPDATE tenants SET ${assignment} WHERE tenant_id = :tenantId::uuid`, {
      tenantId,
    });
  }

  /** A move that ended, as its hops tell it. */
  async addPastMove(
    tenantId: string,
    from: string,
    to: string,
    { daysAgo, state = 'cleaned' }: { daysAgo: number; state?: string },
  ): Promise<void> {
    const at = daysFromToday(-daysAgo).toISOString();
    await this.world.registry.query(
      `WITH m AS (
         INSERT INTO tenant_moves (tenant_id, input, plan, started_by, status, started_at, finished_at)
         VALUES (:tenantId::uuid, '{}', '[]', 'test', :status, :at::timestamptz, :at::timestamptz) RETURNING move_id)
       INSERT INTO tenant_move_hops (move_id, hop_index, tenant_id, kind, source, target, state, suffix)
       SELECT m.move_id, 0, :tenantId::uuid, 'reshape', jsonb_build_object('isolationModel', :from::text),
              jsonb_build_object('isolationModel', :to::text), :state, m.move_id::text FROM m`,
      { tenantId, from, to, at, state, status: state === 'rolled-back' ? 'failed' : 'succeeded' },
    );
  }

  /** Newest first. */
  async decisionsOf(tenantId: string) {
    return (await listDecisions(this.world.registry, tenantId, FIRST_PAGE)).items;
  }

  /** `decision: rule, rule` of each decision, newest first. */
  async told(tenantId: string): Promise<string[]> {
    return (await this.decisionsOf(tenantId)).map(
      ({ decision, reasons }) => `${decision}: ${reasons.map(({ rule }) => rule).join(', ')}`,
    );
  }

  async offersOf(tenantId: string) {
    return (await listOffers(this.world.registry, tenantId, FIRST_PAGE)).items;
  }
}
