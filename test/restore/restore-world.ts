/**
 * Restores without a platform: the phases run one by one, in the order of `tenant-restore`, with a real registry, real
 * databases, a local bucket and local secrets.
 */
import { randomUUID } from 'node:crypto';
import { DescribeSecretCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import type pg from 'pg';
import type { ObjectStore } from '../../functions/aws/object-store.ts';
import { backedUpTables, type CuttingOptions } from '../../functions/backups/plan-backup.ts';
import type { IsolationModel, Tier } from '../../functions/contracts/tenant.ts';
import { tierTerms } from '../../functions/contracts/tier-terms.ts';
import { TENANT_SCHEMA_VERSION } from '../../functions/database/tables/schema-version.ts';
import { beginMove } from '../../functions/moves/begin-move.ts';
import { cleanUpHop } from '../../functions/moves/clean-up-hop.ts';
import { endMove } from '../../functions/moves/end-move.ts';
import type { SourceCaches } from '../../functions/moves/former-values.ts';
import type { HopContext, PhaseOutcome } from '../../functions/moves/hop.ts';
import { openPhase } from '../../functions/moves/hop-context.ts';
import * as phases from '../../functions/moves/hop-phases.ts';
import { createTargetCredentials } from '../../functions/moves/make-target.ts';
import { type HopRecord, hopsOf } from '../../functions/moves/move-records.ts';
import { type NextHop, nextHop } from '../../functions/moves/next-hop.ts';
import { settleHop } from '../../functions/moves/settle-hop.ts';
import { dedicatedSecretName } from '../../functions/placement/tenant-names.ts';
import { findPlace, type Place } from '../../functions/places/place.ts';
import { getRestore, type RestoreView } from '../../functions/registry/restores.ts';
import { beginRestore, makePlan } from '../../functions/restores/begin-restore.ts';
import { noteDiscardedWrites } from '../../functions/restores/discarded-writes.ts';
import { fillTarget } from '../../functions/restores/fill-target.ts';
import { requestRestore } from '../../functions/restores/request-restore.ts';
import type { Restore } from '../../functions/restores/restore-records.ts';
import { allRows, type BackedUp, BackupWorld } from '../backup/backup-world.ts';
import { insertBulkRows } from '../bench/move/bulk-rows.ts';
import { catalogueOfMoves } from '../move/catalogue-of-moves.ts';
import { OWNER_SECRET, startHopWorld } from '../move/hop-world.ts';
import type { LocalSecrets } from '../move/local-secrets.ts';
import type { Login, TestDatabase } from '../test-database.ts';

const STATE_MACHINE = 'arn:aws:states:us-east-1:000000000000:stateMachine:tenant-restore';
const operator = { id: 'operator@strata.test', type: 'operator' } as const;

/** A restore that was requested. */
export interface AskedRestore {
  readonly restoreId: string;
  readonly tenantId: string;
}

/** The tables that a restore replaces: all tables of a backup except the audit log and its seals. */
export const restoredTables = backedUpTables(TENANT_SCHEMA_VERSION).filter(
  ({ name }) => name !== 'audit_log' && name !== 'audit_seals',
);

export type Rows = Readonly<Record<string, readonly string[]>>;

/** The current place of a tenant. */
export interface Whereabouts extends Place {
  readonly testDatabase: TestDatabase;
}

export class RestoreWorld {
  readonly backups: BackupWorld;
  /** Of the region, for tests that have one. */
  caches: SourceCaches | undefined;
  readonly #secrets: LocalSecrets;
  readonly #databases = new Map<string, TestDatabase>();
  readonly #superusers = new Map<string, Promise<pg.Client>>();

  private constructor(backups: BackupWorld, secrets: LocalSecrets) {
    this.backups = backups;
    this.#secrets = secrets;
    this.#databases.set(backups.cell.name, backups.cell);
  }

  static async start(): Promise<RestoreWorld> {
    const secrets = await startHopWorld();
    const backups = await BackupWorld.start();
    await backups.registryCalls.query('UPDATE cells SET owner_secret_arn = :secret', {
      secret: OWNER_SECRET,
    });
    return new RestoreWorld(backups, secrets);
  }

  get registry() {
    return this.backups.registryCalls;
  }

  get store(): ObjectStore {
    return this.backups.bucket.store;
  }

  async addTenant(model: IsolationModel): Promise<BackedUp> {
    const tenant = await this.backups.addTenant(model);
    const { database, tenantId, login } = tenant;
    this.#databases.set(database.name, database);
    if (model !== 'shared') await this.#secrets.put(login.user, login);
    if (model === 'dedicated') {
      await this.#secrets.put(dedicatedSecretName(tenantId, 'owner'), database.login('owner'));
      await this.registry.query(
        'UPDATE tenant_database_routing SET writer_host = database_host WHERE tenant_id = :tenantId::uuid',
        { tenantId },
      );
    }
    return tenant;
  }

  /** For a tenant in a database that the test has made by itself. */
  keepSecret(name: string, login: Login): Promise<void> {
    return this.#secrets.put(name, login);
  }

  backUp(tenant: Pick<BackedUp, 'tenantId'>, options?: CuttingOptions) {
    return this.backups.backUp(tenant, options);
  }

  /** Records a restore, as the API does before it starts the workflow. */
  async ask(tenantId: string, restore: Restore): Promise<AskedRestore> {
    const restoreId = await requestRestore(this.registry, tenantId, restore, {
      actor: operator,
      stateMachineArn: STATE_MACHINE,
      start: async () => {},
    });
    return { restoreId, tenantId };
  }

  /** Requests a restore and runs it to its end. */
  async restore(tenantId: string, restore: Restore): Promise<AskedRestore> {
    const asked = await this.ask(tenantId, restore);
    await this.run(asked);
    return asked;
  }

  replace(tenantId: string, { backupId }: { readonly backupId: string }): Promise<AskedRestore> {
    return this.restore(tenantId, { mode: 'replace', backupId });
  }

  undo({ tenantId, restoreId }: AskedRestore): Promise<AskedRestore> {
    return this.restore(tenantId, { mode: 'undo', undoes: restoreId });
  }

  /**
   * Runs phases, as an execution of `tenant-restore` does.
   * @param end name of the first phase that is not run, such as `0 fill`; all phases are run when absent.
   * @param from name of the first hop phase to run; earlier phases were run before.
   * @returns the names of the phases that were run.
   */
  async run(asked: AskedRestore, end?: string, from?: string): Promise<string[]> {
    const done: string[] = [];
    let begun = from === undefined;
    for await (const [name, work] of this.phasesOf(asked)) {
      if (name === end) return done;
      begun ||= name === from;
      if (!begun && /^\d/.test(name)) continue;
      await work();
      done.push(name);
    }
    return done;
  }

  /** The phases of a restore in their order. The caller runs each phase before it takes the next one. */
  async *phasesOf({
    restoreId,
    tenantId,
  }: AskedRestore): AsyncGenerator<[name: string, work: () => Promise<unknown>]> {
    const { registry } = this;
    const begun = { moveId: restoreId, tenantId };
    const executionArn = `${STATE_MACHINE.replace(':stateMachine:', ':execution:')}:restore-${restoreId}`;
    yield ['begin', () => beginRestore(registry, { tenantId, restoreId }, executionArn)];
    yield [
      'plan',
      async () => {
        while (!(await makePlan(registry, begun, this.store)).done);
      },
    ];
    for (;;) {
      let next: NextHop | undefined;
      yield [
        'next-hop',
        async () => {
          next = await nextHop(registry, restoreId);
        },
      ];
      if (!next || next.finished) break;
      const { hopIndex, needsSecret, needsFilling } = next;
      const names = [
        ...(needsSecret ? (['credentials'] as const) : []),
        'prepare' as const,
        ...(needsFilling ? (['fill'] as const) : []),
        ...(['copy', 'index', 'catch-up', 'cut-over', 'compare', 'settle'] as const),
      ];
      for (const name of names) yield [`${hopIndex} ${name}`, () => this.phase(restoreId, hopIndex, name)];
    }
    yield ['discards', () => noteDiscardedWrites(registry, restoreId)];
    yield ['finish', () => endMove(registry, restoreId)];
  }

  /** Moves the tenant to another tier in its cell. @returns the move's id. */
  async move(tenantId: string, targetTier: Tier): Promise<string> {
    const moveId = await this.beginMove(tenantId, targetTier);
    await this.runMove(moveId);
    return moveId;
  }

  async beginMove(tenantId: string, targetTier: Tier): Promise<string> {
    const executionArn = `execution of a move:${randomUUID()}`;
    const statusOf = async () => 'running' as const;
    const { moveId } = await beginMove(this.registry, { tenantId, targetTier }, executionArn, { statusOf });
    return moveId;
  }

  /** Runs the phases of a move, as an execution of `tenant-move` does. @param end the phase before which it stops. */
  async runMove(moveId: string, end?: PhaseName): Promise<void> {
    for (;;) {
      const { finished, hopIndex, needsSecret } = await nextHop(this.registry, moveId);
      if (finished) break;
      if (needsSecret) await this.phase(moveId, hopIndex, 'credentials');
      for (const phase of [
        'prepare',
        'copy',
        'index',
        'catch-up',
        'cut-over',
        'compare',
        'settle',
      ] as const) {
        if (phase === end) return;
        await this.phase(moveId, hopIndex, phase);
      }
    }
    await endMove(this.registry, moveId);
  }

  /** Calls a phase of a hop until it is done. */
  async phase(moveId: string, hopIndex: number, phase: PhaseName): Promise<void> {
    for (let cursor: unknown; ; ) {
      const outcome = await this.callPhase(moveId, hopIndex, phase, { cursor });
      if (outcome.done) return;
      cursor = outcome.cursor;
    }
  }

  /** Calls a phase once. @param ms time until its deadline. */
  async callPhase(
    moveId: string,
    hopIndex: number,
    phase: PhaseName,
    { cursor, ms = 50_000 }: { readonly cursor?: unknown; readonly ms?: number } = {},
  ): Promise<PhaseOutcome> {
    const context = await openPhase(
      this.registry,
      { moveId, hopIndex, phase, cursor },
      performance.now() + ms,
    );
    return this.#work[phase](context, cursor);
  }

  readonly #work: Readonly<
    Record<PhaseName, (context: HopContext, cursor?: unknown) => Promise<PhaseOutcome>>
  > = {
    credentials: (context) => createTargetCredentials(context, { kmsKeyArn: undefined }),
    prepare: phases.prepare,
    fill: (context) => fillTarget(this.registry, context, this.store),
    copy: phases.copy,
    index: phases.index,
    'catch-up': phases.catchUp,
    'cut-over': (context, cursor) => phases.cutOver(context, cursor, this.caches),
    compare: phases.compare,
    settle: async (context) => {
      await settleHop(this.registry, context, { caches: this.caches });
      return { done: true };
    },
  };

  hops({ restoreId }: AskedRestore): Promise<HopRecord[]> {
    return hopsOf(this.registry, restoreId);
  }

  view({ restoreId, tenantId }: AskedRestore): Promise<RestoreView> {
    return getRestore(this.registry, tenantId, restoreId);
  }

  /** Cleans up all settled hops of a restore or move, as after the end of the grace period. */
  async cleanUp(moveId: string): Promise<void> {
    for (const { index: hopIndex, state } of await hopsOf(this.registry, moveId)) {
      if (state !== 'settled') continue;
      const deadline = performance.now() + 50_000;
      const times = { deadline, keepDays: 0, keepReplacedHours: 0 };
      while (!(await cleanUpHop(this.registry, { moveId, hopIndex }, times)).done);
    }
  }

  /** The tenant's place in the registry. */
  async place(tenantId: string): Promise<Whereabouts> {
    const place = await findPlace(this.registry, tenantId);
    return { ...place!, testDatabase: this.#databases.get(place!.database)! };
  }

  /** A superuser's connection for checks, one for each database. */
  superuser(database: TestDatabase): Promise<pg.Client> {
    const known = this.#superusers.get(database.name) ?? database.connect('superuser');
    this.#superusers.set(database.name, known);
    return known;
  }

  /** All rows of the tenant in its current place, as text. */
  async rows(tenantId: string, tables = backedUpTables(TENANT_SCHEMA_VERSION)): Promise<Rows> {
    const { testDatabase, schemaName, isolationModel } = await this.place(tenantId);
    const superuser = await this.superuser(testDatabase);
    return allRows(superuser, schemaName, tables, isolationModel === 'shared' ? tenantId : undefined);
  }

  /** Adds many rows to the tenant's current place. */
  async addRows(tenantId: string, rows: number): Promise<void> {
    const { testDatabase, schemaName, isolationModel } = await this.place(tenantId);
    const superuser = await this.superuser(testDatabase);
    await insertBulkRows(superuser, schemaName, rows, isolationModel === 'shared' ? tenantId : undefined);
  }

  /** The objects that a restore could leave in the tenant's database, and the tenant's secrets. */
  async traces(tenantId: string): Promise<string[]> {
    const { testDatabase } = await this.place(tenantId);
    const superuser = await this.superuser(testDatabase);
    // The locks of sessions whose clients have disconnected are released a moment later.
    const lines = (await catalogueOfMoves(superuser, tenantId)).filter(
      (line) => !line.startsWith('advisory'),
    );
    const own = lines.filter((line) => !line.startsWith('schema') || line.includes(compact(tenantId)));
    const roles = own.flatMap((line) => (line.startsWith('role ') ? [line.slice('role '.length)] : []));
    const secrets: string[] = [];
    for (const role of roles) {
      const name = `strata/tenant/${tenantId}/${role}`;
      if (await secretExists(name)) secrets.push(`secret ${name}`);
    }
    return [...own, ...secrets];
  }

  /** Whether the tenant has the isolation model of its tier, which a restore does not change. */
  async hasModelOfTier(tenantId: string): Promise<boolean> {
    const [row] = await this.registry.query<{ tier: keyof typeof tierTerms }>(
      'SELECT subscription_tier AS tier FROM tenants WHERE tenant_id = :tenantId::uuid',
      { tenantId },
    );
    return tierTerms[row!.tier].isolationModel === (await this.place(tenantId)).isolationModel;
  }

  async stop(): Promise<void> {
    await this.backups.stop();
    await this.#secrets.stop();
  }
}

export type PhaseName =
  | 'credentials'
  | 'prepare'
  | 'fill'
  | 'copy'
  | 'index'
  | 'catch-up'
  | 'cut-over'
  | 'compare'
  | 'settle';

const compact = (tenantId: string) => tenantId.replaceAll('-', '');

export async function secretExists(name: string): Promise<boolean> {
  const client = new SecretsManagerClient({});
  try {
    await client.send(new DescribeSecretCommand({ SecretId: name }));
    return true;
  } catch (error) {
    if ((error as Error).name === 'ResourceNotFoundException') return false;
    throw error;
  } finally {
    client.destroy();
  }
}
