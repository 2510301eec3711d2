import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, expect, inject, test, vi } from 'vitest';
import { subscribe, unsubscribe } from '../../functions/database/transfer/replication/subscription.ts';
import { TestDatabase } from '../test-database.ts';

const name = `tls_${randomUUID().slice(0, 8)}`;

let database: TestDatabase;
beforeAll(async () => {
  database = await TestDatabase.clone();
  const owner = await database.connect('owner');
  await owner.query(
    `CREATE ROLE ${name} LOGIN PASSWORD 'p'; GRANT rds_replication TO ${name}; CREATE PUBLICATION ${name}`,
  );
});
afterEach(() => vi.unstubAllEnvs());
afterAll(async () => {
  const owner = await database?.connect('owner');
  await owner?.query(`DROP PUBLICATION ${name}; DROP ROLE ${name}`);
  await database?.drop();
});

test('a publisher in the same region is verified, one in another region by the setting for links', async () => {
  vi.stubEnv('REPLICATION_TLS', 'sslmode=verify-full sslrootcert=ca.crt');
  vi.stubEnv('REPLICATION_TLS_BETWEEN_REGIONS', 'sslmode=require');
  const owner = await database.connect('owner');
  const superuser = await database.connect('superuser');
  const { host, port } = inject('databaseServer');
  const connectionTo = async (inOtherRegion: boolean) => {
    await owner.query('BEGIN');
    await subscribe(owner, name, { host, port, database: database.name, password: 'p', inOtherRegion });
    await owner.query('COMMIT');
    const { rows } = await superuser.query<{ subconninfo: string }>(
      'SELECT subconninfo FROM pg_subscription WHERE subname = $1',
      [name],
    );
    return rows[0]!.subconninfo;
  };
  expect(await connectionTo(false)).toMatch(/ sslmode=verify-full sslrootcert=ca\.crt$/);
  expect(await connectionTo(true)).toMatch(/ sslmode=require$/);
  await owner.query('BEGIN');
  await unsubscribe(owner, name);
  await owner.query('COMMIT');
});
