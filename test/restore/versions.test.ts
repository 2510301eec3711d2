/** Backups of other schema versions: an older one is migrated, a newer one is refused. */
import { GetObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { TablesNewer } from '../../functions/backups/errors.ts';
import {
  type BackupManifest,
  manifestKey,
  sha256Of,
  writeManifest,
} from '../../functions/backups/manifest.ts';
import { thisRelease } from '../../functions/database/provisioning/release.ts';
import { createTenantSchema } from '../../functions/database/provisioning/tenant-schema.ts';
import { TENANT_SCHEMA_VERSION } from '../../functions/database/tables/schema-version.ts';
import { endMove } from '../../functions/moves/end-move.ts';
import { BackupTablesNewer } from '../../functions/restores/errors.ts';
import type { BackedUp } from '../backup/backup-world.ts';
import { clientOf } from '../backup/s3-client.ts';
import { sampled } from '../full-run.ts';
import { RestoreWorld, restoredTables } from './restore-world.ts';

let world: RestoreWorld;
beforeAll(async () => {
  world = await RestoreWorld.start();
});
afterAll(() => world?.stop());

/** A tenant whose own tables were created by an older release. */
async function olderTenant(version: number): Promise<BackedUp> {
  const tenant = await world.addTenant('schema');
  const { tenantId, schemaName, roleName, login, database } = tenant;
  const owner = await database.connect('owner');
  await owner.query(`DROP SCHEMA ${schemaName} CASCADE`);
  await createTenantSchema(owner, {
    tenantId,
    schemaName,
    roleName,
    password: login.password,
    connectionLimit: 20,
    migrations: thisRelease.migrations.slice(0, version),
  });
  return tenant;
}

/** The definition of a schema's tables from PostgreSQL's catalog: columns, keys, indexes, triggers and rights. */
async function definitionOf({ tenantId }: Pick<BackedUp, 'tenantId'>): Promise<string[]> {
  const { testDatabase, schemaName } = await world.place(tenantId);
  const { rows } = await (await world.superuser(testDatabase)).query<{ line: string }>(
    `SELECT format('%s.%s %s %s %s', table_name, column_name, data_type, is_nullable, column_default) AS line
       FROM information_schema.columns WHERE table_schema = $1
     UNION ALL SELECT format('%s %s', conrelid::regclass, pg_get_constraintdef(oid)) FROM pg_constraint
       WHERE connamespace = $1::regnamespace
     UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = $1
     UNION ALL SELECT pg_get_triggerdef(t.oid) FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid
       WHERE relnamespace = $1::regnamespace AND NOT tgisinternal
     UNION ALL SELECT format('%s %s', relname, relacl) FROM pg_class WHERE relnamespace = $1::regnamespace AND relkind = 'r'
     ORDER BY 1`,
    [schemaName],
  );
  return rows.map(({ line }) =>
    line.replaceAll(schemaName, 'tenant').replaceAll(/tenant_[0-9a-f]{32}_\w+/g, 'tenant'),
  );
}

test.each(sampled([1], [1, 2]))(
  'a backup of schema version %i is migrated to the current version',
  async (version) => {
    const tenant = await olderTenant(version);
    await world.addRows(tenant.tenantId, 120);
    const backup = await world.backUp(tenant);
    expect(backup.schemaVersion).toBe(version);
    const columns = new Map(backup.tables.map((table) => [table.name, table.columns]));
    // A table that is younger than the version has no rows in it.
    const known = restoredTables
      .filter(({ name }) => columns.has(name))
      .map((table) => ({
        name: table.name,
        columns: Object.fromEntries(
          Object.entries(table.columns).filter(([name]) => columns.get(table.name)?.includes(name)),
        ),
      }));
    const original = await world.rows(tenant.tenantId, known as unknown as typeof restoredTables);
    expect(original.employees?.length).toBeGreaterThan(0);

    for (const model of [
      'schema',
      ...sampled<('shared' | 'dedicated')[]>(['shared'], ['shared', 'dedicated']),
    ] as const) {
      const into = model === 'schema' ? tenant : await world.addTenant(model);
      if (into === tenant) await world.replace(tenant.tenantId, backup);
      else {
        const { backupId } = backup;
        await world.restore(into.tenantId, {
          mode: 'clone',
          backupId,
          cloneOf: tenant.tenantId,
          mask: false,
        });
      }
      expect(await world.rows(into.tenantId, known as unknown as typeof restoredTables)).toEqual(original);
      if (model === 'shared') continue;
      expect(
        (await world.hops({ restoreId: await lastRestore(into), tenantId: into.tenantId }))[0]?.target
          .schemaVersion,
      ).toBe(TENANT_SCHEMA_VERSION);
      expect(await definitionOf(into)).toEqual(await definitionOf(await world.addTenant('schema')));
    }
  },
);

async function lastRestore({ tenantId }: BackedUp): Promise<string> {
  const [row] = await world.registry.query<{ id: string }>(
    'SELECT move_id::text AS id FROM tenant_moves WHERE tenant_id = :tenantId::uuid ORDER BY started_at DESC LIMIT 1',
    { tenantId },
  );
  return row!.id;
}

test('a restore from an older version can be undone, and so can the undo', async () => {
  const tenant = await olderTenant(1);
  await world.addRows(tenant.tenantId, 60);
  const backup = await world.backUp(tenant);
  const restored = await world.replace(tenant.tenantId, backup);
  const rows = await world.rows(tenant.tenantId);
  const undone = await world.undo(restored);
  await world.undo(undone);
  expect(await world.rows(tenant.tenantId)).toEqual(rows);
});

test('a backup of a newer schema version is refused by name', async () => {
  const tenant = await world.addTenant('schema');
  const { tenantId } = tenant;
  const backup = await world.backUp(tenant);
  const { backupId } = backup;
  const version = TENANT_SCHEMA_VERSION + 1;
  const key = { Bucket: world.backups.bucket.name, Key: manifestKey(backup.prefix) };
  const s3 = clientOf(world.backups.bucket.endpoint);
  const { Body } = await s3.send(new GetObjectCommand(key));
  const { checksum: _, ...body } = JSON.parse(await Body!.transformToString()) as Record<string, unknown>;
  const newer = writeManifest({ ...(body as unknown as BackupManifest), schemaVersion: version });
  await s3.send(new PutObjectCommand({ ...key, Body: newer }));
  s3.destroy();
  const update = (column: 'manifest_sha256' | 'schema_version', value: string) =>
    world.registry.query(
      column === 'manifest_sha256'
        ? 'UPDATE tenant_backups SET manifest_sha256 = :value WHERE backup_id = :backupId::uuid'
        : 'UPDATE tenant_backups SET schema_version = cast(:value AS integer) WHERE backup_id = :backupId::uuid',
      { value, backupId },
    );
  await update('manifest_sha256', sha256Of(newer));

  // The case of a tenant that was upgraded between the begin of the backup and its snapshot.
  const asked = await world.ask(tenantId, { mode: 'replace', backupId });
  await expect(world.run(asked)).rejects.toThrow(TablesNewer);
  expect(await world.hops(asked)).toEqual([]);
  await endMove(world.registry, asked.restoreId, { stopped: { status: 'failed', reason: 'newer' } });

  await update('schema_version', String(version));
  await expect(world.ask(tenantId, { mode: 'replace', backupId })).rejects.toThrow(BackupTablesNewer);
});
