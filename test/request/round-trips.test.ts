import { sql } from 'kysely';
import type pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { tenantSql } from '../../functions/database/session/tenant-sql.ts';
import { TestDatabase } from '../test-database.ts';
import { RecordedSession } from './recorded-session.ts';

const number = (value: number) => ({
  compile: () => sql<{ number: number }>`select ${value}::int as number`.compile(tenantSql),
});
const [one, two, three] = [number(1), number(2), number(3)];
/** The server's answer to each thing the client said before it said the next. */
const turns = (count: number) => Array.from({ length: count }, () => ['client', 'server']).flat();

let database: TestDatabase;
let superuser: pg.Client;
let session: RecordedSession;
const speakers = () => session.recorder.take().map(({ from }) => from);

beforeAll(async () => {
  database = await TestDatabase.clone();
  superuser = await database.connect('superuser');
});
afterEach(() => session.end());
afterAll(() => database.drop());

describe.each(['shared', 'schema'] as const)('under %s', (model) => {
  describe.each(['read', 'write'] as const)('a batch to %s', (access) => {
    test('is one round trip where connections pipeline', async () => {
      session = await RecordedSession.open(database, model, { pipeline: true });
      session.recorder.hold();
      const answers = session.batch(access, [one, two, three]);
      // The client has heard nothing yet: all it has to say it has said.
      await session.backend(superuser, "state = 'idle' AND query = 'COMMIT'");
      session.recorder.release();
      expect(await answers).toEqual([[{ number: 1 }], [{ number: 2 }], [{ number: 3 }]]);
      expect(speakers()).toEqual(turns(1));
    });

    test('never has two statements under way without pipelining', async () => {
      session = await RecordedSession.open(database, model, { pipeline: false });
      expect(await session.batch(access, [one, two, three])).toEqual([
        [{ number: 1 }],
        [{ number: 2 }],
        [{ number: 3 }],
      ]);
      // BEGIN with `enter`, each statement, COMMIT.
      expect(speakers()).toEqual(turns(5));
    });
  });

  test('statements of a transaction wait for each other without pipelining, however they are asked', async () => {
    session = await RecordedSession.open(database, model, { pipeline: false });
    const answers = await session.transaction('write', (transaction) =>
      Promise.all([transaction.query(one), transaction.query(two)]),
    );
    expect(answers).toEqual([[{ number: 1 }], [{ number: 2 }]]);
    expect(speakers()).toEqual(turns(4));
  });
});

test('a statement that fails in a batch costs one more round trip, and leaves the connection usable', async () => {
  session = await RecordedSession.open(database, 'schema', { pipeline: true });
  const broken = { compile: () => sql`select 1 / ${0}::int`.compile(tenantSql) };
  await expect(session.batch('write', [one, broken, two])).rejects.toMatchObject({ code: '22012' });
  expect(speakers()).toEqual(turns(2));
  expect(await session.batch('read', [one])).toEqual([[{ number: 1 }]]);
});

test.each([true, false])(
  'a value that cannot be sent takes the whole batch with it (pipelining: %s)',
  async (pipeline) => {
    session = await RecordedSession.open(database, 'schema', { pipeline });
    const circular: Record<string, unknown> = {};
    circular.self = circular;
    const skill = (name: string) => tenantSql.insertInto('skills').values({ skill_name: name });
    const unsendable = { compile: () => sql`select ${circular}::jsonb`.compile(tenantSql) };
    await expect(session.batch('write', [skill('kept?'), unsendable])).rejects.toThrow('circular');
    const [skills] = await session.batch('read', [tenantSql.selectFrom('skills').select('skill_name')]);
    expect(skills).toEqual([]);
  },
);
