/** Workers end early in many ways; the backup is complete and consistent nevertheless. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { ConnectReader } from '../../functions/backups/backup-context.ts';
import type { Lane } from '../../functions/backups/backup-ledger.ts';
import { endBackup } from '../../functions/backups/backup-records.ts';
import { copyParts } from '../../functions/backups/copy-parts.ts';
import { discardBackup } from '../../functions/backups/discard-backup.ts';
import { BackupDuringMove, BackupOvertaken, SnapshotLost } from '../../functions/backups/errors.ts';
import { finishBackup } from '../../functions/backups/finish-backup.ts';
import { type BackupManifest, readManifest } from '../../functions/backups/manifest.ts';
import { backedUpTables, planBackup } from '../../functions/backups/plan-backup.ts';
import { ddlTransaction, lockForDdl, runStatements } from '../../functions/database/ddl/ddl-connection.ts';
import { TENANT_SCHEMA_VERSION } from '../../functions/database/tables/schema-version.ts';
import { isTransient } from '../../functions/database/transient-error.ts';
import { BenchServer, PASSWORD } from '../bench/bench-server.ts';
import { insertBulkRows } from '../bench/move/bulk-rows.ts';
import { connectAs } from '../database-server.ts';
import { until } from '../enter-tenant.ts';
import { FULL_RUN, sampled } from '../full-run.ts';
import { register } from '../isolation/tenant-world.ts';
import { allRows, type BackedUp, BackupWorld, type RunningBackup, unhurried } from './backup-world.ts';
import { readerOf } from './reader.ts';
import type { WorkerOrder } from './worker-process.ts';

const tables = backedUpTables(TENANT_SCHEMA_VERSION);
const partBytes = 40_000;
const ROWS = 1_500;
let world: BackupWorld;
let tenant: BackedUp;
let superuser: pg.Client;
let backup: RunningBackup;
beforeAll(async () => {
  world = await BackupWorld.start();
  tenant = await world.addTenant('schema');
  superuser = await tenant.database.connect('superuser');
  await insertBulkRows(superuser, tenant.schemaName, ROWS);
});
afterAll(() => world?.stop());
beforeEach(async () => {
  backup = await world.begin(tenant);
});
afterEach(async () => {
  world.bucket.disturb(undefined);
  // One backup of a tenant runs at a time.
  await end(backup);
});

const end = ({ backupId, tenantId }: RunningBackup) =>
  endBackup(
    world.registryCalls,
    { backupId, tenantId },
    { status: 'aborted', reason: 'the test is over' },
    { id: 'test', type: 'workflow' },
  );
const record = () => backup.context().ledger.read();
const partsDone = async () => (await record())?.parts.done ?? 0;
const plan = () => planBackup(backup.context(), { partBytes });
const lane = (number: Lane, deadlines = unhurried()) => copyParts(backup.context(), number, deadlines);

/** Delays uploads, so that only a few parts a second are written. */
const slowly = (afterMs = 100) =>
  world.bucket.disturb(({ method }) => (method === 'PUT' ? { kind: 'pass', afterMs } : { kind: 'pass' }));

/** Holds every upload but the first `parts` until it is called: however slow the machine is, the copy has not ended before. */
function holdUploads(parts: number): () => void {
  const { promise: released, resolve } = Promise.withResolvers<void>();
  let begun = 0;
  world.bucket.disturb(({ method }) => {
    if (method !== 'PUT') return { kind: 'pass' };
    begun += 1;
    return begun > parts ? { kind: 'pass', after: released } : { kind: 'pass' };
  });
  return resolve;
}

/** Sessions of workers that have a snapshot. */
async function snapshotsHeld(): Promise<number> {
  const { rows } = await superuser.query(
    `SELECT count(*)::int AS held FROM pg_stat_activity
     WHERE datname = current_database() AND usename = 'strata_owner' AND backend_xmin IS NOT NULL`,
  );
  return rows[0].held;
}

