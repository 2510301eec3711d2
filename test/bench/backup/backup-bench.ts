/**
 * A tenant in a cell of its own server, the registry's record of its backups, the local S3 and workers in processes of
 * their own: what `tenant-backup` runs, without its state machine.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { S3Client } from '@aws-sdk/client-s3';
import { ObjectStore } from '../../../functions/aws/object-store.ts';
import type { BackupContext } from '../../../functions/backups/backup-context.ts';
import { beginBackup } from '../../../functions/backups/begin-backup.ts';
import { discardBackup } from '../../../functions/backups/discard-backup.ts';
import { finishBackup } from '../../../functions/backups/finish-backup.ts';
import {
  type BackupLocation,
  type BackupManifest,
  readManifest,
} from '../../../functions/backups/manifest.ts';
import { planBackup } from '../../../functions/backups/plan-backup.ts';
import { RegistryLedger } from '../../../functions/backups/registry-ledger.ts';
import { identifier } from '../../../functions/database/ddl/identifier.ts';
import { bootstrapRegistry } from '../../../functions/registry/bootstrap-registry.ts';
import { registerCell } from '../../../functions/registry/cells.ts';
import { MeasuredProcess } from '../../backup/measured-process.ts';
import { readerOf } from '../../backup/reader.ts';
import { clientOf } from '../../backup/s3-client.ts';
import type { WorkerOrder, WorkerReport } from '../../backup/worker-process.ts';
import { provisionMaster } from '../../database-server.ts';
import { cellRegistration, register } from '../../isolation/tenant-world.ts';
import { RegistryOverPostgres } from '../../registry-over-postgres.ts';
import { type BenchDatabase, type BenchServer, type BenchTenant, PASSWORD } from '../bench-server.ts';
import type { BucketAddress } from './bucket-process.ts';
import type { RestoreOrder, RestoreReport } from './restore-process.ts';

const REGISTRY = 'registry';
const script = (name: string) => join(import.meta.dirname, name);

export interface FinishedBackup {
  readonly ms: number;
  /** While the workers ran, on `performance.now()`'s clock. */
  readonly copied: { readonly from: number; readonly to: number };
  readonly location: BackupLocation;
  readonly manifest: BackupManifest;
  /** One for each lane. */
  readonly workers: readonly WorkerReport[];
}

export class BackupBench {
  readonly server: BenchServer;
  readonly cell: BenchDatabase;
  readonly #registry: RegistryOverPostgres;
  readonly #bucketProcess: ChildProcess;
  readonly #bucket: BucketAddress;
  readonly #s3: S3Client;
  readonly #store: ObjectStore;

  private constructor(
    [server, cell]: readonly [BenchServer, BenchDatabase],
    registry: RegistryOverPostgres,
    [bucketProcess, bucket]: readonly [ChildProcess, BucketAddress],
  ) {
    this.server = server;
    this.cell = cell;
    this.#registry = registry;
    this.#bucketProcess = bucketProcess;
    this.#bucket = bucket;
    this.#s3 = clientOf(bucket.endpoint);
    this.#store = new ObjectStore(bucket.bucket, {}, async () => this.#s3);
  }

  static async start(server: BenchServer, cell: BenchDatabase): Promise<BackupBench> {
    await provisionMaster(server, REGISTRY, PASSWORD);
    const master = new RegistryOverPostgres(await server.connect(REGISTRY, 'strata_master'));
    await bootstrapRegistry(master, {
      readerPassword: PASSWORD,
      writerPassword: PASSWORD,
      usersPassword: PASSWORD,
    });
    const registry = new RegistryOverPostgres(await server.connect(REGISTRY, 'strata_registry_writer'));
    await registerCell(
      registry,
      cellRegistration({ name: cell.name, server: { host: '127.0.0.1', port: server.port } }),
    );
    return new BackupBench([server, cell], registry, await startBucket());
  }

  /** A Business tenant without rows. */
  async addTenant(): Promise<BenchTenant> {
    const tenant = await this.cell.addSchemaTenant(0);
    const placed = { ...tenant, epoch: 1, isolationModel: 'schema' as const };
    const login = { user: tenant.roleName, password: PASSWORD };
    await register(this.#registry, { ...placed, login }, this.cell.name, this.server.port);
    return tenant;
  }

  async backUp({ tenantId }: BenchTenant): Promise<FinishedBackup> {
    const start = performance.now();
    const { backupId } = await beginBackup(this.#registry, { tenantId }, `bench:${randomUUID()}`);
    const ledger = new RegistryLedger(this.#registry, backupId);
    const context: BackupContext = {
      ledger,
      store: this.#store,
      connect: async ({ database }) => readerOf(await this.server.connect(database, 'strata_owner')),
    };
    const { prefix } = (await ledger.read())!;
    // Functions are there before they are called.
    const beforeWorkers = performance.now();
    const workers = await Promise.all(
      ([0, 1] as const).map((lane) =>
        MeasuredProcess.start<WorkerReport>(script('../../backup/worker-process.ts'), {
          backupId,
          lanes: [lane],
          host: '127.0.0.1',
          port: this.server.port,
          certificate: this.server.certificate,
          owner: { user: 'strata_owner', password: PASSWORD },
          registry: { user: 'strata_registry_writer', password: PASSWORD, database: REGISTRY },
          ...this.#bucket,
          waits: true,
        } satisfies WorkerOrder),
      ),
    );
    const startingMs = performance.now() - beforeWorkers;
    try {
      await planBackup(context);
      const from = performance.now();
      const reports = await Promise.all(workers.map((worker) => worker.tell()));
      const copied = { from, to: performance.now() };
      await finishBackup(context);
      const ms = performance.now() - start - startingMs;
      const location = { tenantId, backupId, prefix };
      const manifest = await readManifest(this.#store, location);
      return { ms, copied, location, manifest, workers: reports };
    } finally {
      await Promise.all(workers.map((worker) => worker.stop()));
    }
  }

  /** Into a schema that is dropped again. */
  async restore(location: BackupLocation): Promise<RestoreReport> {
    const schema = 'restored';
    const worker = await MeasuredProcess.start<RestoreReport>(script('restore-process.ts'), {
      ...this.#bucket,
      location,
      schema,
      host: '127.0.0.1',
      port: this.server.port,
      certificate: this.server.certificate,
      database: this.cell.name,
      owner: { user: 'strata_owner', password: PASSWORD },
    } satisfies RestoreOrder);
    try {
      return await worker.tell();
    } finally {
      await worker.stop();
      await this.cell.superuser.query(`DROP SCHEMA IF EXISTS ${identifier(schema)} CASCADE`);
    }
  }

  async discard({ prefix }: BackupLocation): Promise<void> {
    await discardBackup(this.#store, prefix);
  }

  async stop(): Promise<void> {
    this.#s3.destroy();
    const exit = once(this.#bucketProcess, 'exit');
    this.#bucketProcess.stdin!.end();
    await exit;
  }
}

async function startBucket(): Promise<[ChildProcess, BucketAddress]> {
  const child = spawn(process.execPath, [script('bucket-process.ts')], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  const { value, done } = await lines.next();
  if (done) throw new Error('the local S3 has not started');
  return [child, JSON.parse(value)];
}
