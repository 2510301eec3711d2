/**
 * The names under which a subscriber applies changes: it looks for tables under the publisher's names, and the target's schema
 * has another name, because names of schemas are never used twice. So at the target there is, while the replication lasts, an
 * alias schema with the source's name. Each of its tables has the real table as its one partition, DEFAULT: such a partition
 * has no partition constraint, and is otherwise an ordinary table.
 *
 * Invariants: a table of the alias schema exists only with the real table attached to it; it is detached and dropped in one
 * transaction. (Dropping a table drops its partitions, so nothing here is dropped with CASCADE.) The schema's comment names
 * the attempt that it belongs to; no other attempt changes it.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import { identifier, literal, qualified } from '../../ddl/identifier.ts';
import { TenantSchemaInUse } from '../../errors.ts';
import { sqlStateOf } from '../../session/sql-state.ts';
import type { TenantTable } from '../../tables/tenant-table.ts';
import { lockReplication } from './publication.ts';

export interface AliasSchema {
  /** Of the source's schema. */
  readonly alias: string;
  readonly schemaName: string;
  readonly attemptId: string;
  /** The tables that are replicated. */
  readonly tables: readonly TenantTable[];
}

/** Requests queue behind a pending lock request, so each request is short. */
const LOCK_TIMEOUT_MS = 150;
const PATIENCE = 60;

/** Part of a transaction of the attempt. @throws {TenantSchemaInUse} the name is taken. */
export async function createAliasTables(
  target: pg.ClientBase,
  { alias, schemaName, attemptId, tables }: AliasSchema,
): Promise<void> {
  await lockReplication(target, alias);
  const owner = await attemptOf(target, alias);
  if (owner === attemptId) return;
  if (owner !== undefined) throw new TenantSchemaInUse('the schema’s name is taken at the target');
  await target.query(
    [
      `CREATE SCHEMA ${identifier(alias)}`,
      `COMMENT ON SCHEMA ${identifier(alias)} IS ${literal(commentOf(attemptId))}`,
      ...tables.flatMap(({ name, primaryKey }) => [
        `CREATE TABLE ${qualified(alias, name)} (LIKE ${qualified(schemaName, name)})
         PARTITION BY RANGE (${primaryKey.map(identifier).join(', ')})`,
        `ALTER TABLE ${qualified(alias, name)} ATTACH PARTITION ${qualified(schemaName, name)} DEFAULT`,
      ]),
    ].join(';\n'),
  );
}

/**
 * Detaches the real tables from their aliases and drops the aliases. No worker may run any more. Does nothing where the
 * schema is gone or another attempt's; may be repeated.
 * @throws PostgreSQL's 55P03 where a transaction keeps a table locked; try again later.
 */
export async function dropAliasTables(
  target: pg.ClientBase,
  { alias, attemptId }: Pick<AliasSchema, 'alias' | 'attemptId'>,
): Promise<void> {
  if ((await attemptOf(target, alias)) !== attemptId) return;
  const { rows } = await target.query<{ alias: string; schema: string | null; name: string | null }>(
    `select a.relname as alias, n.nspname as schema, c.relname as name
     from pg_catalog.pg_class a join pg_catalog.pg_namespace s on s.oid = a.relnamespace
       left join pg_catalog.pg_inherits i on i.inhparent = a.oid
       left join pg_catalog.pg_class c on c.oid = i.inhrelid
       left join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where s.nspname = $1 and a.relkind = 'p'`,
    [alias],
  );
  for (const { alias: table, schema, name } of rows) {
    const parent = qualified(alias, table);
    // One message, hence one transaction.
    await patiently(target, [
      `SET LOCAL lock_timeout = '${LOCK_TIMEOUT_MS}ms'`,
      ...(schema && name ? [`ALTER TABLE ${parent} DETACH PARTITION ${qualified(schema, name)}`] : []),
      `DROP TABLE ${parent}`,
    ]);
  }
  await patiently(target, [`DROP SCHEMA ${identifier(alias)}`]);
}

async function patiently(target: pg.ClientBase, statements: readonly string[]): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      await target.query(statements.join(';\n'));
      return;
    } catch (error) {
      const code = sqlStateOf(error);
      // Another run has done it.
      if (code === '42P01' || code === '3F000') return;
      if ((code !== '55P03' && code !== '40P01') || tries === PATIENCE) throw error;
      await delay(LOCK_TIMEOUT_MS * (0.5 + Math.random()));
    }
  }
}

const commentOf = (attemptId: string) => `arrivals of attempt ${attemptId}`;

/** Undefined where there is no such schema; empty where it is none of ours. */
async function attemptOf(target: pg.ClientBase, alias: string): Promise<string | undefined> {
  const { rows } = await target.query<{ comment: string | null }>(
    `select pg_catalog.obj_description(oid, 'pg_namespace') as comment
     from pg_catalog.pg_namespace where nspname = $1`,
    [alias],
  );
  const [schema] = rows;
  if (!schema) return undefined;
  return schema.comment?.match(/^arrivals of attempt ([0-9a-f-]{36})$/)?.[1] ?? '';
}
