import { sql } from 'kysely';
import pg from 'pg';
import { type DdlTransaction, runStatements } from '../ddl/ddl-connection.ts';
import { identifier, literal } from '../ddl/identifier.ts';

/** Ends the sessions of a login role that has no rights of its own, and drops it, in the owner's transaction. */
export async function dropLoginRole(
  owner: pg.ClientBase,
  transaction: DdlTransaction,
  roleName: string,
): Promise<void> {
  const role = identifier(roleName);
  await dropLeftoversElsewhere(owner, transaction, roleName);
  await runStatements(transaction, [...shutOut(roleName), `DROP OWNED BY ${role}`, `DROP ROLE ${role}`]);
}

/**
 * Statements after which the role has no session and cannot get one. The owner administers the role but does not
 * inherit its rights, and only with those rights may it end the role's sessions and drop its objects.
 */
export function shutOut(roleName: string): string[] {
  const role = identifier(roleName);
  return [
    `ALTER ROLE ${role} NOLOGIN`,
    `GRANT ${role} TO CURRENT_USER WITH INHERIT TRUE`,
    `SELECT pg_catalog.pg_terminate_backend(pid, 2000) FROM pg_catalog.pg_stat_activity WHERE usename = ${literal(roleName)}`,
  ];
}

/**
 * A login role can connect to every database of the cluster, and a session with its password can create objects there
 * that prevent DROP ROLE (a large object, default rights). `DROP OWNED` works in one database only, so this opens a
 * connection to each database that has some, and commits there before the caller's transaction touches the role.
 */
export async function dropLeftoversElsewhere(
  owner: pg.ClientBase,
  transaction: DdlTransaction,
  roleName: string,
): Promise<void> {
  const { rows } = await sql<{ database: string }>`
    select distinct d.datname as database
    from pg_catalog.pg_shdepend s join pg_catalog.pg_database d on d.oid = s.dbid
    where s.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass
      and s.refobjid = pg_catalog.to_regrole(${roleName}) and d.datallowconn
      and d.datname <> pg_catalog.current_database()`.execute(transaction);
  const { host, port, user, password, ssl } = owner as pg.Client;
  for (const { database } of rows) {
    const client = new pg.Client({
      host,
      port,
      database,
      connectionTimeoutMillis: 10_000,
      ...(user === undefined ? {} : { user }),
      ...(password === undefined ? {} : { password }),
      ssl,
    });
    // A session that ends while idle fails its next query; without a listener the event would end the process.
    client.on('error', () => {});
    await client.connect();
    try {
      await client.query([...shutOut(roleName), `DROP OWNED BY ${identifier(roleName)}`].join(';\n'));
    } finally {
      await client.end();
    }
  }
}