async function finish(): Promise<BackupManifest> {
  await finishBackup(backup.context());
  return readManifest(world.bucket.store, backup);
}

/** Restores the backup and compares it with the given rows. */
async function expectWhole(manifest: BackupManifest, before: Record<string, string[]>): Promise<void> {
  const schema = await world.emptySchema(manifest.schemaVersion);
  await world.restore(manifest, schema);
  expect(await allRows(superuser, schema, tables)).toEqual(before);
  await superuser.query(`DROP SCHEMA ${schema} CASCADE`);
}

const now = () => allRows(superuser, tenant.schemaName, tables);

/** Starts a worker process; `kill` kills it. */
function startProcess(lanes: readonly Lane[]) {
  const { server } = world.cell;
  const order: WorkerOrder = {
    backupId: backup.backupId,
    lanes,
    host: server.host,
    port: server.port,
    certificate: server.certificate,
    owner: world.cell.login('owner'),
    registry: { ...world.cell.login('registryWriter'), database: world.registry.name },
    endpoint: world.bucket.endpoint,
    bucket: world.bucket.name,
  };
  const child = spawn(
    process.execPath,
    [join(import.meta.dirname, 'worker-process.ts'), JSON.stringify(order)],
    {
      stdio: ['ignore', 'ignore', 'inherit'],
    },
  );
  const exited = once(child, 'exit');
  return {
    async kill() {
      child.kill('SIGKILL');
      await exited;
    },
  };
}

describe('a worker that is killed in the middle of an upload', () => {
  test('is followed by a worker that continues with the other lane’s snapshot and keeps the parts that are done', async () => {
    await plan();
    slowly();
    const before = await now();
    const other = lane(1);
    await until(async () => (await partsDone()) > 1);
    const worker = startProcess([0]);
    await until(async () => Boolean((await record())?.lanes[0]));
    const done = await partsDone();
    await until(async () => (await partsDone()) > done);
    await worker.kill();
    // Rows that are written now must not be in the backup.
    await superuser.query(`UPDATE ${tenant.schemaName}.employees SET job_title = 'later'`);
    expect(await lane(0)).toEqual({ done: true });
    expect(await other).toEqual({ done: true });
    expect(await record()).toMatchObject({ attempt: 1 });
    await expectWhole(await finish(), before);
  });

  test('loses the snapshot if no other worker is alive: the next attempt uses no object of the lost one', async () => {
    await plan();
    slowly();
    const worker = startProcess([0]);
    await until(async () => (await partsDone()) > 2);
    await worker.kill();
    const lost: string[] = [];
    for await (const { key } of world.bucket.store.list(backup.prefix)) lost.push(key);
    expect(lost.length).toBeGreaterThan(2);
    await superuser.query(`UPDATE ${tenant.schemaName}.employees SET job_title = 'later still'`);
    world.bucket.disturb(undefined);
    await world.copy(backup);
    expect(await record()).toMatchObject({ attempt: 2 });
    const manifest = await finish();
    const keys = manifest.tables.flatMap(({ parts }) => parts.map(({ key }) => key));
    expect(keys.filter((key) => lost.includes(key))).toEqual([]);
    await expectWhole(manifest, await now());
    // The objects of the lost attempt are deleted.
    const kept: string[] = [];
    for await (const { key } of world.bucket.store.list(backup.prefix)) kept.push(key);
    expect(kept.sort()).toEqual([...keys, `${backup.prefix}manifest.json`].sort());
  });
});

