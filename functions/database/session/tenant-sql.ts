import { DummyDriver, Kysely, PostgresAdapter, PostgresIntrospector, PostgresQueryCompiler } from 'kysely';
import type { TenantTables } from '../tables/tenant-tables.ts';

/**
 * The query builder for tenant data. It only compiles: statements run inside a tenant's transaction
 * (`tenant-session.ts`), which decides by its search_path which rendering of the tables they meet.
 */
export const tenantSql = new Kysely<TenantTables>({
  dialect: {
    createAdapter: () => new PostgresAdapter(),
    createDriver: () => new DummyDriver(),
    createIntrospector: (database) => new PostgresIntrospector(database),
    createQueryCompiler: () => new PostgresQueryCompiler(),
  },
});
