import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CLUSTER, type DataApiFixture, ID, startDataApi, text } from './data-api-fixture.ts';

let api: DataApiFixture;

beforeAll(async () => {
  api = await startDataApi();
}, 60_000);

afterAll(() => api?.fixture.stop());

const execute: DataApiFixture['execute'] = (...statement) => api.execute(...statement);
const value: DataApiFixture['value'] = (...statement) => api.value(...statement);

describe('parameters', () => {
  test('a string is text: compared with another type it needs a cast or a hint', async () => {
    await expect(execute('SELECT * FROM things WHERE id = :id', [text('id', ID)])).rejects.toMatchObject({
      name: 'DatabaseErrorException',
      message: 'ERROR: operator does not exist: uuid = text; Position: 31; SQLState: 42883',
    });
    await expect(execute('INSERT INTO things (id) VALUES (:id)', [text('id', ID)])).rejects.toMatchObject({
      message: expect.stringMatching(/is of type uuid but expression is of type text.*42804$/),
    });
    const cast = await execute('INSERT INTO things (id, name) VALUES (:id::uuid, :name)', [
      text('id', ID),
      text('name', "O'Neil"),
    ]);
    expect(cast.numberOfRecordsUpdated).toBe(1);
    const hinted = await execute('SELECT name FROM things WHERE id = :id', [text('id', ID, 'UUID')]);
    expect(hinted.records).toEqual([[{ stringValue: "O'Neil" }]]);
  });

  test.each(['9007199254740993', '-9007199254740993', '9223372036854775807'])(
    'a long of 64 bits arrives with all its digits: %s',
    async (digits) => {
      const parameter = { name: 'n', value: { longValue: BigInt(digits) as unknown as number } };
      expect(await value('SELECT (:n)::text', [parameter])).toEqual({ stringValue: digits });
    },
  );

  test('a long beyond 64 bits is refused, not rounded', async () => {
    const parameter = { name: 'n', value: { longValue: BigInt('9223372036854775808') as unknown as number } };
    await expect(value('SELECT (:n)::text', [parameter])).rejects.toMatchObject({
      message: expect.stringContaining('SQLState: 22003'),
    });
  });

  test('every kind of value arrives', async () => {
    await execute(
      `UPDATE things SET attributes = :attributes, amount = :amount, made = :made, day = :day, seen = :seen
       WHERE id = :id::uuid`,
      [
        text('attributes', '{"a":[1]}', 'JSON'),
        text('amount', '12.50', 'DECIMAL'),
        text('made', '2024-05-06 07:08:09.5', 'TIMESTAMP'),
        text('day', '2024-05-06', 'DATE'),
        text('seen', '07:08:09', 'TIME'),
        text('id', ID),
      ],
    );
    const { records } = await execute('SELECT attributes, amount, made, day, seen, null FROM things');
    expect(records).toEqual([
      [
        { stringValue: '{"a": [1]}' },
        { stringValue: '12.50' },
        { stringValue: '2024-05-06 07:08:09.5' },
        { stringValue: '2024-05-06' },
        { stringValue: '07:08:09' },
        { isNull: true },
      ],
    ]);
    expect(await value('SELECT :n + 1', [{ name: 'n', value: { longValue: 41 } }])).toEqual({
      longValue: 42,
    });
    expect(await value('SELECT :d / 2', [{ name: 'd', value: { doubleValue: 1 } }])).toEqual({
      doubleValue: 0.5,
    });
    expect(await value('SELECT NOT :b', [{ name: 'b', value: { booleanValue: true } }])).toEqual({
      booleanValue: false,
    });
    const blobValue = new Uint8Array([0, 1, 255]);
    expect(await value('SELECT :x', [{ name: 'x', value: { blobValue } }])).toEqual({ blobValue });
    expect(await value('SELECT :u::uuid IS NULL', [{ name: 'u', value: { isNull: true } }])).toEqual({
      booleanValue: true,
    });
    expect(await value(`SELECT ARRAY['a,b', NULL, 'c"d']`)).toEqual({
      arrayValue: { stringValues: ['a,b', null, 'c"d'] },
    });
    expect(await value('SELECT ARRAY[1, 2]')).toEqual({ arrayValue: { longValues: [1, 2] } });
  });

  test('are found only where they are parameters', async () => {
    const sql = `SELECT ':no' || $q$:no$q$ || :yes /* :no */ AS "a:no" -- :no
      FROM (SELECT now()::text AS t) x`;
    expect(await value(sql, [text('yes', '!')])).toEqual({ stringValue: ':no:no!' });
    expect(await value(`SELECT E'it\\'s :no' || :yes || :yes`, [text('yes', '?')])).toEqual({
      stringValue: "it's :no??",
    });
  });

  test('that are missing, doubled, malformed or arrays are refused', async () => {
    await expect(execute('SELECT :a')).rejects.toMatchObject({
      name: 'BadRequestException',
      message: 'Cannot find parameter: a',
    });
    await expect(execute('SELECT :a', [text('a', '1'), text('a', '2')])).rejects.toMatchObject({
      name: 'BadRequestException',
    });
    await expect(execute('SELECT :a', [text('a', 'yesterday', 'DATE')])).rejects.toMatchObject({
      name: 'BadRequestException',
    });
    await expect(
      execute('SELECT :a', [{ name: 'a', value: { arrayValue: { longValues: [1] } } }]),
    ).rejects.toMatchObject({ name: 'BadRequestException' });
  });
});

