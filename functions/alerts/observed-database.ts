import type { DatabaseObservation } from './survey-database.ts';

/** A database's observation, as rules read it. */
export interface ObservedDatabase {
  /** The cell's id, or the id of the tenant that owns the database. */
  readonly key: string;
  /** null for a tenant's own database. */
  readonly cellId: string | null;
  readonly observation: DatabaseObservation;
  /** The tenant that signs in with a role; undefined for the role of Starter tenants. */
  readonly tenantOf: (role: string) => string | undefined;
}

export function observedDatabase({
  key,
  cellId,
  observation,
}: Omit<ObservedDatabase, 'tenantOf'>): ObservedDatabase {
  const tenants = new Map(observation.tenantRoles.map(({ role, tenantId }) => [role, tenantId]));
  return { key, cellId, observation, tenantOf: (role) => tenants.get(role) };
}