test('workers pass the snapshot on at each deadline while rows are written', async () => {
  const writer = await tenant.database.connect('superuser');
  const writes = { stop: false, done: 0 };
  // Each transaction writes to three tables; the backup must have all of its writes or none.
  const writing = (async () => {
    while (!writes.stop) {
      await writer.query(
        `BEGIN; INSERT INTO ${tenant.schemaName}.teams (team_name) VALUES ('pair ${writes.done}');
         INSERT INTO ${tenant.schemaName}.roles (role_name) VALUES ('pair ${writes.done}');
         UPDATE ${tenant.schemaName}.skills SET skill_category = 'written ${writes.done}'; COMMIT`,
      );
      writes.done += 1;
    }
  })();
  await plan();
  slowly(60);
  let workers = 0;
  const run = async (number: Lane) => {
    for (;;) {
      workers += 1;
      const leave = performance.now() + 150 + number * 200;
      const { done } = await lane(number, { leave, end: leave + 20_000 });
      if (done) return;
    }
  };
  await Promise.all([run(0), run(1)]);
  writes.stop = true;
  await writing;
  expect(writes.done).toBeGreaterThan(10);
  expect(workers).toBeGreaterThan(4);
  expect(await record()).toMatchObject({ attempt: 1 });
  const manifest = await finish();
  const schema = await world.emptySchema(manifest.schemaVersion);
  await world.restore(manifest, schema);
  const { rows } = await superuser.query(
    `SELECT (SELECT count(*)::int FROM ${schema}.teams WHERE team_name LIKE 'pair %') AS teams,
            (SELECT count(*)::int FROM ${schema}.roles WHERE role_name LIKE 'pair %') AS roles,
            (SELECT count(DISTINCT skill_category)::int FROM ${schema}.skills) AS categories,
            (SELECT max(substr(skill_category, 9)::int) + 1 FROM ${schema}.skills) AS written`,
  );
  const [{ teams, roles, categories, written }] = rows;
  expect(roles).toBe(teams);
  expect(categories).toBe(1);
  // Each transaction's three statements are visible together.
  expect(written).toBe(teams);
  expect(teams).toBeLessThan(writes.done);
});

test('a worker that was assumed dead completes no part after its lane has a new worker', async () => {
  await plan();
  const before = await now();
  let held: (() => void) | undefined;
  const first = new Promise<void>((resolve) => {
    let seen = false;
    world.bucket.disturb(({ method }) => {
      if (method !== 'PUT' || seen) return { kind: 'pass' };
      seen = true;
      held = resolve;
      resolve();
      return { kind: 'pass', afterMs: 1_500 };
    });
  });
  const late = lane(0);
  await first;
  expect(held).toBeDefined();
  expect(await lane(0)).toEqual({ done: true });
  expect(await late).toEqual({ done: true });
  expect(await record()).toMatchObject({ attempt: 1 });
  const manifest = await finish();
  await expectWhole(manifest, before);
});

describe('a backup does not block', () => {
  test('DDL on the tables; the next attempt begins after it', async () => {
    await plan();
    const release = holdUploads(2);
    const copying = world.copy(backup);
    await until(async () => (await partsDone()) > 0);
    const owner = await tenant.database.connect('owner');
    const start = performance.now();
    await ddlTransaction(owner, async (transaction) => {
      await runStatements(transaction, ["SET LOCAL lock_timeout = '5s'"]);
      await lockForDdl(transaction, tenant.schemaName);
      await runStatements(transaction, [
        `ALTER TABLE ${tenant.schemaName}.roles ALTER COLUMN role_level SET DEFAULT 'none'`,
      ]);
    });
    expect(performance.now() - start).toBeLessThan(4_000);
    release();
    await copying;
    expect(await record()).toMatchObject({ attempt: 2 });
    await expectWhole(await finish(), await now());
  });

  test('a move that is committed meanwhile; the next attempt reads the new place', async () => {
    await plan();
    const release = holdUploads(2);
    const copying = world.copy(backup);
    await until(async () => (await partsDone()) > 0);
    expect(await snapshotsHeld()).toBeGreaterThan(0);
    await superuser.query('UPDATE tenancy.placement SET epoch = epoch + 1 WHERE tenant_id = $1', [
      tenant.tenantId,
    ]);
    await until(async () => (await snapshotsHeld()) === 0);
    release();
    await copying;
    expect(await record()).toMatchObject({ attempt: 2 });
    expect(await finish()).toMatchObject({ placement: { epoch: 2 } });
  });

  test('a move that is running at its begin; the backup waits', async () => {
    const claim = (mover: string | null) =>
      superuser.query('UPDATE tenancy.placement SET mover = $2 WHERE tenant_id = $1', [
        tenant.tenantId,
        mover,
      ]);
    await claim(backup.backupId);
    await expect(plan()).rejects.toThrow(BackupDuringMove);
    await claim(null);
    await plan();
    // A move that begins later and is still copying does not disturb the backup.
    await claim(backup.backupId);
    await world.copy(backup);
    await claim(null);
    expect(await record()).toMatchObject({ attempt: 1 });
  });
});

