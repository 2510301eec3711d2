import { sql } from 'kysely';
import type pg from 'pg';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { CommitUnknown, PlacementUnreachable } from '../../functions/database/errors.ts';
import { tenantSchemaName } from '../../functions/database/provisioning/tenant-schema.ts';
import { tenantSql } from '../../functions/database/session/tenant-sql.ts';
import { TestDatabase } from '../test-database.ts';
import { RecordedSession } from './recorded-session.ts';

const insert = tenantSql
  .insertInto('employees')
  .values({ email: 'a@b.test', first_name: 'A', last_name: 'B' });
const emails = tenantSql.selectFrom('employees').select('email');
const sleep = { compile: () => sql`select pg_catalog.pg_sleep(10)`.compile(tenantSql) };
const COMMITTED = "state = 'idle' AND query = 'COMMIT'";

let database: TestDatabase;
let superuser: pg.Client;
let session: RecordedSession;
beforeAll(async () => {
  database = await TestDatabase.clone();
  superuser = await database.connect('superuser');
});
afterEach(() => session.end());
afterAll(() => database.drop());

test('a write whose answer is lost is unknown: it has been committed here', async () => {
  session = await RecordedSession.open(database, 'schema', { pipeline: true });
  session.recorder.hold();
  const answer = session.batch('write', [insert]);
  const refused = expect(answer).rejects.toBeInstanceOf(CommitUnknown);
  // Seen by another session, it is committed; its answer is still held back.
  const schema = tenantSchemaName(session.tenantId, 1);
  const visible = async () => (await superuser.query(`SELECT FROM ${schema}.employees`)).rowCount;
  await expect.poll(visible, { interval: 5 }).toBe(1);
  session.recorder.cut();
  await refused;
  session.recorder.release();
  expect(await session.batch('read', [emails])).toEqual([[{ email: 'a@b.test' }]]);
});

test('a read whose answer is lost may be tried again', async () => {
  session = await RecordedSession.open(database, 'schema', { pipeline: true });
  session.recorder.hold();
  const refused = expect(session.batch('read', [emails])).rejects.toBeInstanceOf(PlacementUnreachable);
  await session.backend(superuser, COMMITTED);
  session.recorder.cut();
  await refused;
});

test.each([true, false])(
  'a write that the server ends before its COMMIT may be tried again (pipelining: %s)',
  async (pipeline) => {
    session = await RecordedSession.open(database, 'schema', { pipeline });
    const refused = expect(session.batch('write', [insert, sleep])).rejects.toBeInstanceOf(
      PlacementUnreachable,
    );
    const pid = await session.backend(superuser, "wait_event = 'PgSleep'");
    await superuser.query('SELECT pg_catalog.pg_terminate_backend($1)', [pid]);
    await refused;
    expect(await session.batch('read', [emails])).toEqual([[]]);
  },
);
