/** The rows that a restore replaced are kept for the grace period, can be brought back, and are dropped afterwards. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { BackupManifest } from '../../functions/backups/manifest.ts';
import { cleanUpHop } from '../../functions/moves/clean-up-hop.ts';
import { endMove } from '../../functions/moves/end-move.ts';
import { keptIn } from '../../functions/moves/hop.ts';
import { abortMove } from '../../functions/moves/request-move.ts';
import { UndoImpossible } from '../../functions/restores/errors.ts';
import type { BackedUp } from '../backup/backup-world.ts';
import { asTenant } from '../enter-tenant.ts';
import { FULL_RUN, sampled } from '../full-run.ts';
import { type AskedRestore, RestoreWorld, type Rows, restoredTables } from './restore-world.ts';
import { damage } from './tenant-rows.ts';

let world: RestoreWorld;
beforeAll(async () => {
  world = await RestoreWorld.start();
});
afterAll(() => world?.stop());

interface Restored {
  readonly tenant: BackedUp;
  readonly tenantId: string;
  readonly backup: BackupManifest;
  readonly restored: AskedRestore;
  readonly original: Rows;
  readonly damaged: Rows;
}

/** A tenant that was backed up, damaged and restored. */
async function restoredTenant(model: 'shared' | 'schema' | 'dedicated'): Promise<Restored> {
  const tenant = await world.addTenant(model);
  const { tenantId } = tenant;
  await world.addRows(tenantId, 120);
  const backup = await world.backUp(tenant);
  const original = await world.rows(tenantId, restoredTables);
  await damage(world, tenant, [{ table: 'employees', kind: 'update', part: 1 }]);
  const damaged = await world.rows(tenantId);
  const restored = await world.replace(tenantId, backup);
  return { tenant, tenantId, backup, restored, original, damaged };
}

const settledHops = async (tenantId: string) =>
  (
    await world.registry.query<{ id: string }>(
      `SELECT move_id::text AS id FROM tenant_move_hops WHERE tenant_id = :tenantId::uuid AND state = 'settled'
       ORDER BY created_at`,
      { tenantId },
    )
  ).map(({ id }) => id);

const named = async (tenantId: string, kind: RegExp) =>
  (await world.traces(tenantId)).filter((line) => kind.test(line));

/** Schemas with the tenant's rows: that of its place, and the kept ones. */
const schemasOf = async (tenantId: string) =>
  (await named(tenantId, /^schema/)).map((line) => line.slice('schema '.length));

async function write(world: RestoreWorld, { tenantId, login }: BackedUp): Promise<void> {
  const { epoch, testDatabase, roleName } = await world.place(tenantId);
  expect(roleName).toBe(login.user);
  const client = await testDatabase.connect(login);
  await asTenant(client, { tenantId, epoch }, 'write', () =>
    client.query('INSERT INTO skills (skill_name) VALUES ($1)', [randomUUID()]),
  );
  await client.end();
}

const MODELS = sampled<('shared' | 'schema' | 'dedicated')[]>(['schema'], ['shared', 'schema', 'dedicated']);