test.runIf(FULL_RUN)(
  'if PostgreSQL restarts in the middle of a COPY, the workers fail and the next ones begin a new attempt',
  async () => {
    const server = await BenchServer.start();
    const connect: ConnectReader = async ({ port, database }) =>
      readerOf(await connectAs({ port }, { user: 'strata_owner', password: PASSWORD }, database));
    try {
      const database = await server.createDatabase('strata');
      const onServer = {
        ...(await database.addSchemaTenant(0)),
        epoch: 1,
        isolationModel: 'schema' as const,
        login: { user: '', password: '' },
      };
      await insertBulkRows(database.superuser, onServer.schemaName, ROWS);
      const before = await allRows(database.superuser, onServer.schemaName, tables);
      await register(world.registryCalls, onServer, 'strata', server.port);
      await end(backup);
      backup = await world.begin(onServer);
      await planBackup(backup.context(connect), { partBytes });
      slowly();
      const worker = (number: Lane) => copyParts(backup.context(connect), number, unhurried());
      const workers = Promise.allSettled([worker(0), worker(1)]);
      await until(async () => (await partsDone()) > 1);
      await server.restart();
      for (const outcome of await workers) {
        // The workflow retries after such an error.
        expect(outcome.status === 'rejected' && isTransient(outcome.reason)).toBe(true);
      }
      world.bucket.disturb(undefined);
      await Promise.all([worker(0), worker(1)]);
      expect(await record()).toMatchObject({ attempt: 2 });
      await expectWhole(await finish(), before);
    } finally {
      await server.stop();
    }
  },
);

test('a registry that fails for a while delays the backup only', async () => {
  await plan();
  slowly();
  const before = await now();
  const copying = world.copy(backup);
  await until(async () => (await partsDone()) > 1);
  const blocker = await world.registry.connect('superuser');
  await blocker.query('BEGIN');
  await blocker.query('SELECT FROM tenant_backups WHERE backup_id = $1 FOR UPDATE', [backup.backupId]);
  for (let refused = 0; refused < 3; ) {
    const { rowCount } = await blocker.query(
      `SELECT pg_cancel_backend(pid) FROM pg_stat_activity
       WHERE datname = current_database() AND wait_event_type = 'Lock'`,
    );
    refused += rowCount ?? 0;
    await delay(5);
  }
  await blocker.query('COMMIT');
  world.bucket.disturb(undefined);
  await copying;
  expect(await record()).toMatchObject({ attempt: 1 });
  await expectWhole(await finish(), before);
});

test('a claim and a completion whose answers were lost can be repeated', async () => {
  await plan();
  const { ledger } = backup.context();
  const worker = { attempt: 1, lane: 0 as const, worker: 'one' };
  await ledger.join(worker, '00000003-0000001B-1', { snapshotAt: new Date().toISOString() });
  const part = await ledger.claim(worker);
  expect(part).toBeDefined();
  expect(await ledger.claim(worker)).toEqual(part);
  const result = { key: 'key', rows: 1, rawBytes: 1, storedBytes: 1, sha256: 'sha256', contentHash: 'hash' };
  expect(await ledger.complete(worker, part!.part, result)).toBe(true);
  expect(await ledger.complete(worker, part!.part, result)).toBe(true);
  expect(await ledger.complete(worker, part!.part, { ...result, key: 'another' })).toBe(false);
  expect(await ledger.claim(worker)).not.toEqual(part);
});

