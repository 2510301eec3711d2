import {
  type CompiledQuery,
  DefaultQueryExecutor,
  PostgresAdapter,
  QueryCreator,
  type QueryExecutor,
  type QueryExecutorProvider,
} from 'kysely';
import type { RegistryExecutor, RegistryParameters } from './data-api.ts';
import { LaterValue, RegistryCompiler } from './registry-compiler.ts';
import type { RegistryTables } from './registry-tables.ts';

/**
 * Kysely's builders over one registry, or over one of its transactions. (`Kysely` itself would add the DDL builders: a
 * tenth of a handler's code.) The number of rows that a statement changed is not available: use `returning`.
 */
export class RegistrySql extends QueryCreator<RegistryTables> implements QueryExecutorProvider {
  readonly #executor: QueryExecutor;

  constructor(executor: QueryExecutor) {
    super({ executor });
    this.#executor = executor;
  }

  getExecutor(): QueryExecutor {
    return this.#executor;
  }
}

const adapter = new PostgresAdapter();

/**
 * The query builder whose statements run on `registry`: `execute()` and its variants throw what `registry.query`
 * throws.
 * @throws {TypeError} for a statement that cannot be compiled, see `RegistryCompiler`.
 */
export function registrySql(registry: RegistryExecutor): RegistrySql {
  const connection = {
    executeQuery: async <Row>({ sql, parameters }: CompiledQuery) => ({
      rows: (await registry.query(sql, named(parameters))) as Row[],
    }),
    streamQuery: () => {
      throw new Error('the Data API has no cursors');
    },
  };
  return new RegistrySql(
    new DefaultQueryExecutor(new RegistryCompiler(), adapter, {
      provideConnection: (consumer) => consumer(connection),
    }),
  );
}

/** The names that `RegistryCompiler` gives to parameters. */
function named(parameters: readonly unknown[]): RegistryParameters {
  return Object.fromEntries(parameters.map((value, index) => [`p${index + 1}`, value])) as RegistryParameters;
}

/** Builds parts of statements, and statements that are only compiled. */
export const compilingOnly: RegistrySql = registrySql({
  query: () => Promise.reject(new Error('this builder only compiles')),
});

interface Compilable<Row> {
  compile(): CompiledQuery<Row>;
}

/** A statement that is built and compiled once, at its first use, and run each time with other values. */
export class CompiledOnce<Parameters extends RegistryParameters, Row extends object> {
  readonly #build: (sql: RegistrySql, values: Parameters) => Compilable<Row>;
  #compiled: { readonly sql: string; readonly constants: RegistryParameters } | undefined;

  /** @param build gets placeholders for the values: it may pass them on, but not read them. */
  constructor(build: (sql: RegistrySql, values: Parameters) => Compilable<Row>) {
    this.#build = build;
  }

  /** @throws {RegistryError} */
  run(registry: RegistryExecutor, values: Parameters): Promise<Row[]> {
    this.#compiled ??= this.#compile();
    const { sql, constants } = this.#compiled;
    return registry.query<Row>(sql, { ...constants, ...values });
  }

  #compile() {
    const standIns = new Proxy({}, { get: (_, name) => new LaterValue(String(name)) }) as Parameters;
    const { sql, parameters } = this.#build(compilingOnly, standIns).compile();
    return { sql, constants: named(parameters) };
  }
}
