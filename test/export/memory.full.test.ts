import { afterAll, beforeAll, expect, test } from 'vitest';
import { BackupWorld } from '../backup/backup-world.ts';
import { begin, startWriter } from './export-world.ts';

let world: BackupWorld;
beforeAll(async () => {
  world = await BackupWorld.start();
});
afterAll(() => world?.stop());

/** Peak memory of a process that exports a tenant with this many megabytes in one part of one table. */
async function peakWith(megabytes: number): Promise<number> {
  const tenant = await world.addTenant('schema');
  const superuser = await tenant.database.connect('superuser');
  // Random text, because it cannot be compressed much.
  await superuser.query(
    `INSERT INTO ${tenant.schemaName}.roles (role_name, description)
     SELECT 'role', (SELECT string_agg(md5(random()::text || n || m), '') FROM generate_series(1, 320) AS m)
     FROM generate_series(1, $1::int) AS n`,
    [megabytes * 100],
  );
  const { backupId } = await world.backUp(tenant, { partBytes: 2 ** 32 });
  const run = await begin(world, tenant.tenantId, backupId);
  await run.source();
  const report = await startWriter(world, run.exportId).report();
  if (process.env.STRATA_SHOW_FIGURES) console.log(megabytes, report);
  return report.peakMemory;
}

test('memory does not grow with the size of a part', { timeout: 120_000 }, async () => {
  const [small, large] = [await peakWith(40), await peakWith(120)];
  // On a busy machine, garbage is collected later, so the limit has some margin.
  expect(large).toBeLessThan(512 * 2 ** 20);
  expect(large - small).toBeLessThan(160 * 2 ** 20);
});
