import fc from 'fast-check';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { backedUpTables } from '../../functions/backups/plan-backup.ts';
import { compareWithManifest, verifyObjects } from '../../functions/backups/read-back.ts';
import { TENANT_SCHEMA_VERSION } from '../../functions/database/tables/schema-version.ts';
import { tenantTables } from '../../functions/database/tables/tenant-tables.ts';
import { sampled } from '../full-run.ts';
import { allRows, type BackedUp, BackupWorld } from './backup-world.ts';
import { insertRows, randomRows } from './random-rows.ts';

const tables = backedUpTables(TENANT_SCHEMA_VERSION);
let world: BackupWorld;
beforeAll(async () => {
  world = await BackupWorld.start();
});
afterAll(() => world?.stop());

test('every table is backed up, except those that have no meaning after a restore', () => {
  const leftOut = tenantTables.map(({ name }) => name).filter((name) => !tables.some((t) => t.name === name));
  expect(leftOut).toEqual(['idempotency_keys', 'move_markers']);
});

describe.each(['shared', 'schema', 'dedicated'] as const)('taken under the %s model', (model) => {
  let tenant: BackedUp;
  let neighbour: BackedUp;
  let superuser: pg.Client;
  let restoring: pg.Client;
  beforeAll(async () => {
    tenant = await world.addTenant(model);
    neighbour = await world.addTenant(model === 'dedicated' ? 'schema' : model);
    superuser = await tenant.database.connect('superuser');
    restoring = await world.cell.connect('superuser');
  });

  test('random data of every type comes back row for row', async () => {
    const column = model === 'shared' ? tenant.tenantId : undefined;
    const arbitrary = fc.tuple(randomRows(tables, 5), randomRows(tables, 2));
    await fc.assert(
      fc.asyncProperty(arbitrary, fc.constantFrom(8_192, 2 ** 20), async ([rows, others], partBytes) => {
        for (const { name } of tables.toReversed()) {
          await superuser.query(`DELETE FROM ${tenant.schemaName}.${name}`);
          await restoring.query(`DELETE FROM ${neighbour.schemaName}.${name}`);
        }
        await insertRows(superuser, tenant.schemaName, tables, rows, column);
        const neighbours = model === 'shared' ? neighbour.tenantId : undefined;
        await insertRows(restoring, neighbour.schemaName, tables, others, neighbours);
        const before = await allRows(superuser, tenant.schemaName, tables, column);

        const manifest = await world.backUp(tenant, { partBytes });
        const schema = await world.emptySchema(manifest.schemaVersion);
        expect(await verifyObjects(world.bucket.store, manifest)).toMatchObject({ done: true });
        await world.restore(manifest, schema);

        expect(await allRows(restoring, schema, tables)).toEqual(before);
        for (const table of manifest.tables) {
          await compareWithManifest(
            restoring,
            { ...tenant, isolationModel: 'schema', schemaName: schema },
            table,
          );
          expect(table.rows).toBe(before[table.name]?.length);
        }
        await restoring.query(`DROP SCHEMA ${schema} CASCADE`);
      }),
      { numRuns: sampled(2, 12) },
    );
  });
});
