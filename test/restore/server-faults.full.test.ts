/** What happens to a restore when its database server does not stay as it is: a server of the test's own. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import type { ConnectReader } from '../../functions/backups/backup-context.ts';
import { copyParts } from '../../functions/backups/copy-parts.ts';
import { finishBackup } from '../../functions/backups/finish-backup.ts';
import { planBackup } from '../../functions/backups/plan-backup.ts';
import { endFailedMove } from '../../functions/moves/end-move.ts';
import { dedicatedSecretName } from '../../functions/placement/tenant-names.ts';
import { findPlace } from '../../functions/places/place.ts';
import * as errors from '../../functions/restores/errors.ts';
import { beginSideBackup } from '../../functions/restores/side-backup.ts';
import { toMoveError } from '../../functions/tasks/move-task.ts';
import { allRows, unhurried } from '../backup/backup-world.ts';
import { readerOf } from '../backup/reader.ts';
import { type BenchDatabase, BenchServer, type BenchTenant, PASSWORD } from '../bench/bench-server.ts';
import { insertBulkRows } from '../bench/move/bulk-rows.ts';
import { connectAs } from '../database-server.ts';
import { register } from '../isolation/tenant-world.ts';
import { RestoreWorld, type Rows, restoredTables } from './restore-world.ts';

let world: RestoreWorld;
let server: BenchServer;
let database: BenchDatabase;
let tenant: BenchTenant;
beforeAll(async () => {
  world = await RestoreWorld.start();
  server = await BenchServer.start();
  database = await server.createDatabase('strata');
  tenant = await database.addSchemaTenant(0);
  await insertBulkRows(database.superuser, tenant.schemaName, 2_000);
  await register(
    world.registry,
    { ...tenant, epoch: 1, isolationModel: 'dedicated', login: { user: '', password: '' } },
    'strata',
    server.port,
  );
  await world.registry.query(
    'UPDATE tenant_database_routing SET writer_host = database_host WHERE tenant_id = :tenantId::uuid',
    { tenantId: tenant.tenantId },
  );
  await world.keepSecret(dedicatedSecretName(tenant.tenantId, 'owner'), {
    user: 'strata_owner',
    password: PASSWORD,
  });
  await world.keepSecret(tenant.roleName, { user: tenant.roleName, password: PASSWORD });
});
afterAll(async () => {
  await world?.stop();
  await server?.stop();
});

const connect: ConnectReader = async ({ port, database: name }) =>
  readerOf(await connectAs({ port }, { user: 'strata_owner', password: PASSWORD }, name));

/** Past all roles, on a connection that a restart has not ended. */
async function rowsIn(schemaName: string): Promise<Rows> {
  const superuser = await server.connect('strata');
  return allRows(superuser, schemaName, restoredTables);
}

async function backUp(): Promise<string> {
  const backup = await world.backups.begin(tenant);
  await planBackup(backup.context(connect), { partBytes: 50_000 });
  await Promise.all([0, 1].map((lane) => copyParts(backup.context(connect), lane as 0 | 1, unhurried())));
  await finishBackup(backup.context(connect));
  return backup.backupId;
}

test('PostgreSQL that is restarted while rows are loaded costs parts only, and the live rows stay', async () => {
  const { tenantId, schemaName } = tenant;
  const original = await rowsIn(schemaName);
  const backupId = await backUp();
  await (await server.connect('strata')).query(`UPDATE ${schemaName}.employees SET job_title = 'damaged'`);
  const damaged = await rowsIn(schemaName);
  const asked = await world.ask(tenantId, { mode: 'replace', backupId });
  await world.run(asked, '0 fill');

  let downloads = 0;
  world.backups.bucket.disturb(({ method, url }) => {
    if (method !== 'GET' || !url.split('?')[0]!.endsWith('.zst')) return { kind: 'pass' };
    downloads += 1;
    return { kind: 'pass', afterMs: 20 };
  });
  const filling = world.phase(asked.restoreId, 0, 'fill').then(
    () => undefined,
    (error: unknown) => error,
  );
  await vi.waitUntil(() => downloads > 4, { timeout: 20_000, interval: 2 });
  await server.restart();
  // The workflow calls the phase again after such an error.
  expect(toMoveError(await filling)).toMatchObject({ name: 'DependencyUnavailable' });
  expect(await rowsIn(schemaName)).toEqual(damaged);
  const before = downloads;
  await world.phase(asked.restoreId, 0, 'fill');
  const [hop] = await world.hops(asked);
  const parts = new Set<string>();
  for await (const { key } of world.store.list('tenant-backups/enterprise/')) {
    if (key.includes(backupId) && key.endsWith('.zst') && !key.includes('audit_log')) parts.add(key);
  }
  // What was loaded stays loaded.
  expect(downloads - before).toBeLessThan(parts.size);
  expect(await rowsIn(hop!.target.schemaName)).toEqual(original);
  expect(await rowsIn(schemaName)).toEqual(damaged);

  await world.run(asked, undefined, '0 copy');
  expect(await world.view(asked)).toMatchObject({ status: 'succeeded' });
  const place = await findPlace(world.registry, tenantId);
  expect(await rowsIn(place!.schemaName)).toEqual(original);
  world.backups.bucket.disturb(undefined);
});

test('a copy of a cluster that did not have the tenant then fails the restore by name', async () => {
  const { tenantId } = tenant;
  const copy = await server.createDatabase('copy');
  await copy.addSchemaTenant(1);
  await world.keepSecret('copy/owner', { user: 'strata_owner', password: PASSWORD });
  await world.registry.query(
    "UPDATE tenant_database_routing SET arrived_at = now() - interval '1 day' WHERE tenant_id = :tenantId::uuid",
    { tenantId },
  );
  const place = await findPlace(world.registry, tenantId);
  const live = await rowsIn(place!.schemaName);
  const at = new Date(Date.now() - 3_600_000).toISOString();
  const asked = await world.ask(tenantId, { mode: 'replace', at });
  await world.run(asked, 'plan');
  const side = {
    writerHost: '127.0.0.1',
    port: server.port,
    database: 'copy',
    ownerSecret: 'copy/owner',
    masterUsername: 'strata_master',
    rowsOf: at,
  };
  const executionArn = `execution:${randomUUID()}`;
  const error = await beginSideBackup(
    world.registry,
    { restoreId: asked.restoreId, executionArn },
    side,
  ).catch((thrown: unknown) => thrown as Error);
  expect(error).toBeInstanceOf(errors.TenantAbsentThen);
  // Nothing of the copy was changed: it is not the tenant's.
  const { rowCount } = await copy.superuser.query('SELECT FROM tenancy.placement');
  expect(rowCount).toBe(1);

  const { name, message } = error as Error;
  const cause = { Error: name, Cause: JSON.stringify({ errorType: name, errorMessage: message }) };
  const ended = await endFailedMove(world.registry, asked.restoreId, cause, { vouched: errors });
  expect(ended).toMatchObject({ outcome: 'failed', reason: expect.stringContaining(at) });
  expect(await world.view(asked)).toMatchObject({ status: 'failed' });
  expect(await findPlace(world.registry, tenantId)).toEqual(place);
  expect(await rowsIn(place!.schemaName)).toEqual(live);
});
