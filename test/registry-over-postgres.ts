import pg from 'pg';
import type { RegistryExecutor, RegistryParameters, RegistryValue } from '../functions/registry/data-api.ts';
import { RegistryError } from '../functions/registry/errors.ts';

/**
 * The registry without a Data API in between, with the Data API's strictness: one statement per call, strings bound
 * as text, no parallel calls in a transaction, columns in JSON's types.
 */
export class RegistryOverPostgres implements RegistryExecutor {
  readonly #client: pg.Client;
  #busy = false;

  constructor(client: pg.Client) {
    this.#client = client;
  }

  async query<Row extends object>(sql: string, parameters: RegistryParameters = {}): Promise<Row[]> {
    if (this.#busy) throw new Error('the Data API refuses parallel calls in one transaction');
    this.#busy = true;
    try {
      const values: unknown[] = [];
      const text = sql.replaceAll(NAMED, (match, name: string | undefined) => {
        if (!name) return match;
        if (!(name in parameters)) throw new Error(`no value for :${name}`);
        values.push(toBound(parameters[name]));
        return `$${values.length}::${typeOf(parameters[name])}`;
      });
      // `queryMode` forces the extended protocol, which takes one statement only.
      const query = { text, values, types: JSON_TYPES, queryMode: 'extended' };
      return (await this.#client.query(query as pg.QueryConfig)).rows;
    } catch (error) {
      if (error instanceof pg.DatabaseError)
        throw new RegistryError(error.message, error.code, { cause: error });
      throw error;
    } finally {
      this.#busy = false;
    }
  }

  async transaction<Result>(work: (transaction: RegistryExecutor) => Promise<Result>): Promise<Result> {
    await this.#client.query('BEGIN');
    try {
      const result = await work(this);
      await this.#client.query('COMMIT');
      return result;
    } catch (error) {
      await this.#client.query('ROLLBACK');
      throw error;
    }
  }
}

/** Quoted strings and casts, which hold no parameter, or a parameter with its name. */
const NAMED = /'(?:[^']|'')*'|::|:([A-Za-z_]\w*)/g;

const JSON_TYPES = {
  getTypeParser: (oid: number) => {
    const { BOOL, INT2, INT4, INT8, FLOAT4, FLOAT8 } = pg.types.builtins;
    if (oid === BOOL) return (text: string) => text === 't';
    if ([INT2, INT4, INT8, FLOAT4, FLOAT8].some((numeric) => numeric === oid)) return Number;
    return (text: string) => text;
  },
};

function typeOf(value: RegistryValue | undefined): string {
  if (typeof value === 'boolean') return 'boolean';
  if (typeof value === 'number') return Number.isSafeInteger(value) ? 'bigint' : 'double precision';
  return 'text';
}

function toBound(value: RegistryValue | undefined): unknown {
  if (value instanceof Date) return value.toISOString();
  return typeof value === 'object' && value !== null ? JSON.stringify(value) : (value ?? null);
}