test('if the server ends all sessions, the workers fail and the next ones begin a new attempt', async () => {
  await plan();
  slowly();
  const workers = Promise.allSettled([lane(0), lane(1)]);
  await until(async () => (await partsDone()) > 1);
  // A restart ends the sessions in the same way.
  await superuser.query(
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
     WHERE datname = current_database() AND usename = 'strata_owner'`,
  );
  await workers;
  world.bucket.disturb(undefined);
  await world.copy(backup);
  expect((await record())?.attempt).toBeGreaterThan(1);
  await expectWhole(await finish(), await now());
});

describe('S3', () => {
  test.runIf(FULL_RUN)('that is busy or slow, or breaks connections, delays the backup only', async () => {
    await plan();
    let calls = 0;
    world.bucket.disturb(({ method }) => {
      if (method !== 'PUT') return { kind: 'pass' };
      calls += 1;
      if (calls % 4 === 0) return { kind: 'busy' };
      if (calls % 7 === 0) return { kind: 'cut' };
      return { kind: 'pass', afterMs: 5 };
    });
    await world.copy(backup);
    expect(calls).toBeGreaterThan(10);
    expect(await record()).toMatchObject({ attempt: 1 });
    await expectWhole(await finish(), await now());
  });

  describe('in the middle of an upload in parts', () => {
    let long: BackedUp;
    /** Each upload part is a PUT of 5 MiB. */
    const isUploadPart = (url: string) => url.includes('partNumber=');
    beforeAll(async () => {
      long = await world.addTenant('schema');
      // Data that cannot be compressed, 16 kB a row: an upload in parts takes 40 MB of it.
      await superuser.query(
        `INSERT INTO ${long.schemaName}.employees (email, first_name, last_name, ssn_encrypted)
         SELECT n || '@example.test', 'Ada', 'Lovelace',
                (SELECT string_agg(uuid_send(gen_random_uuid()), '' ORDER BY n + k) FROM generate_series(1, 1000) k)
         FROM generate_series(1, ${sampled(100, 2500)}) n`,
      );
    });
    beforeEach(async () => {
      await end(backup);
      backup = await world.begin(long);
    });
    const rowsOf = () => allRows(superuser, long.schemaName, tables);

    test.runIf(FULL_RUN)('is slow: the server pauses its COPY', async () => {
      await planBackup(backup.context());
      let waiting = 0;
      const release = Promise.withResolvers<void>();
      world.bucket.disturb(({ url }) => {
        if (!isUploadPart(url)) return { kind: 'pass' };
        waiting += 1;
        return { kind: 'pass', after: release.promise };
      });
      const copying = world.copy(backup);
      await until(async () => {
        const { rows } = await superuser.query(
          `SELECT FROM pg_stat_activity WHERE query LIKE 'COPY%employees%' AND wait_event = 'ClientWrite'`,
        );
        return waiting === 2 && rows.length > 0;
      });
      release.resolve();
      await copying;
      await expectWhole(await finish(), await rowsOf());
    });

    // The client retries for seconds before it gives up.
    test.runIf(FULL_RUN)(
      'fails: no object and no upload is left, and the next worker writes the part',
      async () => {
        await planBackup(backup.context());
        // Uploads are counted by their requests, because the local S3 does not list uploads.
        const calls: string[] = [];
        const count = (method: string, query: string) =>
          calls.filter((call) => call.startsWith(method) && call.includes(query)).length;
        world.bucket.disturb(({ method, url }) => {
          calls.push(`${method} ${url}`);
          return { kind: isUploadPart(url) && count('PUT', 'partNumber=') > 2 ? 'busy' : 'pass' };
        });
        const now = performance.now();
        await expect(lane(0, { leave: now + 2_000, end: now + 3_000 })).rejects.toMatchObject({
          $metadata: { httpStatusCode: 503 },
        });
        expect(count('PUT', 'partNumber=')).toBeGreaterThan(2);
        expect(count('POST', '?uploads')).toBeGreaterThan(0);
        expect(count('DELETE', 'uploadId=')).toBe(count('POST', '?uploads'));
        for await (const { key } of world.bucket.store.list(backup.prefix))
          expect(key).not.toContain('employees');
        world.bucket.disturb(undefined);
        await world.copy(backup);
        await expectWhole(await finish(), await rowsOf());
      },
    );

    test('a table with long values is divided into parts of at least a page', async () => {
      await planBackup(backup.context(), { partBytes });
      const { rows } = await superuser.query(
        `SELECT pg_relation_size($1) / 8192 AS pages, pg_table_size($1) AS bytes`,
        [`${long.schemaName}.employees`],
      );
      expect(Number(rows[0].bytes) / partBytes).toBeGreaterThan(Number(rows[0].pages));
      const { parts } = (await record())!;
      expect(parts.waiting).toBe(Number(rows[0].pages) + tables.length - 1);
    });
  });

  test.runIf(FULL_RUN)(
    'that fails for longer than a worker retries makes the worker fail; parts that are done stay done',
    async () => {
      await plan();
      slowly(50);
      const leave = performance.now() + 12_000;
      const other = lane(1, { leave, end: leave + 1_000 });
      await until(async () => (await partsDone()) > 1);
      world.bucket.disturb(({ method }) => ({ kind: method === 'PUT' ? 'busy' : 'pass' }));
      await expect(other).rejects.toMatchObject({ $metadata: { httpStatusCode: 503 } });
      expect(performance.now()).toBeGreaterThan(leave);
      expect(await record()).toMatchObject({ status: 'running', attempt: 1 });
      world.bucket.disturb(undefined);
      await world.copy(backup);
      await expectWhole(await finish(), await now());
    },
  );
});

test('a backup fails once it has lost its snapshot in every attempt', async () => {
  await plan();
  for (let attempt = 1; attempt < 6; attempt++) {
    const { plan: planned } = (await record())!;
    expect(
      await backup.context().ledger.plan(attempt, planned!, [{ table: 'teams', index: 0, range: null }]),
    ).toBe(true);
  }
  const { ledger } = backup.context();
  const first = { snapshotAt: new Date().toISOString() };
  await ledger.join({ attempt: 6, lane: 0, worker: 'dead' }, '00000003-0000001B-1', first);
  await expect(lane(1)).rejects.toThrow(SnapshotLost);
});

test('a backup that was ended writes nothing more, and its objects are deleted', async () => {
  await plan();
  slowly();
  const working = lane(0);
  await until(async () => (await partsDone()) > 0);
  await end(backup);
  await expect(working).rejects.toThrow(BackupOvertaken);
  await expect(finishBackup(backup.context())).rejects.toThrow(BackupOvertaken);
  await discardBackup(world.bucket.store, backup.prefix);
  for await (const { key } of world.bucket.store.list(backup.prefix)) expect(key).toBe('deleted');
  await expect(discardBackup(world.bucket.store, 'tenant-backups/business/')).rejects.toThrow(TypeError);
});

test('if S3 requires that the manifest is written again, it is written again', async () => {
  await plan();
  await world.copy(backup);
  let conflicts = 0;
  world.bucket.disturb(({ method, url }) => {
    const first = method === 'PUT' && url.includes('manifest.json') && conflicts === 0;
    if (first) conflicts += 1;
    return { kind: first ? 'conflict' : 'pass' };
  });
  await finish();
  expect(conflicts).toBe(1);
});

test('repeated and concurrent runs of finish make one backup', async () => {
  await plan();
  await world.copy(backup);
  await Promise.all(
    [finishBackup(backup.context()), finishBackup(backup.context())].map((each) => each.catch(() => {})),
  );
  await finishBackup(backup.context());
  const { rows } = await (await world.registry.connect('registryWriter')).query(
    'SELECT manifest_sha256 AS sha FROM tenant_backups WHERE backup_id = $1',
    [backup.backupId],
  );
  await readManifest(world.bucket.store, { ...backup, manifestSha256: rows[0].sha });
});
