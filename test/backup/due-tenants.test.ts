import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { type FleetCursor, type FleetGroup, listDueTenants } from '../../functions/backups/due-tenants.ts';
import { addResults, NO_SUMS, outcomeOfFailure } from '../../functions/backups/fleet-results.ts';
import { registerCell } from '../../functions/registry/cells.ts';
import { cellRegistration } from '../isolation/tenant-world.ts';
import type { RegistryOverPostgres } from '../registry-over-postgres.ts';
import { TestDatabase } from '../test-database.ts';

let database: TestDatabase;
let registry: RegistryOverPostgres;
let superuser: pg.Client;
beforeAll(async () => {
  database = await TestDatabase.cloneRegistry();
  registry = await database.registry();
  superuser = await database.connect('superuser');
  for (const cellId of ['us-1', 'us-2']) {
    await registerCell(registry, { ...cellRegistration(database), cellId });
  }
});
afterAll(() => database?.drop());
beforeEach(() => superuser.query('TRUNCATE tenants CASCADE'));

interface Tenant {
  readonly status?: string;
  readonly region?: string;
  /** `null`: a dedicated database. */
  readonly cellId?: string | null;
}

async function addTenant({ status = 'active', region = 'us', cellId = 'us-1' }: Tenant = {}) {
  const tenantId = randomUUID();
  const model = cellId === null ? 'dedicated' : 'shared';
  await superuser.query(
    `INSERT INTO tenants (tenant_id, tenant_name, tenant_slug, isolation_model, subscription_tier, status,
                          admin_email, data_residency, home_region)
     VALUES ($1::uuid, $1::text, $1::text, $2, $3, $4, 'a@b.test', 'us', 'us')`,
    [tenantId, model, cellId === null ? 'enterprise' : 'starter', status],
  );
  await superuser.query(
    `INSERT INTO tenant_database_routing (tenant_id, database_host, database_port, database_name, schema_name,
                                          isolation_model, role_name, secret_arn, epoch, region, cell_id)
     VALUES ($1, '127.0.0.1', 5432, 'strata', 'shared', $2, 'role', 'secret', 1, $3, $4)`,
    [tenantId, model, region, cellId],
  );
  return tenantId;
}

const addBackup = (tenantId: string, status: string, hoursAgo: number) =>
  superuser.query(
    `INSERT INTO tenant_backups (tenant_id, region, tier, isolation_model, epoch, schema_version, status, prefix,
                                 started_by, started_at, finished_at, expires_at)
     VALUES ($1, 'us', 'starter', 'shared', 1, 1, $2, 'prefix/', 'test', now() - $3 * interval '1 hour',
             CASE WHEN $2 = 'running' THEN NULL ELSE now() END, now() + interval '7 days')`,
    [tenantId, status, hoursAgo],
  );

const addMove = (tenantId: string) =>
  superuser.query(
    `INSERT INTO tenant_moves (tenant_id, input, plan, started_by) VALUES ($1, '{}', '[]', 'test')`,
    [tenantId],
  );

const idsOf = (groups: readonly FleetGroup[]) =>
  groups.flatMap(({ tenants }) => tenants.map(({ tenantId }) => tenantId));

/** Reads all pages of a run, as the workflow does. */
async function allPages(pageSize: number, between: (page: readonly FleetGroup[]) => Promise<unknown>) {
  const pages: string[][] = [];
  let cursor: FleetCursor | undefined;
  do {
    const page = await listDueTenants(registry, 'us', cursor, pageSize);
    pages.push(idsOf(page.groups));
    await between(page.groups);
    cursor = page.next;
  } while (cursor);
  return pages;
}

const nothing = async () => {};

test('a tenant is due when no backup that began within the last 20 hours has succeeded or is running', async () => {
  const never = await addTenant();
  const yesterday = await addTenant();
  await addBackup(yesterday, 'succeeded', 21);
  const failed = await addTenant();
  await addBackup(failed, 'failed', 1);
  const aborted = await addTenant();
  await addBackup(aborted, 'aborted', 1);
  const today = await addTenant();
  await addBackup(today, 'failed', 20);
  await addBackup(today, 'succeeded', 19);
  await addBackup(await addTenant(), 'running', 1);
  const page = await listDueTenants(registry, 'us');
  expect(idsOf(page.groups).sort()).toEqual([never, yesterday, failed, aborted].sort());
});

test('tenants without data, and those of other regions, are never due', async () => {
  for (const status of ['provisioning', 'failed', 'offboarded']) await addTenant({ status });
  await addTenant({ region: 'eu' });
  const withData: string[] = [];
  for (const status of ['active', 'suspended', 'offboarding']) withData.push(await addTenant({ status }));
  const page = await listDueTenants(registry, 'us');
  expect(idsOf(page.groups).sort()).toEqual(withData.sort());
});

