/** A tenant's rows, read and written as a superuser, and damage by requests of the tenant. */
import fc from 'fast-check';
import type pg from 'pg';
import { backedUpTables } from '../../functions/backups/plan-backup.ts';
import { identifier } from '../../functions/database/ddl/identifier.ts';
import { TENANT_SCHEMA_VERSION } from '../../functions/database/tables/schema-version.ts';
import type { BackedUp } from '../backup/backup-world.ts';
import { insertRows, type TableRows } from '../backup/random-rows.ts';
import { asTenant } from '../enter-tenant.ts';
import type { RestoreWorld } from './restore-world.ts';

export const tables = backedUpTables(TENANT_SCHEMA_VERSION);

/** Replaces the tenant's rows by these rows. */
export async function setRows(world: RestoreWorld, tenantId: string, rows: TableRows): Promise<void> {
  const { testDatabase, schemaName, isolationModel } = await world.place(tenantId);
  const superuser = await world.superuser(testDatabase);
  const shared = isolationModel === 'shared';
  await superuser.query('BEGIN');
  for (const { name } of tables.toReversed()) {
    const condition = shared ? 'WHERE tenant_id = $1' : '';
    await superuser.query(`DELETE FROM ${schemaName}.${name} ${condition}`, shared ? [tenantId] : []);
  }
  await insertRows(superuser, schemaName, tables, rows, shared ? tenantId : undefined);
  await superuser.query('COMMIT');
}

/** One statement of a request that damages a table. */
export type Damage = {
  readonly table: string;
  readonly kind: 'delete' | 'update' | 'insert';
  readonly part: number;
};

export const damages: fc.Arbitrary<readonly Damage[]> = fc.array(
  fc.record({
    table: fc.constantFrom(...tables.map(({ name }) => name).filter((name) => name !== 'audit_log')),
    kind: fc.constantFrom('delete', 'update', 'insert'),
    part: fc.double({ min: 0.1, max: 1, noNaN: true }),
  }),
  { minLength: 1, maxLength: 12 },
);

/** Damages rows as the tenant's requests could: statements that its role or a key refuses have no effect. */
export async function damage(world: RestoreWorld, tenant: BackedUp, list: readonly Damage[]): Promise<void> {
  const place = await world.place(tenant.tenantId);
  const client = await place.testDatabase.connect(tenant.login);
  try {
    await asTenant(client, { tenantId: tenant.tenantId, epoch: place.epoch }, 'write', async () => {
      for (const each of list) await attempt(client, statementOf(each));
      await client.query(
        `INSERT INTO skills (skill_name, skill_category) VALUES ('after the backup', 'damage')`,
      );
      await client.query(
        `INSERT INTO audit_log (actor, action, resource_type) VALUES ('after@the.backup', 'skill.create', 'skill')`,
      );
      await client.query(
        `INSERT INTO idempotency_keys (idempotency_key, request_method, request_path, request_hash)
         VALUES ('after the backup ' || gen_random_uuid(), 'POST', '/skills', 'hash')`,
      );
    });
  } finally {
    await client.end();
  }
}

function statementOf({ table: name, kind, part }: Damage): string {
  const table = tables.find((each) => each.name === name)!;
  const some = `random() < ${part}`;
  if (kind === 'delete') return `DELETE FROM ${identifier(name)} WHERE ${some}`;
  const plain = Object.entries(table.columns).find(
    ([column, { spec }]) =>
      spec.nullable &&
      !table.primaryKey.includes(column) &&
      table.foreignKeys.every((key) => key.column !== column) &&
      !table.unique.some((columns) => columns.includes(column)),
  );
  const [set] = plain ?? table.primaryKey;
  if (kind === 'update') return `UPDATE ${identifier(name)} SET ${identifier(set!)} = NULL WHERE ${some}`;
  // The key gets its default.
  const copied = Object.keys(table.columns).filter((column) => !table.primaryKey.includes(column));
  const list = copied.map(identifier).join(', ');
  return `INSERT INTO ${identifier(name)} (${list}) SELECT ${list} FROM ${identifier(name)} WHERE ${some}`;
}

async function attempt(client: pg.Client, statement: string): Promise<void> {
  await client.query('SAVEPOINT before');
  try {
    await client.query(statement);
    await client.query('RELEASE SAVEPOINT before');
  } catch {
    await client.query('ROLLBACK TO SAVEPOINT before');
  }
}

export async function countOf(
  world: RestoreWorld,
  tenantId: string,
  table: 'idempotency_keys' | 'audit_log' | 'employees',
): Promise<number> {
  const { testDatabase, schemaName, isolationModel } = await world.place(tenantId);
  const superuser = await world.superuser(testDatabase);
  const shared = isolationModel === 'shared';
  const { rows } = await superuser.query<{ n: number }>(
    `SELECT count(*)::int AS n FROM ${schemaName}.${table} ${shared ? 'WHERE tenant_id = $1' : ''}`,
    shared ? [tenantId] : [],
  );
  return rows[0]!.n;
}
