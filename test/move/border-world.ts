import type { Tier } from '../../functions/contracts/tenant.ts';
import { beginMove } from '../../functions/moves/begin-move.ts';
import { endMove } from '../../functions/moves/end-move.ts';
import type { Hop, Regions } from '../../functions/moves/hop.ts';
import { openPhase } from '../../functions/moves/hop-context.ts';
import { findMove } from '../../functions/moves/move-records.ts';
import { nextHop } from '../../functions/moves/next-hop.ts';
import { followHop } from '../../functions/moves/settle-hop.ts';
import { alive, arn, far, MoveRegistry, operator, type TenantSettings } from './move-registry.ts';

const KEYS = ['us', 'eu', 'apac'] as const;
export type Key = (typeof KEYS)[number];

export interface Crossing {
  readonly tenantId: string;
  readonly moveId: string;
  readonly hop: Hop;
}

/** Three regions, each with a registry and a cell; home is `us`. */
export class BorderWorld {
  readonly #registries: Readonly<Record<Key, MoveRegistry>>;
  #moves = 0;

  private constructor(registries: Readonly<Record<Key, MoveRegistry>>) {
    this.#registries = registries;
  }

  static async create(): Promise<BorderWorld> {
    const [us, eu, apac] = await Promise.all([
      MoveRegistry.create(),
      MoveRegistry.create(),
      MoveRegistry.create(),
    ]);
    const world = new BorderWorld({ us, eu, apac });
    await world.#addCells();
    return world;
  }

  /** As it was when it was created. */
  async clear(): Promise<void> {
    await Promise.all(KEYS.map((key) => this.in(key).clear()));
    await this.#addCells();
  }

  async #addCells(): Promise<void> {
    for (const key of KEYS) await this.in(key).addCell(`${key}-1`, { region: key, dataResidency: key });
  }

  /** The same world by other connections, for what happens at once. */
  async beside(): Promise<BorderWorld> {
    const [us, eu, apac] = await Promise.all(KEYS.map((key) => this.in(key).beside()));
    return new BorderWorld({ us: us!, eu: eu!, apac: apac! });
  }

  in(key: Key): MoveRegistry {
    return this.#registries[key];
  }

  seenFrom(ownKey: Key): Regions {
    return {
      ownKey,
      keys: KEYS,
      awsRegionOf: (key) => `${key}-aws`,
      of: (key) => this.in(key as Key).registry as never,
    };
  }

  /** A tenant of `us`. */
  addTenant(settings: TenantSettings = { tier: 'business' }): Promise<string> {
    return this.in('us').addTenant({ cellId: 'us-1', ...settings });
  }

  /** Begins a move, and opens none of its hops. @returns the move's id. */
  async begin(tenantId: string, from: Key, to: Key, regions = this.seenFrom(from)): Promise<string> {
    const { registry } = this.in(from);
    const probes = { ...alive, regions };
    this.#moves += 1;
    const executionArn = arn(`${this.#moves}-of-${tenantId}`);
    const { moveId } = await beginMove(registry, { tenantId, targetResidency: to }, executionArn, probes);
    return moveId;
  }

  /** Settles the hops that lie before the one over the border. @returns that one's index. */
  async approach(moveId: string, from: Key): Promise<number> {
    const { registry } = this.in(from);
    const border = (await findMove(registry, moveId))!.plan.length - 1;
    for (let index = 0; index < border; index++) {
      await nextHop(registry, moveId, this.seenFrom(from));
      await this.in(from).settle(moveId, index);
    }
    return border;
  }

  /** Begins a move and opens its hop over the border; what lies before that in the plan is settled. */
  async cross(tenantId: string, from: Key, to: Key): Promise<Crossing> {
    const { registry } = this.in(from);
    const moveId = await this.begin(tenantId, from, to);
    const hopIndex = await this.approach(moveId, from);
    await nextHop(registry, moveId, this.seenFrom(from));
    const step = await openPhase(registry, { moveId, hopIndex, phase: 'cut-over' }, far());
    await step.amendTarget({ secretArn: 'arn:aws:secretsmanager:eu-west-1:0:secret:s' });
    return { tenantId, moveId, hop: step.hop };
  }

  /** Hands over and settles a hop whose databases have committed. */
  async land({ moveId, hop }: Crossing, from: Key): Promise<void> {
    await followHop(this.in(from).registry, hop, { regions: this.seenFrom(from) });
    await this.#setState(from, moveId, 'settled');
  }

  /** What a workflow does once the databases have committed. */
  async arrive(crossing: Crossing, from: Key) {
    await this.land(crossing, from);
    return endMove(this.in(from).registry, crossing.moveId);
  }

  async move(tenantId: string, from: Key, to: Key) {
    return this.arrive(await this.cross(tenantId, from, to), from);
  }

  /** What is left to do where a tenant has come to, as a move of that region. */
  async startFollowUp(tenantId: string, { region, tier }: { readonly region: Key; readonly tier: Tier }) {
    const { registry } = this.in(region);
    const input = { tenantId, targetTier: tier, force: true };
    const { moveId } = await beginMove(registry, input, arn(`onward-${tenantId}`), alive);
    await nextHop(registry, moveId);
    await this.in(region).settle(moveId, 0);
    return endMove(registry, moveId);
  }

  /** Ends a move as after the roll back of its databases. */
  async giveUp({ moveId }: Crossing, from: Key): Promise<void> {
    const { registry } = this.in(from);
    await this.#setState(from, moveId, 'rolled-back');
    const end = { status: 'aborted', reason: 'The move was aborted.' } as const;
    const move = (await findMove(registry, moveId))!;
    await endMove(registry, move.moveId, { stopped: end, actor: operator, regions: this.seenFrom(from) });
  }

  async #setState(key: Key, moveId: string, state: string): Promise<void> {
    await this.in(key).registry.query(
      `UPDATE tenant_move_hops SET state = :state
       WHERE move_id = :moveId::uuid AND state IN ('working', 'committed')`,
      { moveId, state },
    );
  }

  /** All rows of a tenant in one of its tables, as JSON. */
  async rows(key: Key, table: string, tenantId: string): Promise<Record<string, unknown>[]> {
    const rows = await this.in(key).registry.query<{ row: string }>(
      `SELECT to_jsonb(r)::text AS row FROM ${table} r WHERE tenant_id = :tenantId::uuid ORDER BY to_jsonb(r)::text`,
      { tenantId },
    );
    return rows.map(({ row }) => JSON.parse(row));
  }

  async drop(): Promise<void> {
    for (const key of KEYS) await this.in(key).drop();
  }
}
