import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { encryptForClone } from '../../functions/restores/clone-values.ts';
import { readValue } from '../../functions/tenant-data/encrypted-value.ts';
import { FieldCipher } from '../../functions/tenant-data/field-cipher.ts';
import { TestDatabase, type TestTenant } from '../test-database.ts';
import { type LocalKeys, startLocalKeys } from './local-keys.ts';

const ROWS = 7;
const COLUMNS = ['ssn_encrypted', 'salary_encrypted'] as const;

let keys: LocalKeys;
let database: TestDatabase;
let owner: pg.Client;
beforeAll(async () => {
  keys = await startLocalKeys();
  database = await TestDatabase.clone();
  owner = await database.connect('owner');
});
afterAll(async () => {
  await database?.drop();
  await keys?.stop();
});

let schema: TestTenant;
let original: string;
let clone: string;
let cloneKey: string;
beforeEach(async () => {
  schema = await database.addTenant('schema');
  original = randomUUID();
  clone = randomUUID();
  cloneKey = await keys.newKey();
  const cipher = new FieldCipher();
  for (let n = 0; n < ROWS; n++) {
    const row = randomUUID();
    const place = { tenantId: original, table: 'employees', row };
    const options = { keyArn: keys.regionKeyArn };
    await owner.query(
      `INSERT INTO ${schema.schemaName}.employees (employee_id, email, first_name, last_name, ssn_encrypted, salary_encrypted)
       VALUES ($1, $2, 'A', 'B', $3, $4)`,
      [
        row,
        `${row}@a.test`,
        n === 0 ? null : await cipher.seal({ ...place, column: 'ssn_encrypted' }, `ssn ${n}`, options),
        await cipher.seal({ ...place, column: 'salary_encrypted' }, `${n}.00`, options),
      ],
    );
  }
});

type Row = { employee_id: string } & Record<(typeof COLUMNS)[number], Buffer | null>;

async function storedRows(): Promise<Row[]> {
  const { rows } = await owner.query<Row>(
    `SELECT employee_id, ssn_encrypted, salary_encrypted FROM ${schema.schemaName}.employees ORDER BY 1`,
  );
  return rows;
}

/** Values of the clone by its own keys: those that are not its own yet are left out. */
async function opened(): Promise<string[]> {
  const cipher = new FieldCipher();
  const values: string[] = [];
  for (const row of await storedRows()) {
    for (const column of COLUMNS) {
      const value = row[column];
      if (!value || readValue(value).tenantId !== clone) continue;
      expect(readValue(value).keyArn).toBe(cloneKey);
      values.push(
        await cipher.open({ tenantId: clone, table: 'employees', column, row: row.employee_id }, value),
      );
    }
  }
  return values.sort();
}

const all = [...Array(ROWS).keys()].flatMap((n) => [`${n}.00`, ...(n === 0 ? [] : [`ssn ${n}`])]).sort();

const run = (options: Partial<Parameters<typeof encryptForClone>[1]> = {}) =>
  encryptForClone(owner, {
    schemaName: schema.schemaName,
    from: original,
    to: clone,
    keyArn: async () => cloneKey,
    deadline: performance.now() + 30_000,
    transaction: async (work) => {
      await owner.query('BEGIN');
      await work();
      await owner.query('COMMIT');
    },
    progress: async () => {},
    rows: 2,
    ...options,
  });

test('all values of a clone become its own, once', async () => {
  expect(await run()).toBe(true);
  expect(await opened()).toEqual(all);
  const done = await storedRows();
  expect(await run()).toBe(true);
  expect(await storedRows()).toEqual(done);
});

test('work that was cut off in the middle goes on with the values that are left', async () => {
  let pages = 0;
  const killed = new Error('killed');
  const progress = async () => {
    pages += 1;
    if (pages === 3) throw killed;
  };
  await expect(run({ progress })).rejects.toBe(killed);
  const half = await opened();
  expect(half.length).toBeGreaterThan(0);
  expect(half.length).toBeLessThan(all.length);
  expect(await run({ deadline: performance.now() - 1 })).toBe(false);
  expect(await run()).toBe(true);
  expect(await opened()).toEqual(all);
});

test('a value that nobody can open stays as it is, and needs no key', async () => {
  const [first] = await storedRows();
  const garbage = Buffer.from('not a value');
  await owner.query(`DELETE FROM ${schema.schemaName}.employees WHERE employee_id <> $1`, [
    first?.employee_id,
  ]);
  await owner.query(`UPDATE ${schema.schemaName}.employees SET ssn_encrypted = $1, salary_encrypted = $1`, [
    garbage,
  ]);
  const keyArn = () => Promise.reject(new Error('no key is needed'));
  expect(await run({ keyArn })).toBe(true);
  expect((await storedRows())[0]).toMatchObject({ ssn_encrypted: garbage, salary_encrypted: garbage });
});