describe('results', () => {
  test('come as one JSON text when asked', async () => {
    const { formattedRecords, records } = await execute(
      `SELECT 1 AS one, 9007199254740993 AS big, true AS yes, null AS nothing, 'x' AS "text", 1.50 AS amount,
              '{"a":1}'::jsonb AS json, timestamptz '2024-01-01T00:00:00+02:00' AS at, ARRAY[1,2] AS list`,
      [],
      { formatRecordsAs: 'JSON' },
    );
    expect(records).toBeUndefined();
    expect(formattedRecords).toContain('"big":9007199254740993');
    expect(JSON.parse(formattedRecords!)).toEqual([
      {
        one: 1,
        big: expect.any(Number),
        yes: true,
        nothing: null,
        text: 'x',
        amount: '1.50',
        json: '{"a": 1}',
        at: '2023-12-31 22:00:00',
        list: [1, 2],
      },
    ]);
  });

  test('tell their columns when asked', async () => {
    const { columnMetadata } = await execute('SELECT id, amount AS money FROM things', [], {
      includeResultMetadata: true,
    });
    expect(columnMetadata).toMatchObject([
      { name: 'id', typeName: 'uuid', nullable: 0, tableName: 'things', schemaName: 'public' },
      { label: 'money', typeName: 'numeric', precision: 12, scale: 2, nullable: 1 },
    ]);
  });

  test('larger than 1 MiB, or rows larger than 64 KB, are refused', async () => {
    await expect(execute(`SELECT repeat('x', 70000)`)).rejects.toMatchObject({ name: 'BadRequestException' });
    await expect(execute(`SELECT repeat('x', 60000) FROM generate_series(1, 20)`)).rejects.toMatchObject({
      message: 'Database returned more than the allowed response size limit',
    });
  });
});

describe('errors', () => {
  test('carry the SQLSTATE and no detail', async () => {
    await expect(
      execute('INSERT INTO things (id) VALUES (:id::uuid)', [text('id', ID)]),
    ).rejects.toMatchObject({
      name: 'DatabaseErrorException',
      message: 'ERROR: duplicate key value violates unique constraint "things_pkey"; SQLState: 23505',
    });
  });

  test('positions count in the SQL as it was sent', async () => {
    const sql = 'SELECT :a, nothing';
    await expect(execute(sql, [text('a', 'x')])).rejects.toMatchObject({
      message: `ERROR: column "nothing" does not exist; Position: ${sql.indexOf('nothing') + 1}; SQLState: 42703`,
    });
  });

  test('several statements are refused, a final semicolon is not', async () => {
    await expect(execute('SELECT 1; SELECT 2')).rejects.toMatchObject({
      message: "Multistatements aren't supported.",
    });
    expect(await value(`SELECT ';'; -- done;`)).toEqual({ stringValue: ';' });
  });

  test('an unknown cluster, and a password that is not the user’s', async () => {
    const other = { resourceArn: CLUSTER.replace('registry', 'nothing') };
    await expect(execute('SELECT 1', [], other)).rejects.toMatchObject({ name: 'NotFoundException' });
    await expect(
      execute('SELECT 1', [], { secretArn: api.secretArn.replace(/registry\/master-.*/, 'registry/other') }),
    ).rejects.toMatchObject({ name: 'BadRequestException', message: expect.stringMatching(/28P01$/) });
  });
});
