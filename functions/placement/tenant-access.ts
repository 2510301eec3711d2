import type { Access, RowsOf, Statement, TenantTransaction } from '../database/session/tenant-session.ts';
import type { TenantRouter } from './tenant-router.ts';

/** One tenant and the way to its data: the only handle on a database that request code gets. */
export class TenantAccess {
  readonly tenantId: string;
  readonly slug: string;
  readonly #router: TenantRouter;

  constructor(tenantId: string, slug: string, router: TenantRouter) {
    this.tenantId = tenantId;
    this.slug = slug;
    this.#router = router;
  }

  /** @see TenantRouter.batch */
  batch<const Statements extends readonly Statement<unknown>[]>(
    access: Access,
    statements: Statements,
  ): Promise<RowsOf<Statements>> {
    return this.#router.batch(this.tenantId, access, statements);
  }

  /** @see TenantRouter.transaction */
  transaction<Result>(
    access: Access,
    work: (transaction: TenantTransaction) => Promise<Result>,
  ): Promise<Result> {
    return this.#router.transaction(this.tenantId, access, work);
  }
}
