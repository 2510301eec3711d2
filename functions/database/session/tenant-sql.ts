import {
  type CompiledQuery,
  DefaultQueryExecutor,
  PostgresAdapter,
  PostgresQueryCompiler,
  QueryCreator,
  type QueryExecutor,
  type QueryExecutorProvider,
  type RawBuilder,
  type RootOperationNode,
} from 'kysely';
import type { TenantTables } from '../tables/tenant-tables.ts';

/** Kysely's builders without `Kysely` itself, which would bring the DDL builders along: a tenth of a handler's code. */
class TenantSql extends QueryCreator<TenantTables> implements QueryExecutorProvider {
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
 * (`tenant-session.ts`), which decides by its search_path which rendering of the tables they meet.
 */
export const tenantSql = new TenantSql(
  new DefaultQueryExecutor(new PostgresQueryCompiler(), new PostgresAdapter(), {
    provideConnection: () => Promise.reject(new Error('tenantSql only compiles')),
  }),
);

/** Plugins tell queries apart by it; there are none. (Kysely's own ids would bring its DDL builders into each handler.) */
const UNTRACKED = { queryId: '' };

export function compileStatement(node: RootOperationNode): CompiledQuery {
  return tenantSql.getExecutor().compileQuery(node, UNTRACKED);
}

/** A raw statement among those of the builder. */
export function tenantStatement<Row>(builder: RawBuilder<Row>) {
  return {
    compile: () => builder.compile(tenantSql),
    toOperationNode: () => builder.toOperationNode(),
  };
}
