import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import { inject } from 'vitest';
import type { BackupContext, ConnectReader } from '../../functions/backups/backup-context.ts';
import { beginBackup } from '../../functions/backups/begin-backup.ts';
import { copyParts } from '../../functions/backups/copy-parts.ts';
import { TablesChanging } from '../../functions/backups/errors.ts';
import { finishBackup } from '../../functions/backups/finish-backup.ts';
import { type BackupManifest, readManifest } from '../../functions/backups/manifest.ts';
import { backedUpTables, type CuttingOptions, planBackup } from '../../functions/backups/plan-backup.ts';
import { restorePart } from '../../functions/backups/read-back.ts';
import { RegistryLedger } from '../../functions/backups/registry-ledger.ts';
import type { IsolationModel } from '../../functions/contracts/tenant.ts';
import { identifier, qualified } from '../../functions/database/ddl/identifier.ts';
import { createTable } from '../../functions/database/tables/render-tables.ts';
import type { TenantTable } from '../../functions/database/tables/tenant-table.ts';
import { registerCell } from '../../functions/registry/cells.ts';
import { connectAs } from '../database-server.ts';
import { cellRegistration, register } from '../isolation/tenant-world.ts';
import type { RegistryOverPostgres } from '../registry-over-postgres.ts';
import { TestDatabase, type TestTenant } from '../test-database.ts';
import { type LocalBucket, startLocalBucket } from './local-bucket.ts';
import { readerOf } from './reader.ts';

export interface BackedUp extends TestTenant {
  readonly database: TestDatabase;
}

/** One backup, with the context of its phases. */
export interface RunningBackup {
  readonly tenantId: string;
  readonly backupId: string;
  readonly prefix: string;
  context(connect?: ConnectReader): BackupContext;
}

/** Deadlines that are long enough for every test, so that a worker never has to leave. */
export const unhurried = () => ({
  leave: performance.now() + 50_000,
  end: performance.now() + 55_000,
});

/** Tenants in a cell and in dedicated databases, their registry, and a bucket. */
export class BackupWorld {
  readonly bucket: LocalBucket;
  readonly cell: TestDatabase;
  readonly registry: TestDatabase;
  readonly registryCalls: Registry;
  readonly #databases: TestDatabase[];

  private constructor(
    bucket: LocalBucket,
    cell: TestDatabase,
    registry: TestDatabase,
    registryCalls: Registry,
  ) {
    this.registryCalls = registryCalls;
    this.bucket = bucket;
    this.cell = cell;
    this.registry = registry;
    this.#databases = [cell, registry];
  }

  static async start(): Promise<BackupWorld> {
    const [bucket, cell, registry] = await Promise.all([
      startLocalBucket(),
      TestDatabase.clone(),
      TestDatabase.cloneRegistry(),
    ]);
    const calls = inTurn(await registry.registry());
    await registerCell(calls, cellRegistration(cell));
    return new BackupWorld(bucket, cell, registry, calls);
  }

  async addTenant(model: IsolationModel): Promise<BackedUp> {
    const database = model === 'dedicated' ? await TestDatabase.clone() : this.cell;
    if (database !== this.cell) this.#databases.push(database);
    const tenant = await database.addTenant(model);
    await register(this.registryCalls, tenant, database.name, database.server.port);
    return { ...tenant, database };
  }

  async begin({ tenantId }: Pick<TestTenant, 'tenantId'>): Promise<RunningBackup> {
    const { backupId } = await beginBackup(this.registryCalls, { tenantId }, `execution:${randomUUID()}`);
    const record = await new RegistryLedger(this.registryCalls, backupId).read();
    return {
      tenantId,
      backupId,
      prefix: record!.prefix,
      context: (connect = connectAsOwner) => ({
        ledger: new RegistryLedger(this.registryCalls, backupId),
        store: this.bucket.store,
        connect,
      }),
    };
  }

  /** Makes a backup as the workflow does without failures. */
  async backUp(
    tenant: Pick<TestTenant, 'tenantId'>,
    options?: CuttingOptions,
  ): Promise<BackupManifest & { readonly prefix: string }> {
    const backup = await this.begin(tenant);
    await planBackup(backup.context(), options);
    await this.copy(backup);
    await finishBackup(backup.context());
    return { ...(await readManifest(this.bucket.store, backup)), prefix: backup.prefix };
  }

  /**
   * Runs both lanes until all parts are done. A lane that has to wait for DDL is called again, as the workflow does.
   */
  async copy(backup: RunningBackup): Promise<void> {
    const worked = (lane: 0 | 1) =>
      copyParts(backup.context(), lane, unhurried()).catch(async (error: unknown) => {
        if (!(error instanceof TablesChanging)) throw error;
        await delay(50);
        return { done: false };
      });
    await Promise.all(
      ([0, 1] as const).map(async (lane) => {
        while (!(await worked(lane)).done);
      }),
    );
  }

  /** Creates an empty schema with the tables of a version, as a restore does: with primary keys only. */
  async emptySchema(schemaVersion: number, database: TestDatabase = this.cell): Promise<string> {
    const schema = `restored_${randomUUID().replaceAll('-', '')}`;
    const owner = await database.connect('owner');
    await owner.query(`CREATE SCHEMA ${identifier(schema)}`);
    const target = { model: 'isolated' as const, schema, requestRole: 'strata_starter' };
    for (const table of backedUpTables(schemaVersion))
      for (const statement of createTable(target, table, { keys: 'primary' })) await owner.query(statement);
    await owner.end();
    return schema;
  }

  async restore(manifest: BackupManifest, schemaName: string): Promise<void> {
    const owner = await this.cell.connect('owner');
    for (const table of manifest.tables)
      for (const part of table.parts)
        await restorePart(owner, { schemaName }, table, part, this.bucket.store);
    await owner.end();
  }

  async stop(): Promise<void> {
    await this.bucket.stop();
    for (const database of this.#databases) await database.drop();
  }
}

type Registry = Pick<RegistryOverPostgres, 'query' | 'transaction'>;

/** Serializes concurrent calls of workers, because the registry's only connection takes one call at a time. */
function inTurn(registry: RegistryOverPostgres): Registry {
  let previous: Promise<unknown> = Promise.resolve();
  const behind = <Result>(call: () => Promise<Result>) => {
    const answer = previous.then(call);
    previous = answer.catch(() => {});
    return answer;
  };
  return {
    query: (sql, parameters) => behind(() => registry.query(sql, parameters)),
    transaction: (work) => behind(() => registry.transaction(work)),
  };
}

/** Connects to the test server's database of that name. */
export const connectAsOwner: ConnectReader = async ({ database }) =>
  readerOf(await connectAs(inject('databaseServer'), inject('databaseServer').logins.owner, database));

/** Every row of every table as text, sorted. */
export async function allRows(
  superuser: pg.ClientBase,
  schema: string,
  tables: readonly Pick<TenantTable, 'name' | 'columns'>[],
  tenantId?: string,
): Promise<Record<string, string[]>> {
  const all: Record<string, string[]> = {};
  for (const { name, columns } of tables) {
    const values = Object.keys(columns).map((column) => `t.${identifier(column)}`);
    const { rows } = await superuser.query<{ content: string }>(
      `SELECT content FROM (SELECT ROW(${values.join(', ')})::text AS content FROM ${qualified(schema, name)} t
                            ${tenantId ? 'WHERE t.tenant_id = $1' : ''}) AS rows ORDER BY content COLLATE "C"`,
      tenantId ? [tenantId] : [],
    );
    all[name] = rows.map(({ content }) => content);
  }
  return all;
}
