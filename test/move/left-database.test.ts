import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { launchTarget } from '../../functions/moves/make-target.ts';
import type { StackProgress } from '../../functions/places/dedicated-stack.ts';
import { DELETED, EPOCH, type LeftDatabase, LeftDatabaseWorld, WHOLE } from './left-database-world.ts';

let world: LeftDatabaseWorld;
let left: LeftDatabase;
beforeAll(async () => {
  world = await LeftDatabaseWorld.start();
});
afterAll(() => world?.stop());
beforeEach(async () => {
  left = await world.addTenant();
});

test('what the tenant left is deleted with its stack and secrets, but for a final snapshot, and the move tells it', async () => {
  expect(await left.remains()).toEqual(WHOLE);
  expect(await left.once()).toEqual({ done: false });
  await left.untilDone();
  expect(await left.remains()).toEqual(DELETED);
  const { state, report } = await left.hop();
  expect(state).toBe('cleaned');
  expect(report).toEqual({
    rows: 1,
    deletedDatabase: {
      stackName: left.stackName,
      cluster: expect.stringContaining(left.stackName),
      snapshot: `${left.stackName}-e${EPOCH}`,
      deletedAt: expect.stringMatching(/Z$/),
    },
  });
  const audited = await world.plane.master.query<{ action: string }>(
    `SELECT action FROM control_audit_log WHERE tenant_id = :tenantId::uuid ORDER BY created_at, log_id`,
    { tenantId: left.tenantId },
  );
  expect(audited.map(({ action }) => action)).toEqual(['database.delete', 'database.deleted']);
  // A state that is delivered once more.
  expect(await left.once()).toEqual({ done: true });
});

test('a move back that comes after the decision waits for the deletion and launches anew', async () => {
  expect(await left.once()).toEqual({ done: false });
  expect(await left.hop()).toMatchObject({ result: { deletion: { stackName: left.stackName } } });
  const hop = await left.comeBack();
  const look = async (cursor?: unknown) =>
    launchTarget(world.plane.registry, await hop.context(0), world.settings, cursor);
  let { cursor } = await look();
  expect(cursor).toMatchObject({ ready: false, phase: 'clearing', stackId: null });
  expect((await left.remains()).stacks).toEqual(['CREATE_COMPLETE']);
  await left.untilDone();
  let done = false;
  while (!done)
    ({ done, cursor } = (await look(cursor)) as { done: boolean; cursor: StackProgress | undefined });
  expect(await left.remains()).toEqual({
    ...WHOLE,
    snapshots: DELETED.snapshots,
    stacks: expect.arrayContaining(['CREATE_COMPLETE', 'DELETE_COMPLETE']),
  });
});

test('a move to another size neither keeps the database that was left nor waits for its deletion', async () => {
  const hop = await left.comeBack('large');
  expect(await left.once()).toEqual({ done: false });
  expect(await left.hop()).toMatchObject({ result: { deletion: { stackName: left.stackName } } });
  let cursor: unknown;
  let done = false;
  while (!done) {
    ({ done, cursor } = await launchTarget(
      world.plane.registry,
      await hop.context(0),
      world.settings,
      cursor,
    ));
    expect((cursor as StackProgress).phase).not.toBe('clearing');
  }
  expect((await left.remains()).stacks).toEqual(
    expect.arrayContaining(['CREATE_COMPLETE', 'CREATE_COMPLETE']),
  );
  expect((await hop.context(0)).hop.target).toMatchObject({ stackName: `${left.stackName}-large` });
  await left.untilDone();
  const { stacks } = await left.remains();
  expect(stacks.filter((status) => status === 'CREATE_COMPLETE')).toHaveLength(1);
});
