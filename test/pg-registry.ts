import type pg from 'pg';
import type { RegistryExecutor, RegistryParameters } from '../functions/database/registry/data-api.ts';

/** A registry database spoken to directly, where a test is not about the Data API. */
export class PgRegistry implements RegistryExecutor {
  readonly #client: pg.ClientBase;
  #previous: Promise<unknown> = Promise.resolve();

  constructor(client: pg.ClientBase) {
    this.#client = client;
  }

  async query<Row extends object>(sql: string, parameters: RegistryParameters = {}): Promise<Row[]> {
    const values: unknown[] = [];
    const text = sql.replace(/'(?:[^']|'')*'|(?<!:):([a-zA-Z_]\w*)/g, (whole, name: string | undefined) => {
      if (name === undefined) return whole;
      const value = parameters[name];
      values.push(
        typeof value === 'object' && value !== null && !(value instanceof Date)
          ? JSON.stringify(value)
          : value,
      );
      return `$${values.length}`;
    });
    // One connection takes one statement at a time.
    const answer = this.#previous.then(() => this.#client.query(text, values));
    this.#previous = answer.catch(() => {});
    return (await answer).rows as Row[];
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