test('pages have every tenant once, even if tenants of earlier pages are backed up meanwhile', async () => {
  const ids: string[] = [];
  for (let n = 0; n < 7; n++) ids.push(await addTenant());
  const pages = await allPages(3, async (groups) => {
    for (const tenantId of idsOf(groups)) await addBackup(tenantId, 'succeeded', 0);
  });
  expect(pages.map((page) => page.length)).toEqual([3, 3, 1, 0]);
  expect(pages.flat()).toEqual(ids.sort());
});

test('a page groups tenants by cell, and tenants with dedicated databases in five groups', async () => {
  const inCells = [
    await addTenant({ cellId: 'us-1' }),
    await addTenant({ cellId: 'us-2' }),
    await addTenant({ cellId: 'us-1' }),
  ];
  for (let n = 0; n < 7; n++) await addTenant({ cellId: null });
  const { groups } = await listDueTenants(registry, 'us');
  const byName = new Map(
    groups.map(({ group, tenants }) => [group, tenants.map(({ tenantId }) => tenantId)]),
  );
  expect(byName.get('us-1')?.sort()).toEqual([inCells[0]!, inCells[2]!].sort());
  expect(byName.get('us-2')).toEqual([inCells[1]]);
  const dedicated = [...byName].filter(([name]) => name.startsWith('dedicated'));
  expect(dedicated.map(([, tenants]) => tenants.length).sort()).toEqual([1, 1, 1, 2, 2]);
});

test('a tenant that is being moved comes last, so that it does not delay others; a tenant that was tried is not tried again', async () => {
  const moving = await addTenant();
  const failing = await addTenant();
  const others = [await addTenant(), await addTenant()];
  await addMove(moving);
  const pages = await allPages(10, async (groups) => {
    for (const tenantId of idsOf(groups)) {
      await addBackup(tenantId, tenantId === failing ? 'failed' : 'succeeded', 0);
    }
  });
  expect(pages.map((page) => page.sort())).toEqual([[failing, ...others].sort(), [moving]]);
});

test('a run without tenants ends', async () => {
  expect(await allPages(10, nothing)).toEqual([[], []]);
});

test('a page of 1,000 tenants with its results fits into the state of a workflow', async () => {
  await superuser.query(
    `INSERT INTO tenants (tenant_id, tenant_name, tenant_slug, isolation_model, subscription_tier, status,
                          admin_email, data_residency, home_region)
     SELECT id, id, id, 'shared', 'starter', 'active', 'a@b.test', 'us', 'us'
     FROM (SELECT gen_random_uuid() AS id FROM generate_series(1, 1500)) AS ids`,
  );
  await superuser.query(
    `INSERT INTO tenant_database_routing (tenant_id, database_host, database_port, database_name, schema_name,
                                          isolation_model, role_name, secret_arn, epoch, region, cell_id)
     SELECT tenant_id, '127.0.0.1', 5432, 'strata', 'shared', 'shared', 'role', 'secret', 1, 'us', 'us-1' FROM tenants`,
  );
  const page = await listDueTenants(registry, 'us');
  const ids = idsOf(page.groups);
  expect(ids).toHaveLength(1_000);
  const results = [ids.map((tenantId) => ({ tenantId, outcome: 'succeeded' }))];
  const sums = addResults(NO_SUMS, [ids.map((tenantId) => ({ tenantId, outcome: 'failed' as const }))]);
  const state = { page: { ...page, hasNext: true }, results, sums, expiry: { done: true } };
  expect(JSON.stringify(state).length).toBeLessThan(256 * 1_024);
});

test('sums count the outcomes of all pages, and name the first tenants that failed', () => {
  const result = (outcome: 'succeeded' | 'failed' | 'skipped') => ({ tenantId: randomUUID(), outcome });
  const first = addResults(NO_SUMS, [[result('succeeded'), result('failed')], [result('skipped')], []]);
  expect(first).toMatchObject({ succeeded: 1, failed: 1, skipped: 1 });
  const second = addResults(first, [Array.from({ length: 30 }, () => result('failed'))]);
  expect(second).toMatchObject({ succeeded: 1, failed: 31, skipped: 1 });
  expect(second.failedTenants).toHaveLength(20);
  expect(second.failedTenants[0]).toBe(first.failedTenants[0]);
});

test.each([
  [JSON.stringify({ Status: 'FAILED', Error: 'BackupInProgress' }), 'skipped', 'BackupInProgress'],
  [JSON.stringify({ Status: 'FAILED', Error: 'TenantNotBackupable' }), 'skipped', 'TenantNotBackupable'],
  [JSON.stringify({ Status: 'FAILED', Error: 'BackupDuringMove' }), 'failed', 'BackupDuringMove'],
  [JSON.stringify({ Status: 'TIMED_OUT' }), 'failed', 'TIMED_OUT'],
  [JSON.stringify({ Status: 'ABORTED' }), 'failed', 'ABORTED'],
  ['not JSON', 'failed', 'unknown'],
  ['{}', 'failed', 'unknown'],
])('the failure %s of a tenant has the outcome %s', (cause, outcome, error) => {
  expect(outcomeOfFailure(cause)).toEqual({ outcome, error });
});
