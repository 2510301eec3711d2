import {
  type Compilable,
  type CompiledQuery,
  DefaultQueryExecutor,
  type OperationNodeSource,
  PostgresAdapter,
  PostgresQueryCompiler,
  QueryCreator,
  type QueryExecutor,
  type QueryExecutorProvider,
  type RawBuilder,
  type RootOperationNode,
} from 'kysely';
import type { TenantViews } from '../tables/skills-summary.ts';
import type { TenantTables } from '../tables/tenant-tables.ts';

/** Kysely's builders without `Kysely` itself, which would add the DDL builders: a tenth of a handler's code. */
class TenantSql extends QueryCreator<TenantTables & TenantViews> implements QueryExecutorProvider {
  readonly #executor: QueryExecutor;

  constructor(executor: QueryExecutor) {
    super({ executor });
    this.#executor = executor;
  }

  getExecutor(): QueryExecutor {
    return this.#executor;
  }
}

/**
 * The query builder for tenant data. It only compiles: statements run inside a tenant's transaction
 * (`tenant-session.ts`), whose search_path selects the rendering of the tables.
 */
export const tenantSql = new TenantSql(
  new DefaultQueryExecutor(new PostgresQueryCompiler(), new PostgresAdapter(), {
    provideConnection: () => Promise.reject(new Error('tenantSql only compiles')),
  }),
);

/** A statement of the query builder. It is compiled when it is sent, for the target's version of the tables. */
export type Statement<Row> = Pick<Compilable<Row>, 'compile'> & Partial<OperationNodeSource>;
export type RowsOf<Statements extends readonly Statement<unknown>[]> = {
  -readonly [Index in keyof Statements]: Statements[Index] extends Statement<infer Row> ? Row[] : never;
};

/** Plugins identify queries by it; there are none. (Kysely's own ids would add its DDL builders to each handler.) */
const UNTRACKED = { queryId: '' };

export function compileStatement(node: RootOperationNode): CompiledQuery {
  return tenantSql.getExecutor().compileQuery(node, UNTRACKED);
}

/** A raw statement as a statement of the builder. */
export function tenantStatement<Row>(builder: RawBuilder<Row>) {
  return {
    compile: () => builder.compile(tenantSql),
    toOperationNode: () => builder.toOperationNode(),
  };
}
