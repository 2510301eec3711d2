/** Random data → backup → damage → restore: every row has its original values, under all isolation models. */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { IsolationModel } from '../../functions/contracts/tenant.ts';
import type { BackedUp } from '../backup/backup-world.ts';
import { randomRows } from '../backup/random-rows.ts';
import { sampled } from '../full-run.ts';
import { RestoreWorld, restoredTables } from './restore-world.ts';
import { countOf, damage, damages, setRows, tables } from './tenant-rows.ts';

const MODELS = ['shared', 'schema', 'dedicated'] as const;

let world: RestoreWorld;
let neighbours: BackedUp[];
beforeAll(async () => {
  world = await RestoreWorld.start();
  neighbours = [await world.addTenant('shared'), await world.addTenant('schema')];
});
afterAll(() => world?.stop());

const rowsOfNeighbours = () => Promise.all(neighbours.map(({ tenantId }) => world.rows(tenantId)));

describe.each(sampled<IsolationModel[]>(['shared'], [...MODELS]))(
  'a tenant of the %s model',
  (model: IsolationModel) => {
    let tenant: BackedUp;
    beforeAll(async () => {
      tenant = await world.addTenant(model);
    });

    const timeout = sampled(60_000, 300_000);
    test('gets every row back after any damage, and an undo brings the damaged rows back', {
      timeout,
    }, async () => {
      const { tenantId } = tenant;
      const arbitrary = fc.tuple(randomRows(tables, 4), randomRows(tables, 2), damages);
      await fc.assert(
        fc.asyncProperty(arbitrary, async ([rows, others, list]) => {
          for (const neighbour of neighbours) await setRows(world, neighbour.tenantId, others);
          await setRows(world, tenantId, rows);
          const original = await world.rows(tenantId, restoredTables);
          const neighboursBefore = await rowsOfNeighbours();
          const backup = await world.backUp(tenant, { partBytes: 8_192 });
          await damage(world, tenant, list);
          const damaged = await world.rows(tenantId);
          expect(damaged).not.toEqual(original);
          expect(await countOf(world, tenantId, 'idempotency_keys')).toBeGreaterThan(0);

          const restored = await world.replace(tenantId, backup);

          expect(await world.rows(tenantId, restoredTables)).toEqual(original);
          for (const stays of ['audit_log', 'audit_seals'])
            expect((await world.rows(tenantId))[stays]).toEqual(damaged[stays]);
          expect(await countOf(world, tenantId, 'idempotency_keys')).toBe(0);
          expect(await world.hasModelOfTier(tenantId)).toBe(true);
          expect(await rowsOfNeighbours()).toEqual(neighboursBefore);

          const undone = await world.undo(restored);

          expect(await world.rows(tenantId)).toEqual(damaged);
          expect(await rowsOfNeighbours()).toEqual(neighboursBefore);
          for (const { restoreId } of [undone, restored]) await world.cleanUp(restoreId);
          expect(await world.rows(tenantId)).toEqual(damaged);
        }),
        // The same tenant cannot be used to shrink the data, because a failed restore is still open.
        { numRuns: sampled(1, 20), endOnFailure: true },
      );
    });
  },
);

const PAIRS = MODELS.flatMap((from) => MODELS.map((into) => [from, into] as const));

test.each(sampled<(readonly [IsolationModel, IsolationModel])[]>([['shared', 'dedicated']], PAIRS))(
  'a backup taken under the %s model is cloned into the %s model row for row',
  async (from, into) => {
    const source = await world.addTenant(from);
    const clone = await world.addTenant(into);
    await fc.assert(
      fc.asyncProperty(randomRows(tables, 4), randomRows(tables, 2), async (rows, others) => {
        await setRows(world, source.tenantId, rows);
        for (const { tenantId } of [clone, ...neighbours]) await setRows(world, tenantId, others);
        const original = await world.rows(source.tenantId);
        const neighboursBefore = await rowsOfNeighbours();
        const { backupId } = await world.backUp(source, { partBytes: 8_192 });

        await world.restore(clone.tenantId, {
          mode: 'clone',
          backupId,
          cloneOf: source.tenantId,
          mask: false,
        });

        // It is another tenant, whose chain of seals begins anew.
        expect(await world.rows(clone.tenantId)).toEqual({ ...original, audit_seals: [] });
        expect(await world.rows(source.tenantId)).toEqual(original);
        expect(await world.hasModelOfTier(clone.tenantId)).toBe(true);
        expect(await rowsOfNeighbours()).toEqual(neighboursBefore);
      }),
      { numRuns: sampled(1, 8), endOnFailure: true },
    );
  },
);
