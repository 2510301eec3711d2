/**
 * Encrypts the values of a clone again, in the schema that it is filled into: they are valid for the tenant that they come
 * from only, and the clone is another one. The new values have the clone's own context and a key of its own.
 *
 * Values that are done have the clone's id in their header: the work continues with the others however often it is cut off.
 * A value that cannot be opened is left as it is; nobody can read it in the original either.
 */
import type pg from 'pg';
import { logger } from '../aws/logger.ts';
import { identifier, qualified } from '../database/ddl/identifier.ts';
import { employees } from '../tenant-data/employees.ts';
import { COMPARED, readValue } from '../tenant-data/encrypted-value.ts';
import { EncryptedValueDamaged } from '../tenant-data/errors.ts';
import { FieldCipher } from '../tenant-data/field-cipher.ts';

export interface ClonedValues {
  readonly schemaName: string;
  /** The tenant that the values come from. */
  readonly from: string;
  /** The clone. */
  readonly to: string;
  /** ARN of the KMS key of the clone's values. Called when there is a value to encrypt. */
  readonly keyArn: () => Promise<string>;
  /** On `performance.now()`'s clock: no page is begun afterwards. */
  readonly deadline: number;
  /** Runs one transaction on the connection. */
  readonly transaction: (work: () => Promise<void>) => Promise<void>;
  readonly progress: () => Promise<void>;
  readonly cipher?: FieldCipher;
  readonly rows?: number;
}

/** The schema has no index yet: each page reads the whole table. */
const PAGE_ROWS = 5_000;
const { table, sealed = [], key } = employees.resource;
const KEY = key[0] as string;
const COLUMNS = sealed.map(({ column }) => column);

type Row = Readonly<Record<string, string | Buffer | null>>;

/** @returns whether all are done: else call again. @throws {KeyUnavailable} and PostgreSQL's errors. */
export async function encryptForClone(
  loader: pg.ClientBase,
  {
    schemaName,
    from,
    to,
    keyArn,
    deadline,
    transaction,
    progress,
    cipher = new FieldCipher(),
    rows = PAGE_ROWS,
  }: ClonedValues,
): Promise<boolean> {
  const name = qualified(schemaName, table);
  const foreign = COLUMNS.map(
    (column) => `substring(${identifier(column)} from ${COMPARED.tenant.from} for 16) <> $1::bytea`,
  ).join(' OR ');
  let arn: string | undefined;
  for (let after = '00000000-0000-0000-0000-000000000000'; ; ) {
    if (performance.now() > deadline) return false;
    await progress();
    const { rows: found } = await loader.query<Row>(
      `SELECT ${[KEY, ...COLUMNS].map(identifier).join(', ')} FROM ${name}
       WHERE (${foreign}) AND ${identifier(KEY)} > $2 ORDER BY ${identifier(KEY)} LIMIT ${rows}`,
      [COMPARED.tenant.bytes(to), after],
    );
    if (found.length === 0) return true;
    const reseal = async (row: Row, column: string): Promise<Buffer | null> => {
      const old = row[column] as Buffer | null;
      if (old === null) return null;
      const place = { table, column, row: row[KEY] as string };
      try {
        const { tenantId } = readValue(old);
        // Another run was faster.
        if (tenantId === to) return old;
        arn ??= await keyArn();
        return await cipher.reseal({ tenantId: from, ...place }, { tenantId: to, ...place }, old, {
          keyArn: arn,
        });
      } catch (error) {
        if (!(error instanceof EncryptedValueDamaged)) throw error;
        logger.error('a value of a clone stays unreadable', { tenantId: to, reason: error.message });
        return old;
      }
    };
    const fresh: (Buffer | null)[][] = [];
    // One row after the other: the keys of a page are few, and KMS is asked once for each.
    for (const row of found) fresh.push(await Promise.all(COLUMNS.map((column) => reseal(row, column))));
    await transaction(async () => {
      await loader.query(
        `UPDATE ${name} AS target
         SET ${COLUMNS.map((column, index) => `${identifier(column)} = given.value${index}`).join(', ')}
         FROM (SELECT unnest($1::uuid[]) AS id,
                 ${COLUMNS.map((_, index) => `unnest($${index + 2}::bytea[]) AS value${index}`).join(', ')}) AS given
         WHERE target.${identifier(KEY)} = given.id`,
        [found.map((row) => row[KEY]), ...COLUMNS.map((_, index) => fresh.map((values) => values[index]))],
      );
    });
    after = found.at(-1)?.[KEY] as string;
  }
}
