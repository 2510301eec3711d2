/** Steps that run twice: one after the other, and at once, as a workflow's retry behind a function that still lives. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { tenantSql } from '../../functions/database/session/tenant-sql.ts';
import { cleanUpRelocate } from '../../functions/moves/relocate/clean-up-relocate.ts';
import { endReplication } from '../../functions/moves/relocate/replication.ts';
import { rollBackRelocate } from '../../functions/moves/relocate/roll-back-relocate.ts';
import { FULL_RUN, sampled } from '../full-run.ts';
import { createRelocationWorld, linesOf, type RelocationWorld } from './relocation-world.ts';
import { type PhaseName, relocateSteps, runRelocation, untilDone } from './run-relocation.ts';

let world: RelocationWorld;
beforeAll(async () => {
  // Two of everything at once on a busy machine take their time.
  process.env.MOVE_MAX_PAUSE_MS = '1000';
  world = await createRelocationWorld();
});
afterAll(() => world?.end());

const add = (email: string) =>
  tenantSql.insertInto('employees').values({ email, first_name: 'A', last_name: 'B' });
const phases = Object.keys(relocateSteps) as PhaseName[];

/** Either run may be refused because the other one is at work; then it is tried again, as the workflow would. */
async function twiceAtOnce(work: () => Promise<unknown>): Promise<void> {
  const again = async () => {
    for (let tries = 0; ; tries++) {
      try {
        return await work();
      } catch (error) {
        const { name, code } = error as { name: string; code?: string };
        const passing = ['CutOverPostponed', 'WritersBusy', 'MoverBusy', 'TenantUnreachable'].includes(name);
        if (tries > 20 || !(passing || ['40P01', '55P03', '57P01'].includes(code ?? ''))) throw error;
      }
    }
  };
  await Promise.all([again(), again()]);
}

test.runIf(FULL_RUN)('every step may run twice in a row', async () => {
  const tenant = await world.addTenant();
  await tenant.access.batch('write', [add('a@x.test')]);
  const hop = await world.hop(tenant, world.y);
  const kept = {};
  for (const phase of phases) {
    await untilDone(phase, hop, kept);
    await untilDone(phase, hop, kept);
    await tenant.access.batch('write', [add(`${phase}@x.test`)]);
  }
  await endReplication(hop);
  await world.settle(tenant, hop);
  for (let n = 0; n < 2; n++)
    expect(await cleanUpRelocate(hop, performance.now() + 5_000)).toEqual({ done: true });
  expect(linesOf(await world.inventory(), tenant)).toEqual([
    `x: placement ${tenant.tenantId} 2 moved `,
    `y: placement ${tenant.tenantId} 2 active `,
    `y: role ${hop.target.roleName}`,
    `y: schema ${hop.target.schemaName}`,
  ]);
  const [rows] = await tenant.access.batch('read', [tenantSql.selectFrom('employees').select('email')]);
  expect(rows).toHaveLength(phases.length + 1);
});

test('every step may run twice at once, and so may what ends the move', async () => {
  const tenant = await world.addTenant();
  await tenant.access.batch('write', [add('a@x.test')]);
  const hop = await world.hop(tenant, world.y);
  const kept = {};
  for (const phase of phases) {
    await twiceAtOnce(() => untilDone(phase, hop, kept));
    await tenant.access.batch('write', [add(`${phase}@x.test`)]);
  }
  await twiceAtOnce(() => endReplication(hop));
  await world.settle(tenant, hop);
  await twiceAtOnce(() => cleanUpRelocate(hop, performance.now() + 5_000));
  const [rows] = await tenant.access.batch('read', [tenantSql.selectFrom('employees').select('email')]);
  expect(rows).toHaveLength(phases.length + 1);
  expect(linesOf(await world.inventory(), tenant)).toHaveLength(4);
});

test('a roll-back may run twice at once and again; the steps of its attempt are refused then', async () => {
  const tenant = await world.addTenant();
  const before = linesOf(await world.inventory(), tenant);
  const phases: PhaseName[] = ['prepare', 'copy', 'index', 'catch-up'];
  for (const to of sampled(phases.slice(-1), phases)) {
    const hop = await world.hop(tenant, world.y);
    await runRelocation(hop, { to });
    await twiceAtOnce(() => rollBackRelocate(hop));
    await rollBackRelocate(hop);
    expect(linesOf(await world.inventory(), tenant), to).toEqual(before);
    await tenant.access.batch('write', [add(`${to}@x.test`)]);
    await expect(untilDone('cut-over', hop, {})).rejects.toThrow();
    expect(linesOf(await world.inventory(), tenant), to).toEqual(before);
  }
});

test('a move that is committed is not rolled back, not even when it is settled', async () => {
  const tenant = await world.addTenant();
  const hop = await world.hop(tenant, world.y);
  await runRelocation(hop, { to: 'cut-over' });
  await expect(rollBackRelocate(hop)).rejects.toMatchObject({ name: 'MoveCommitted' });
  await runRelocation(hop, { from: 'compare' });
  await world.settle(tenant, hop);
  await expect(rollBackRelocate(hop)).rejects.toMatchObject({ name: 'MoveCommitted' });
  await tenant.access.batch('write', [add('a@x.test')]);
});

test('a tenant that comes back to a dedicated database keeps its role when the old schema goes', async () => {
  const tenant = await world.addTenant();
  const first = await world.hop(tenant, world.y, 'dedicated');
  await runRelocation(first);
  await world.settle(tenant, first);
  const away = await world.hop(tenant, world.x);
  await runRelocation(away);
  await world.settle(tenant, away);
  const { roleName, secretArn } = first.target;
  const planned = await world.hop(tenant, world.y, 'dedicated');
  // The role belongs to the database's stack.
  const back = { ...planned, target: { ...planned.target, roleName, secretArn } };
  await runRelocation(back, { to: 'index' });
  expect(await cleanUpRelocate(away, performance.now() + 5_000)).toEqual({ done: true });
  await runRelocation(back, { from: 'catch-up' });
  await world.settle(tenant, back);
  await tenant.access.batch('write', [add('a@x.test')]);
  expect(linesOf(await world.inventory(), tenant)).toContain(`y: role ${roleName}`);
});
