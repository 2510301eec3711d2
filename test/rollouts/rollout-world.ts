import type pg from 'pg';
import { inject } from 'vitest';
import type { asOwner } from '../../functions/database/session/owner-connection.ts';
import { getRollout, type RolloutView } from '../../functions/registry/rollouts.ts';
import {
  beginRollout,
  finishRollout,
  runCanaries,
  runWave,
} from '../../functions/rollouts/rollout-phases.ts';
import { findRunning } from '../../functions/rollouts/rollout-records.ts';
import type { RunOptions } from '../../functions/rollouts/run-targets.ts';
import { connectAs } from '../database-server.ts';
import { MeteredWorld } from '../promotion/metered-world.ts';
import { nextRelease } from './next-release.ts';

let executions = 0;
export const newArn = () => `arn:aws:states:us-east-1:000000000000:execution:schema-rollout:e${++executions}`;

export interface RolloutSettings extends Partial<Pick<RunOptions, 'release' | 'connect' | 'deadline'>> {
  readonly except?: readonly string[];
  /** Runs before the waves of the group. */
  readonly beforeWave?: (group: string) => Promise<void>;
}

/** Cells and dedicated databases whose rollouts run in this process, phase by phase, as the workflow calls them. */
export class RolloutWorld {
  readonly world: MeteredWorld;
  /** Names of the databases that were connected to, in their order. */
  readonly connected: string[] = [];
  readonly errors: unknown[] = [];

  private constructor(world: MeteredWorld) {
    this.world = world;
  }

  static async create(): Promise<RolloutWorld> {
    return new RolloutWorld(await MeteredWorld.create());
  }

  /** As production connects, but for the secret. */
  readonly connect = (async (
    { database }: { database: string },
    work: (owner: pg.Client) => Promise<unknown>,
  ) => {
    this.connected.push(database);
    const server = inject('databaseServer');
    const owner = await connectAs(server, server.logins.owner, database);
    try {
      return await work(owner);
    } finally {
      await owner.end().catch(() => {});
    }
  }) as typeof asOwner;

  async begin({ except = [], release = nextRelease }: RolloutSettings = {}, executionArn = newArn()) {
    return beginRollout(this.world.registry, {
      input: { except, rolloutId: undefined, startedBy: undefined },
      executionArn,
      region: 'us',
      release,
      statusOf: async () => 'ended',
    });
  }

  options(rolloutId: string, { release = nextRelease, connect, deadline }: RolloutSettings = {}): RunOptions {
    return {
      registry: this.world.registry,
      rolloutId,
      release,
      connect: connect ?? this.connect,
      deadline: deadline ?? performance.now() + 60_000,
      onFailed: (_target, error) => this.errors.push(error),
    };
  }

  /** A whole rollout. */
  async rollOut(settings: RolloutSettings = {}): Promise<RolloutView> {
    const { rolloutId, groups } = await this.begin(settings);
    const { next } = await runCanaries(this.options(rolloutId, settings));
    for (const group of next === 'done' ? groups : []) {
      await settings.beforeWave?.(group);
      while ((await runWave(group, this.options(rolloutId, settings))).next === 'again');
    }
    return this.finish(rolloutId);
  }

  async finish(rolloutId: string): Promise<RolloutView> {
    await finishRollout(this.world.registry, rolloutId).catch((error) => {
      if ((error as Error).name !== 'RolloutFailed') throw error;
    });
    return getRollout(this.world.registry, 'us', rolloutId);
  }

  running() {
    return findRunning(this.world.registry);
  }

  /** A tenant's columns of employees beside those of this release. */
  async added(database: string, schema: string): Promise<string[]> {
    const rows = await this.connect({ database } as never, async (owner) => {
      const found = await owner.query(
        `SELECT attname FROM pg_catalog.pg_attribute WHERE attrelid = $1::regclass AND attname = 'shown_name'`,
        [`${schema}.employees`],
      );
      return found.rows as { attname: string }[];
    });
    this.connected.pop();
    return rows.map(({ attname }) => attname);
  }
}
