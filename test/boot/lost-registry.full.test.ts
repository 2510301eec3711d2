/**
 * A registry that is put back to an earlier time, after which one tenant was moved, one restored and one onboarded:
 * `strata reconcile` names the three, and with `--apply` all are served again with their rows and backups.
 */
import { resolve } from 'node:path';
import type pg from 'pg';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import type { ApiClient } from '../../infra/cli/api-client.ts';
import { strata } from '../infra/cli/run-command.ts';
import { sharedAssembly } from '../infra/synthesized-app.ts';
import { asSuperuser, type ClusterRecord, clusters } from '../platform/platform-databases.ts';
import { OwnPlatform } from './own-platform.ts';

let platform: OwnPlatform;
let api: ApiClient;
beforeAll(async () => {
  const STRATA_ASSEMBLY = (await sharedAssembly('local')).directory;
  platform = new OwnPlatform(resolve(import.meta.dirname, '../..'), undefined, { STRATA_ASSEMBLY });
  await platform.start();
  api = await platform.client();
}, 240_000);
afterAll(() => platform?.stop());

const reconcile = (...flags: string[]) =>
  strata(['reconcile', ...flags], { AWS_ENDPOINT_URL: platform.awsUrl, STRATA_DIR: platform.stateDir });

/** In the order in which their rows may be inserted. */
const TABLES = [
  'tenants',
  'tenant_users',
  'tenant_database_routing',
  'tenant_moves',
  'tenant_move_hops',
  'tenant_backups',
  'tenant_backup_parts',
  'usage_samples',
  'tenant_offers',
  'promotion_decisions',
];

async function inRegistry<Result>(work: (registry: pg.Client) => Promise<Result>): Promise<Result> {
  const [cluster] = await clusters(platform, 'registry');
  const registry = await asSuperuser(platform, cluster as ClusterRecord);
  try {
    return await work(registry);
  } finally {
    await registry.end();
  }
}

const copyOf = (table: string) => `earlier_${table}`;

const keepCopy = () =>
  inRegistry(async (registry) => {
    for (const table of TABLES) await registry.query(`CREATE TABLE ${copyOf(table)} AS TABLE ${table}`);
  });

/** As `restore-db-cluster-to-point-in-time` would leave the tables. */
const putCopyBack = () =>
  inRegistry(async (registry) => {
    await registry.query('BEGIN');
    for (const table of [...TABLES].reverse()) await registry.query(`DELETE FROM ${table}`);
    for (const table of TABLES) {
      await registry.query(`INSERT INTO ${table} SELECT * FROM ${copyOf(table)}`);
    }
    await registry.query('COMMIT');
  });

async function ended(path: string): Promise<{ status: string; reason: string | null }> {
  let last = { status: 'running', reason: null as string | null };
  await vi.waitUntil(
    async () => {
      last = await api.get<typeof last>(path);
      return last.status !== 'running';
    },
    { timeout: 120_000, interval: 50 },
  );
  return last;
}

async function backUp(slug: string): Promise<string> {
  const { backupId } = await api.post<{ backupId: string }>(`/tenants/${slug}/backups`, {});
  expect(await ended(`/tenants/${slug}/backups/${backupId}`)).toMatchObject({ status: 'succeeded' });
  return backupId;
}

async function peopleOf(slug: string): Promise<number> {
  const { tenantId } = await api.get<{ tenantId: string }>(`/tenants/${slug}`);
  const user = await platform.client({ tenantId, email: `admin@${slug}.test` });
  return (await user.list('/employees')).length;
}

test('a registry that was restored to an earlier time follows databases and backups', async () => {
  const untouched = await reconcile();
  expect(untouched.out).toContain('no difference');
  expect(untouched.code).toBe(0);
  const slugs = ['initech', 'globex', 'acme'];
  const earlier = await backUp('globex');
  await keepCopy();

  const { moveId } = await api.post<{ moveId: string }>('/tenants/initech/moves', { targetTier: 'business' });
  expect(await ended(`/tenants/initech/moves/${moveId}`)).toMatchObject({ status: 'succeeded' });
  const { restoreId } = await api.post<{ restoreId: string }>('/tenants/globex/restores', {
    backupId: earlier,
    mode: 'replace',
  });
  expect(await ended(`/tenants/globex/restores/${restoreId}`)).toMatchObject({ status: 'succeeded' });
  const hooli = { name: 'Hooli', slug: 'hooli', tier: 'business', adminEmail: 'admin@hooli.test' };
  await platform.finished(await platform.startOnboarding(hooli));
  const later = await backUp('hooli');
  const before = await Promise.all([...slugs, 'hooli'].map(peopleOf));

  await putCopyBack();
  const seen = await reconcile();
  expect(seen.code).toBe(1);
  for (const kind of ['placement-newer', 'tenant-unknown', 'backup-unknown'])
    expect(seen.out).toContain(kind);
  expect(seen.out).toContain('4 differences, 0 mended');

  const applied = await reconcile('--apply');
  expect([applied.code, applied.error]).toEqual([0, '']);
  expect(applied.out).toContain('4 differences, 4 mended');
  expect((await reconcile()).out).toContain('no difference');
  expect(await api.get('/tenants/initech')).toMatchObject({ tier: 'business', isolationModel: 'schema' });
  expect(await Promise.all([...slugs, 'hooli'].map(peopleOf))).toEqual(before);
  const { items } = await api.get<{ items: { backupId: string; status: string }[] }>(
    '/tenants/hooli/backups',
  );
  expect(items).toMatchObject([{ backupId: later, status: 'succeeded' }]);
}, 400_000);
