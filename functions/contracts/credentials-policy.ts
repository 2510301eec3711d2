/** How old database credentials may become before the schedule replaces them, in days, and how a rotation does it. */
export interface CredentialsPolicy {
  /** Of the login roles of Business and Enterprise tenants. */
  readonly tenantDays: number;
  /** Of the login role of a cell's Starter tenants. */
  readonly cellDays: number;
  /** Of the owners of cells and dedicated databases. */
  readonly ownerDays: number;
  /** Of the registry's roles. */
  readonly registryDays: number;
}
