import { afterAll, beforeAll, expect, test } from 'vitest';
import { insertBulkRows } from '../bench/move/bulk-rows.ts';
import { FULL_RUN } from '../full-run.ts';
import { createWorld, type World, type WorldTenant } from '../isolation/tenant-world.ts';
import { arrivalIn, hopOf, placeOf, StepLog, startHopWorld } from './hop-world.ts';
import type { LocalSecrets } from './local-secrets.ts';
import { reshape } from './reshape-steps.ts';
import { TableLoad } from './table-load.ts';

let world: World;
let secrets: LocalSecrets;
beforeAll(async () => {
  world = await createWorld(1, { pooled: false, poolSize: 4 });
  secrets = await startHopWorld();
});
afterAll(async () => {
  await world.end();
  await secrets.stop();
});

const ROWS = FULL_RUN ? 100_000 : 5_000;

test(`the pause does not grow with the rows: ${ROWS} of them, under writers`, async () => {
  const tenant = world.tenants.find(({ isolationModel }) => isolationModel === 'shared') as WorldTenant;
  const { tenantId } = tenant;
  const superuser = await world.cell.connect('superuser');
  await insertBulkRows(superuser, 'shared', ROWS, tenantId);
  await superuser.query('ANALYZE');
  const load = new TableLoad(tenant.access);
  load.start(2, 5);
  await load.written(50);
  const target = await arrivalIn(world.cell, secrets, 'schema', { tenantId, epoch: 2 });
  world.addLogin({ user: target.roleName, password: `password of ${target.roleName}` });
  const log = new StepLog(hopOf('reshape', tenantId, placeOf(world.cell, tenant), target));
  const started = performance.now();
  await reshape(log);
  const seconds = ((performance.now() - started) / 1_000).toFixed(1);
  await load.written(20);
  await load.stop();
  expect(load.violations).toEqual([]);
  expect(await load.verify()).toEqual([]);
  expect(log.kept.copiedRows).toBeGreaterThan(ROWS);
  console.info(`${log.kept.copiedRows} rows in ${seconds} s; pauses in ms: ${log.kept.pauses}`);
  expect(log.kept.writePauseMs).toBeLessThan(1_000);
});