describe.each(MODELS)('under the %s model', (model) => {
  /** For several tests in turn: `restored` is its latest restore or undo. */
  let lasting: Restored;
  beforeAll(async () => {
    lasting = await restoredTenant(model);
  });

  test('an undo of an undo brings the restored rows back', async () => {
    const { tenantId, restored, damaged, original } = lasting;
    const undone = await world.undo(restored);
    expect(await world.rows(tenantId)).toEqual(damaged);
    lasting = { ...lasting, restored: await world.undo(undone) };
    expect(await world.rows(tenantId, restoredTables)).toEqual(original);
    expect(await world.hasModelOfTier(tenantId)).toBe(true);
  });

  test('an aborted undo keeps the replaced rows, and the next undo succeeds', async () => {
    const { tenantId, restored, original, damaged } = lasting;
    const undo = await world.ask(tenantId, { mode: 'undo', undoes: restored.restoreId });
    await world.run(undo, '0 cut-over');
    await abortMove(world.registry, { tenantId, moveId: undo.restoreId, operator: 'operator' });
    await expect(world.run(undo)).rejects.toMatchObject({ name: 'MoveAborted' });
    await endMove(world.registry, undo.restoreId, { stopped: { status: 'aborted', reason: 'aborted' } });
    expect(await world.rows(tenantId, restoredTables)).toEqual(original);
    expect(await world.view(restored)).toMatchObject({ canBeUndone: true });
    lasting = { ...lasting, restored: await world.undo(restored) };
    expect(await world.rows(tenantId)).toEqual(damaged);
  });

  test('an undo fails with UndoImpossible if the kept schema is dropped meanwhile', async () => {
    const { tenantId, restored } = lasting;
    const before = await world.rows(tenantId);
    const undo = await world.ask(tenantId, { mode: 'undo', undoes: restored.restoreId });
    await world.run(undo, '0 fill');
    const [hop] = await world.hops(restored);
    const { testDatabase } = await world.place(tenantId);
    await (await world.superuser(testDatabase)).query(`DROP SCHEMA ${keptIn(hop!)} CASCADE`);
    await expect(world.run(undo)).rejects.toThrow(UndoImpossible);
    await endMove(world.registry, undo.restoreId, { stopped: { status: 'failed', reason: 'gone' } });
    expect(await world.rows(tenantId)).toEqual(before);
  });

  test('clean-up waits for the end of the grace period, then drops only the replaced rows', async () => {
    const { tenant, tenantId, restored, original } = await restoredTenant(model);
    const [hop] = await world.hops(restored);
    const kept = keptIn(hop!)!;
    const { schemaName } = await world.place(tenantId);
    expect(await schemasOf(tenantId)).toContain(kept);
    const reference = { moveId: restored.restoreId, hopIndex: 0 };
    const early = await cleanUpHop(world.registry, reference, {
      deadline: performance.now() + 10_000,
      keepDays: 0,
      keepReplacedHours: 72,
    });
    expect(early).toMatchObject({ done: false });
    expect(Date.parse(early.keepUntil)).toBe(Date.parse(String(hop!.result.committedAt)) + 72 * 3_600_000);
    expect(await schemasOf(tenantId)).toContain(kept);
    expect(await world.view(restored)).toMatchObject({ canBeUndone: true });

    await world.cleanUp(restored.restoreId);

    expect(await schemasOf(tenantId)).toEqual(model === 'shared' ? [] : [schemaName]);
    expect(await named(tenantId, /^role/)).toHaveLength(model === 'shared' ? 0 : 1);
    expect(await world.rows(tenantId, restoredTables)).toEqual(original);
    await write(world, tenant);
    expect(await world.view(restored)).toMatchObject({ canBeUndone: false });
    await expect(world.undo(restored)).rejects.toThrow(UndoImpossible);
  });

  test.runIf(FULL_RUN)(
    'two restores in a row are cleaned up in either order, and only the last one can be undone',
    async () => {
      for (const order of [1, -1]) {
        const { tenant, tenantId, backup, restored, original } = await restoredTenant(model);
        await damage(world, tenant, []);
        const between = await world.rows(tenantId);
        const second = await world.replace(tenantId, backup);
        await expect(world.undo(restored)).rejects.toThrow(UndoImpossible);
        expect(await world.view(restored)).toMatchObject({ canBeUndone: false });
        const undone = await world.undo(second);
        expect(await world.rows(tenantId)).toEqual(between);
        const third = await world.undo(undone);
        const all = [restored, second, undone, third];
        for (const { restoreId } of order === 1 ? all : all.toReversed()) {
          await world.cleanUp(restoreId);
          expect(await world.rows(tenantId, restoredTables)).toEqual(original);
          await write(world, tenant);
          const removed = `DELETE FROM ${model === 'shared' ? 'shared' : (await world.place(tenantId)).schemaName}.skills
                         WHERE skill_name ~ '^[0-9a-f-]{36}$'`;
          await (await world.superuser((await world.place(tenantId)).testDatabase)).query(removed);
        }
        expect(await schemasOf(tenantId)).toHaveLength(model === 'shared' ? 0 : 1);
        expect(await settledHops(tenantId)).toEqual([]);
      }
    },
  );
});

