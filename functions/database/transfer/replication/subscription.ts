import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import { identifier, literal } from '../../ddl/identifier.ts';
import { oldestTls } from '../../session/tls-version.ts';
import { lockReplication } from './publication.ts';

/** The publisher as the subscriber's server reaches it. */
export interface Publisher {
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly password: string;
  /** It is in another region than the subscriber. */
  readonly inOtherRegion: boolean;
}

/**
 * How the subscriber's server checks the publisher's certificate, as libpq parameters. The file with the authorities is on
 * that server's disk, so its path is a setting of the deployment. Each region of RDS has authorities of its own, so there is
 * one setting for the same region and one for other regions. The default is `require`: encrypted, and both ends are
 * addressed inside our own networks.
 */
function replicationTls(inOtherRegion: boolean): string {
  const { REPLICATION_TLS: inRegion, REPLICATION_TLS_BETWEEN_REGIONS: between } = process.env;
  return (inOtherRegion ? between : inRegion) ?? 'sslmode=require';
}

/**
 * Subscribes to a publication whose slot exists, or gives an existing subscription the publisher's present password. Part of
 * the caller's transaction. A new one is suspended: nothing is copied before `resume`. Applied changes are not flushed at
 * each commit: one commit of the cut-over flushes them all.
 */
export async function subscribe(target: pg.ClientBase, name: string, publisher: Publisher): Promise<void> {
  const subscription = identifier(name);
  const connection = literal(
    [
      ...Object.entries({
        host: publisher.host,
        port: String(publisher.port),
        dbname: publisher.database,
        user: name,
        password: publisher.password,
        connect_timeout: '10',
        keepalives_idle: '10',
        // Otherwise libpq looks for a client certificate in the home of the server's user, which may not be readable.
        sslcertmode: 'disable',
        ssl_min_protocol_version: oldestTls(),
      }).map(([key, value]) => `${key}=${quoted(value)}`),
      replicationTls(publisher.inOtherRegion),
    ].join(' '),
  );
  await lockReplication(target, name);
  await target.query(
    (await subscriptionOid(target, name))
      ? `ALTER SUBSCRIPTION ${subscription} CONNECTION ${connection}`
      : `CREATE SUBSCRIPTION ${subscription} CONNECTION ${connection} PUBLICATION ${subscription}
         WITH (create_slot = false, slot_name = ${literal(name)}, enabled = false, copy_data = true, binary = true,
               streaming = off, synchronous_commit = off)`,
  );
}

/** Undefined where there is none. */
export async function subscriptionOid(target: pg.ClientBase, name: string): Promise<string | undefined> {
  // Not all columns of pg_subscription may be read: the connection is a secret.
  const { rows } = await target.query<{ oid: string }>(
    `select s.oid::text as oid from pg_catalog.pg_subscription s join pg_catalog.pg_database d on d.oid = s.subdbid
     where s.subname = $1 and d.datname = pg_catalog.current_database()`,
    [name],
  );
  return rows[0]?.oid;
}

/** Lets the workers run. Does nothing where they may, or where there is no subscription. Part of a transaction. */
export async function resume(target: pg.ClientBase, name: string): Promise<void> {
  await lockReplication(target, name);
  if ((await isEnabled(target, name)) === false)
    await target.query(`ALTER SUBSCRIPTION ${identifier(name)} ENABLE`);
}

/** Keeps workers from starting; those that run are ended by `endWorkers`, once this transaction is committed. */
export async function suspend(target: pg.ClientBase, name: string): Promise<void> {
  await lockReplication(target, name);
  if (await isEnabled(target, name)) await target.query(`ALTER SUBSCRIPTION ${identifier(name)} DISABLE`);
}

/** Undefined where there is no subscription. */
export async function isEnabled(target: pg.ClientBase, name: string): Promise<boolean | undefined> {
  const { rows } = await target.query<{ enabled: boolean }>(
    `select s.subenabled as enabled
     from pg_catalog.pg_subscription s join pg_catalog.pg_database d on d.oid = s.subdbid
     where s.subname = $1 and d.datname = pg_catalog.current_database()`,
    [name],
  );
  return rows[0]?.enabled;
}

/** A worker that waits for a lock, or for rows, does not notice that it should end. */
const NOTICE_MS = 2_000;

/**
 * Waits until the workers of a suspended subscription have ended, and terminates those that do not end. What a terminated
 * worker was applying is applied again later. (PostgreSQL starts a worker that was terminated again after five seconds, one
 * that ended by itself at once: so it is given time to end.)
 */
export async function endWorkers(target: pg.ClientBase, name: string): Promise<void> {
  const patience = performance.now() + NOTICE_MS;
  for (;;) {
    const { rows } = await target.query<{ pid: number }>(
      'select pid from pg_catalog.pg_stat_subscription where subname = $1 and pid is not null',
      [name],
    );
    if (rows.length === 0) return;
    if (performance.now() > patience)
      await target.query('select pg_catalog.pg_terminate_backend(pid) from unnest($1::integer[]) pid', [
        rows.map(({ pid }) => pid),
      ]);
    await delay(20);
  }
}

/**
 * Drops a suspended subscription; its slots are dropped at the publisher. Part of a transaction: the subscription's slot name
 * is cleared first, otherwise PostgreSQL would connect to the publisher to drop the slot.
 */
export async function unsubscribe(target: pg.ClientBase, name: string): Promise<void> {
  await lockReplication(target, name);
  if ((await isEnabled(target, name)) === undefined) return;
  const subscription = identifier(name);
  await target.query(`ALTER SUBSCRIPTION ${subscription} SET (slot_name = NONE)`);
  await target.query(`DROP SUBSCRIPTION ${subscription}`);
}

const quoted = (value: string) => `'${value.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
