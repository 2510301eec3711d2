import { afterAll, beforeAll, expect, test } from 'vitest';
import { releaseClaim } from '../../functions/database/transfer/claim.ts';
import { cleanUpReshape } from '../../functions/moves/reshape/clean-up-reshape.ts';
import { sampled } from '../full-run.ts';
import { createWorld, type World, type WorldTenant } from '../isolation/tenant-world.ts';
import { arrivalIn, hopOf, placeOf, StepLog, startHopWorld } from './hop-world.ts';
import type { LocalSecrets } from './local-secrets.ts';
import { reshape } from './reshape-steps.ts';
import { TableLoad } from './table-load.ts';

let world: World;
let secrets: LocalSecrets;
beforeAll(async () => {
  world = await createWorld(2, { pooled: false, poolSize: 4 });
  secrets = await startHopWorld();
});
afterAll(async () => {
  await world.end();
  await secrets.stop();
});

const tenantsOf = (model: string) => world.tenants.filter(({ isolationModel }) => isolationModel === model);

async function hopFor(tenant: WorldTenant, source = placeOf(world.cell, tenant)) {
  const model = source.isolationModel === 'shared' ? 'schema' : 'shared';
  const { tenantId } = tenant;
  const target = await arrivalIn(world.cell, secrets, model, { tenantId, epoch: source.epoch + 1 });
  world.addLogin({
    user: target.roleName,
    password: model === 'shared' ? world.cell.login('starter').password : `password of ${target.roleName}`,
  });
  return hopOf('reshape', tenantId, source, target);
}

// There and back again, both take both ways.
test.each(sampled<('shared' | 'schema')[]>(['shared'], ['shared', 'schema']))(
  'from %s there and back again under writers, nothing is lost, doubled or refused',
  async (model) => {
    const [tenant, neighbour] = tenantsOf(model) as [WorldTenant, WorldTenant];
    const owner = await world.cell.connect('owner');
    const quiet = new TableLoad(neighbour.access);
    quiet.start(1);
    await quiet.written(30);
    await quiet.stop();
    const load = new TableLoad(tenant.access);
    load.start(4, sampled(5, 1));
    await load.written(sampled(60, 200));

    let source = placeOf(world.cell, tenant);
    for (let round = 0; round < 2; round++) {
      const log = new StepLog(await hopFor(tenant, source));
      await reshape(log);
      expect(log.kept.writePauseMs).toBeLessThan(1_000);
      expect(log.kept.tables).toContainEqual(expect.objectContaining({ name: 'employees' }));
      await releaseClaim(owner, log.hop.attempt);
      await load.written(sampled(40, 100));
      await expect
        .poll(() => cleanUpReshape(log.hop, { deadline: performance.now() + 10_000, tables: [] }), {
          timeout: 20_000,
        })
        .toMatchObject({ done: true });
      source = log.hop.target;
    }

    await load.stop();
    expect(load.violations).toEqual([]);
    expect(await load.verify()).toEqual([]);
    expect(await quiet.verify(neighbour.access)).toEqual([]);
    const { rows: noted } = await owner.query(
      'SELECT count(*)::int AS keys FROM tenancy.captured_changes WHERE tenant_id = $1',
      [tenant.tenantId],
    );
    expect(noted).toEqual([{ keys: 0 }]);
  },
);