const MOVES = [
  ['shared', 'business'],
  ['schema', 'starter'],
] as const;

describe.each(sampled<(typeof MOVES)[number][]>([MOVES[0]], [...MOVES]))(
  'a restore of a tenant of the %s model and a move to %s',
  (model, tier) => {
    const orders = [
      ['the restore', 1],
      ['the move', -1],
    ] as const;
    test.each(sampled(orders.slice(1), [...orders]))('are cleaned up, %s first', async (_first, order) => {
      const { tenantId, restored, original } = await restoredTenant(model);
      const moveId = await world.move(tenantId, tier);
      expect(await world.view(restored)).toMatchObject({ canBeUndone: false });
      await expect(world.undo(restored)).rejects.toThrow(UndoImpossible);
      for (const id of order === 1 ? [restored.restoreId, moveId] : [moveId, restored.restoreId]) {
        await world.cleanUp(id);
        expect(await world.rows(tenantId, restoredTables)).toEqual(original);
      }
      const { schemaName } = await world.place(tenantId);
      const own = model === 'shared' ? [schemaName] : [];
      expect(await schemasOf(tenantId)).toEqual(own);
      expect(await named(tenantId, /^role/)).toEqual(own.map((name) => `role ${name}`));
      expect(await named(tenantId, /^secret/)).toEqual(
        own.map((name) => `secret strata/tenant/${tenantId}/${name}`),
      );
    });
  },
);

describe('an undo is refused', () => {
  let restoredOne: Restored;
  beforeAll(async () => {
    restoredOne = await restoredTenant('schema');
  });

  test('of a restore that failed before its commit', async () => {
    const { tenantId, backup } = restoredOne;
    const asked = await world.ask(tenantId, { mode: 'replace', backupId: backup.backupId });
    await world.run(asked, '0 fill');
    await endMove(world.registry, asked.restoreId, { stopped: { status: 'failed', reason: 'test' } });
    await expect(world.undo(asked)).rejects.toThrow(UndoImpossible);
  });

  test('of a restore that the tenant does not have, of a clone, and of a move', async () => {
    const { tenantId, backup } = restoredOne;
    const refused = (undoes: string, of = tenantId) =>
      expect(world.ask(of, { mode: 'undo', undoes })).rejects.toThrow(UndoImpossible);
    await refused(randomUUID());
    const clone = await world.addTenant('schema');
    await refused(restoredOne.restored.restoreId, clone.tenantId);
    const cloned = await world.restore(clone.tenantId, {
      mode: 'clone',
      backupId: backup.backupId,
      cloneOf: tenantId,
      mask: false,
    });
    await refused(cloned.restoreId);
    await refused(cloned.restoreId, clone.tenantId);
    expect(await world.view(cloned)).toMatchObject({ canBeUndone: false });
    await refused(await world.move(tenantId, 'starter'));
  });
});

test('the restore of a Starter tenant cannot be aborted after its first commit, and moves the tenant back', async () => {
  const tenant = await world.addTenant('shared');
  const { tenantId } = tenant;
  await world.addRows(tenantId, 60);
  const backup = await world.backUp(tenant);
  await damage(world, tenant, []);
  const asked = await world.ask(tenantId, { mode: 'replace', backupId: backup.backupId });
  await world.run(asked, '0 cut-over');
  const abort = () => abortMove(world.registry, { tenantId, moveId: asked.restoreId, operator: 'operator' });
  // The first commit makes an abort impossible.
  await world.phase(asked.restoreId, 0, 'cut-over');
  await expect(abort()).rejects.toMatchObject({ name: 'MoveNotAbortable' });
  await world.registry.query('UPDATE tenant_moves SET abort_requested_at = now() WHERE move_id = :id::uuid', {
    id: asked.restoreId,
  });
  await world.run(asked, undefined, '0 compare');
  expect(await world.view(asked)).toMatchObject({ status: 'succeeded' });
  expect(await world.hasModelOfTier(tenantId)).toBe(true);
});
