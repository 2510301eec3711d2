import { Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setImmediate as turn } from 'node:timers/promises';
import type pg from 'pg';
import { to as copyTo } from 'pg-copy-streams';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { bytea, numeric, text, timestamptz } from '../../functions/database/tables/column.ts';
import { tenantTables } from '../../functions/database/tables/tenant-tables.ts';
import { RowTexts } from '../../functions/exports/row-texts.ts';
import { textOfType } from '../../functions/exports/value-text.ts';
import { TestDatabase } from '../test-database.ts';

const columns = { n: numeric(15, 2), t: text(), b: bytea(), at: timestamptz() };
let database: TestDatabase;
let client: pg.Client;
beforeAll(async () => {
  database = await TestDatabase.empty();
  client = await database.connect('superuser');
  await client.query('CREATE TABLE things (id serial, n numeric(15,2), t text, b bytea, at timestamptz)');
  await client.query(`INSERT INTO things (n, t, b, at) VALUES
    (1.5, E'a\\tb\\n"c"\\\\\\r', '\\x00', '2024-02-29 23:59:59.5+00'), (NULL, NULL, NULL, NULL), (-0.01, '', '', 'epoch'),
    (10000, '\\.', '\\xff', '1999-12-31 23:59:59.999999+00'), (100000000, '=1+1', NULL, '2000-01-01 00:00:00+00'),
    ('NaN', 'Ünal, Zoë 🦊', NULL, '0001-01-01 00:00:00+00'), (0.10, ' ', NULL, '0001-12-31 00:00:00+00 BC')`);
});
afterAll(() => database?.drop());

const SELECT = 'COPY (SELECT n, t, b, at FROM things ORDER BY id) TO STDOUT (FORMAT binary)';
const binary = async () => Buffer.concat(await client.query(copyTo(SELECT)).toArray());

/** Reads slowly, so that the writer has to wait. */
function collecting(into: Buffer[], slow: boolean): Writable {
  return new Writable({
    highWaterMark: 1,
    write(chunk: Buffer, _encoding, done) {
      into.push(chunk);
      if (slow) void turn().then(() => done());
      else done();
    },
  });
}

const inPieces = (whole: Buffer, size: number) =>
  Array.from({ length: Math.ceil(whole.length / size) }, (_, index) =>
    whole.subarray(index * size, (index + 1) * size),
  );

async function textsOf(chunks: readonly Buffer[], slow: { csv?: boolean; sql?: boolean } = {}) {
  const texts = new RowTexts(columns);
  const [csv, sql] = [[] as Buffer[], [] as Buffer[]];
  await Promise.all([
    pipeline(Readable.from(chunks), texts, collecting(sql, slow.sql ?? false)),
    pipeline(texts.csv, collecting(csv, slow.csv ?? false)),
  ]);
  const result = { csv: Buffer.concat(csv).toString(), sql: Buffer.concat(sql).toString() };
  expect(texts.bytes).toEqual({
    csv: Buffer.byteLength(result.csv),
    sql: Buffer.byteLength(result.sql),
  });
  return result;
}

test('rows are converted to valid CSV and to valid COPY data', async () => {
  expect(await textsOf([await binary()])).toEqual({
    csv: [
      '1.50,"a\tb\n""c""\\\r",\\x00,2024-02-29T23:59:59.500000Z',
      ',,,',
      '-0.01,"",\\x,1970-01-01T00:00:00Z',
      '10000.00,"\\.",\\xff,1999-12-31T23:59:59.999999Z',
      '100000000.00,=1+1,,2000-01-01T00:00:00Z',
      'NaN,"Ünal, Zoë 🦊",,0001-01-01T00:00:00Z',
      '0.10, ,,0001-12-31T00:00:00Z BC',
      '',
    ].join('\r\n'),
    sql: [
      '1.50\ta\\tb\\n"c"\\\\\\r\t\\\\x00\t2024-02-29T23:59:59.500000Z',
      '\\N\t\\N\t\\N\t\\N',
      '-0.01\t\t\\\\x\t1970-01-01T00:00:00Z',
      '10000.00\t\\\\.\t\\\\xff\t1999-12-31T23:59:59.999999Z',
      '100000000.00\t=1+1\t\\N\t2000-01-01T00:00:00Z',
      'NaN\tÜnal, Zoë 🦊\t\\N\t0001-01-01T00:00:00Z',
      '0.10\t \t\\N\t0001-12-31T00:00:00Z BC',
      '',
    ].join('\n'),
  });
});

test.each([
  ['single bytes', 1, {}],
  ['pieces of seven bytes, and slow readers of the CSV', 7, { csv: true }],
  ['pieces of seven bytes, and slow readers of the data', 7, { sql: true }],
])('they are the same from %s', async (_how, size, slow) => {
  const whole = await binary();
  expect(await textsOf(inPieces(whole, size), slow)).toEqual(await textsOf([whole]));
});

test('if the reader of the CSV stops, the source stops, too, and memory stays bounded', async () => {
  const whole = await binary();
  const [header, rows, end] = [whole.subarray(0, 19), whole.subarray(19, -2), whole.subarray(-2)];
  const many = Array.from({ length: 3_000 }, () => rows);
  let given = 0;
  const source = Readable.from(
    (function* () {
      for (const chunk of [header, ...many, end]) {
        given += 1;
        yield chunk;
      }
    })(),
  );
  const texts = new RowTexts(columns);
  const written = pipeline(source, texts, collecting([], false));
  // A chunk needs several iterations of the event loop.
  for (let turns = 0; turns < 10 * many.length; turns++) await turn();
  const stoppedAt = given;
  const csv: Buffer[] = [];
  await Promise.all([written, pipeline(texts.csv, collecting(csv, false))]);
  expect(stoppedAt).toBeLessThan(many.length / 2);
  expect(given).toBe(many.length + 2);
  expect(Buffer.concat(csv).length).toBe(texts.bytes.csv);
});

describe('a failure ends both streams', () => {
  test('of the source, which ends early', async () => {
    const whole = await binary();
    const texts = new RowTexts(columns);
    const ends = await Promise.allSettled([
      pipeline(Readable.from([whole.subarray(0, -10)]), texts, collecting([], false)),
      pipeline(texts.csv, collecting([], false)),
    ]);
    expect(ends.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  });

  test('of the reader of the CSV', async () => {
    const texts = new RowTexts(columns);
    const refusing = new Writable({ write: (_chunk, _encoding, done) => done(new Error('no space')) });
    const ends = await Promise.allSettled([
      pipeline(Readable.from(inPieces(await binary(), 1)), texts, collecting([], true)),
      pipeline(texts.csv, refusing),
    ]);
    for (const end of ends)
      expect(end).toMatchObject({ status: 'rejected', reason: { message: 'no space' } });
  });
});

test('every type of the tenant tables can be exported; any other type is refused before anything is written', () => {
  for (const { columns: all } of tenantTables)
    for (const { spec } of Object.values(all)) expect(() => textOfType(spec.type)).not.toThrow();
  expect(() => textOfType('point')).toThrow('values of type point cannot be exported');
});
