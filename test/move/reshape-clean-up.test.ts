import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { releaseClaim } from '../../functions/database/transfer/claim.ts';
import type { Hop } from '../../functions/moves/hop.ts';
import { cleanUpReshape } from '../../functions/moves/reshape/clean-up-reshape.ts';
import { rollBackReshape } from '../../functions/moves/reshape/roll-back-reshape.ts';
import type { Place } from '../../functions/places/place.ts';
import { enterTenant, until } from '../enter-tenant.ts';
import { sampled } from '../full-run.ts';
import { TestDatabase, type TestTenant } from '../test-database.ts';
import { catalogueOfMoves } from './catalogue-of-moves.ts';
import { addPeople, emailsAt, loginOf, sampledEmails } from './few-people.ts';
import { arrivalIn, hopOf, placeOf, StepLog, startHopWorld } from './hop-world.ts';
import type { LocalSecrets } from './local-secrets.ts';
import { reshape, reshapeSteps } from './reshape-steps.ts';

let database: TestDatabase;
let secrets: LocalSecrets;
let owner: pg.Client;
let superuser: pg.Client;
beforeAll(async () => {
  database = await TestDatabase.clone();
  secrets = await startHopWorld();
  owner = await database.connect('owner');
  superuser = await database.connect('superuser');
});
afterAll(async () => {
  await database.drop();
  await secrets.stop();
});

async function hopFrom(source: Place, tenantId: string): Promise<Hop> {
  const to = source.isolationModel === 'shared' ? 'schema' : 'shared';
  const target = await arrivalIn(database, secrets, to, { tenantId, epoch: source.epoch + 1 });
  return hopOf('reshape', tenantId, source, target);
}

/** Moves the tenant to the other model and settles it. */
async function move(source: Place, tenantId: string): Promise<Hop> {
  const hop = await hopFrom(source, tenantId);
  await reshape(new StepLog(hop));
  await releaseClaim(owner, hop.attempt);
  return hop;
}

async function addTenant(model: 'shared' | 'schema'): Promise<TestTenant> {
  const tenant = await database.addTenant(model);
  await addPeople(database, placeOf(database, tenant), tenant.tenantId, 'before');
  return tenant;
}

const soon = () => ({ deadline: performance.now() + 20_000, tables: ['employees'] });
const notDone = { done: false, samplesIn: [] };
/** Other tests' transactions may hold it up for a moment too. */
const cleaned = (hop: Hop) => until(async () => (await cleanUpReshape(hop, soon())).done);

describe.each(sampled<('shared' | 'schema')[]>(['schema'], ['shared', 'schema']))('from %s', (model) => {
  test('what the tenant left is removed, again and again if need be', async () => {
    const tenant = await addTenant(model);
    const hop = await move(placeOf(database, tenant), tenant.tenantId);
    await cleaned(hop);
    await cleaned(hop);
    const left = await catalogueOfMoves(superuser, tenant.tenantId);
    if (model === 'shared') expect(left).toContain('shared.employees: 0');
    else expect(left).not.toContain(`schema ${hop.source.schemaName}`);
    expect(left.filter((line) => line.startsWith('role'))).toEqual(
      model === 'shared' ? [`role ${hop.target.roleName}`] : [],
    );
    expect(await emailsAt(database, hop.target, tenant.tenantId)).toHaveLength(3);
  });

  test('who has been reading since before the commit point is waited for', async () => {
    const tenant = await addTenant(model);
    const source = placeOf(database, tenant);
    const reader = await database.connect(loginOf(database, source));
    await enterTenant(reader, tenant, 'read');
    const hop = await move(source, tenant.tenantId);
    expect(await cleanUpReshape(hop, soon())).toEqual(notDone);
    expect((await reader.query('SELECT FROM employees')).rowCount).toBe(3);
    await reader.query('COMMIT');
    await cleaned(hop);
  });

  test('a tenant that has moved back keeps everything', async () => {
    const tenant = await addTenant(model);
    const there = await move(placeOf(database, tenant), tenant.tenantId);
    const back = await move(there.target, tenant.tenantId);
    await addPeople(database, back.target, tenant.tenantId, 'back');
    await cleaned(there);
    await cleaned(back);
    expect(await emailsAt(database, back.target, tenant.tenantId)).toHaveLength(6);
  });
});

test('a tenant that is just moving back is not touched', async () => {
  const tenant = await addTenant('shared');
  const { tenantId } = tenant;
  const there = await move(placeOf(database, tenant), tenantId);
  const back = new StepLog(await hopFrom(there.target, tenantId));
  for (const step of ['prepare', 'copy', 'index', 'catch-up'] as const) await back.run(reshapeSteps[step]);
  expect(await cleanUpReshape(there, soon())).toEqual(notDone);
  await back.run(reshapeSteps['cut-over']);
  await releaseClaim(owner, back.hop.attempt);
  await cleaned(there);
  expect(await emailsAt(database, back.hop.target, tenantId)).toHaveLength(3);
});

test('a clean-up whose time is up goes on with the next call', async () => {
  const tenant = await addTenant('shared');
  const hop = await move(placeOf(database, tenant), tenant.tenantId);
  await until(async () => !(await cleanUpReshape(hop, { ...soon(), deadline: performance.now() - 1 })).done);
  await cleaned(hop);
  expect(await catalogueOfMoves(superuser, tenant.tenantId)).toContain('shared.employees: 0');
});

test('what the planner has sampled of the tenant’s columns goes with its rows', async () => {
  const [tenant, neighbour] = [await addTenant('shared'), await addTenant('shared')];
  const hop = await move(placeOf(database, tenant), tenant.tenantId);
  await superuser.query('ANALYZE shared.employees');
  const [own] = await emailsAt(database, hop.target, tenant.tenantId);
  const [other] = await emailsAt(database, placeOf(database, neighbour), neighbour.tenantId);
  // The rows are at both places until the clean-up.
  expect(await sampledEmails(superuser)).toContain(own);
  await cleaned(hop);
  expect(await sampledEmails(superuser)).toContain(other);
  expect(await sampledEmails(superuser)).not.toContain(own);
  expect((await cleanUpReshape(hop, soon())).samplesIn).toEqual([]);
});

test('what the planner has sampled of copied rows goes with a roll back', async () => {
  const [tenant, neighbour] = [await addTenant('schema'), await addTenant('shared')];
  const log = new StepLog(await hopFrom(placeOf(database, tenant), tenant.tenantId));
  for (const step of ['prepare', 'copy'] as const) await log.run(reshapeSteps[step]);
  await superuser.query('ANALYZE shared.employees');
  const [own] = await emailsAt(database, log.hop.source, tenant.tenantId);
  const [other] = await emailsAt(database, placeOf(database, neighbour), neighbour.tenantId);
  expect(await sampledEmails(superuser)).toContain(own);
  await rollBackReshape(log.hop);
  expect(await sampledEmails(superuser)).toContain(other);
  expect(await sampledEmails(superuser)).not.toContain(own);
});
