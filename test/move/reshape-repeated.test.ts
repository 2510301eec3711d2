/** Steps that are delivered twice: one after the other, at the same time, and when the move has long gone on. */
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { ClaimLost } from '../../functions/database/transfer/errors.ts';
import type { Hop, HopContext } from '../../functions/moves/hop.ts';
import { cutOverReshape } from '../../functions/moves/reshape/cut-over-reshape.ts';
import { rollBackReshape } from '../../functions/moves/reshape/roll-back-reshape.ts';
import { enterTenant, until } from '../enter-tenant.ts';
import { sampled } from '../full-run.ts';
import { TestDatabase, type TestTenant } from '../test-database.ts';
import { addPeople, emailsAt } from './few-people.ts';
import { arrivalIn, hopOf, placeOf, StepLog, startHopWorld } from './hop-world.ts';
import type { LocalSecrets } from './local-secrets.ts';
import { reshape, reshapeSteps } from './reshape-steps.ts';

let database: TestDatabase;
let secrets: LocalSecrets;
let owner: pg.Client;
beforeAll(async () => {
  database = await TestDatabase.clone();
  secrets = await startHopWorld();
  owner = await database.connect('owner');
});
afterAll(async () => {
  await database.drop();
  await secrets.stop();
});

async function begin(model: 'shared' | 'schema'): Promise<{ tenant: TestTenant; hop: Hop; log: StepLog }> {
  const tenant = await database.addTenant(model);
  await addPeople(database, placeOf(database, tenant), tenant.tenantId, 'before');
  const { tenantId } = tenant;
  const to = model === 'shared' ? 'schema' : 'shared';
  const target = await arrivalIn(database, secrets, to, { tenantId, epoch: 2 });
  const hop = hopOf('reshape', tenantId, placeOf(database, tenant), target);
  return { tenant, hop, log: new StepLog(hop) };
}

/** What the first delivery kept, a second one that began at the same time has not seen. */
const forgetful = (log: StepLog): HopContext => ({ ...log.context(), kept: {} });

describe.each(sampled<('shared' | 'schema')[]>(['schema'], ['shared', 'schema']))('from %s', (model) => {
  test('every step twice, and again with everything forgotten', async () => {
    const { tenant, hop, log } = await begin(model);
    for (const step of Object.values(reshapeSteps)) {
      await log.run(step);
      await addPeople(
        database,
        step === cutOverReshape ? hop.target : hop.source,
        tenant.tenantId,
        'between',
      );
      await log.run(step);
      expect((await step(forgetful(log))).done).toBe(true);
    }
    expect(await emailsAt(database, hop.target, tenant.tenantId)).toHaveLength(6 * 3);
  });

  test('every step twice at once', async () => {
    const { tenant, hop, log } = await begin(model);
    for (const step of Object.values(reshapeSteps)) {
      await Promise.all([log.run(step), log.run(step)]);
      await addPeople(
        database,
        step === cutOverReshape ? hop.target : hop.source,
        tenant.tenantId,
        'between',
      );
    }
    expect(await emailsAt(database, hop.target, tenant.tenantId)).toHaveLength(6 * 3);
  });

  test('an earlier step that comes again before the commit point takes nothing back', async () => {
    const { tenant, hop, log } = await begin(model);
    for (const step of ['prepare', 'copy', 'index', 'catch-up'] as const) await log.run(reshapeSteps[step]);
    await addPeople(database, hop.source, tenant.tenantId, 'late');
    for (const step of ['copy', 'index', 'catch-up', 'prepare'] as const)
      expect(await reshapeSteps[step](forgetful(log))).toEqual({ done: true });
    await log.run(reshapeSteps['cut-over']);
    expect(await emailsAt(database, hop.target, tenant.tenantId)).toHaveLength(6);
  });

  test('an earlier step that comes again after the commit point is refused', async () => {
    const { tenant, hop, log } = await begin(model);
    await reshape(log);
    await addPeople(database, hop.target, tenant.tenantId, 'there');
    const at = await emailsAt(database, hop.target, tenant.tenantId);
    for (const step of ['prepare', 'copy', 'catch-up'] as const)
      await expect(reshapeSteps[step](forgetful(log)), step).rejects.toThrow(ClaimLost);
    expect(await emailsAt(database, hop.target, tenant.tenantId)).toEqual(at);
  });

  test('a step of an attempt that was rolled back is refused', async () => {
    const { hop, log } = await begin(model);
    await log.run(reshapeSteps.prepare);
    await rollBackReshape(hop);
    for (const step of ['copy', 'catch-up', 'cut-over'] as const)
      await expect(reshapeSteps[step](forgetful(log)), step).rejects.toThrow(ClaimLost);
  });
});

test('a write that began before the capture is in the copy: its end is awaited', async () => {
  const { tenant, hop, log } = await begin('shared');
  const writer = await database.connect(tenant.login);
  await enterTenant(writer, tenant, 'write');
  await writer.query(`INSERT INTO employees (email, first_name, last_name) VALUES ('open@x.test', 'A', 'B')`);
  let prepared = false;
  const preparing = log.run(reshapeSteps.prepare).then(() => {
    prepared = true;
  });
  const isWaiting = async () => {
    const { rows } = await owner.query(`SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted`);
    return rows.length > 0 || prepared;
  };
  await until(isWaiting);
  expect(prepared).toBe(false);
  await writer.query('COMMIT');
  await preparing;
  for (const step of ['copy', 'index', 'catch-up', 'cut-over'] as const) await log.run(reshapeSteps[step]);
  expect(await emailsAt(database, hop.target, tenant.tenantId)).toHaveLength(4);
});

test('a writer that holds its transaction open puts off the commit, and others go on writing', async () => {
  const { tenant, hop, log } = await begin('shared');
  for (const step of ['prepare', 'copy', 'index', 'catch-up'] as const) await log.run(reshapeSteps[step]);
  const writer = await database.connect(tenant.login);
  await enterTenant(writer, tenant, 'write');
  await writer.query(`INSERT INTO employees (email, first_name, last_name) VALUES ('open@x.test', 'A', 'B')`);
  const outcome = await cutOverReshape(log.context(200));
  expect(outcome).toEqual({ done: false });
  expect(log.kept.fenceTries).toBe(1);
  await addPeople(database, hop.source, tenant.tenantId, 'meanwhile');
  await writer.query('COMMIT');
  await log.run(cutOverReshape);
  expect(await emailsAt(database, hop.target, tenant.tenantId)).toHaveLength(7);
});

test('a pause that grows too long is given up, and the tenant writes on', async () => {
  const { tenant, hop, log } = await begin('shared');
  for (const step of ['prepare', 'copy', 'index', 'catch-up'] as const) await log.run(reshapeSteps[step]);
  vi.stubEnv('MOVE_MAX_PAUSE_MS', '1');
  const { done } = await cutOverReshape(log.context(100));
  vi.unstubAllEnvs();
  expect(done).toBe(false);
  const { rows } = await owner.query('SELECT state, epoch FROM tenancy.placement WHERE tenant_id = $1', [
    tenant.tenantId,
  ]);
  expect(rows).toEqual([{ state: 'active', epoch: '1' }]);
  await addPeople(database, hop.source, tenant.tenantId, 'meanwhile');
  await log.run(cutOverReshape);
  expect(await emailsAt(database, hop.target, tenant.tenantId)).toHaveLength(6);
  expect((log.kept.pauses as number[]).length).toBeGreaterThan(1);
});
