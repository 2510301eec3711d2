import type { IsolationModel, Tier } from './tenant.ts';

interface TierTerms {
  readonly isolationModel: IsolationModel;
  /** null: no limit. */
  readonly maxUsers: number | null;
  readonly maxStorageGb: number | null;
  /**
   * CONNECTION LIMIT of the tenant's role, which bounds a noisy neighbour; null when the tenant uses the cell's role.
   */
  readonly connectionLimit: number | null;
  /** Requests per second and burst of the tenant's users, where the region has a cache. */
  readonly requestRate: number;
  readonly requestBurst: number;
}

/** The limits of each tier. */
export const tierTerms: Record<Tier, TierTerms> = {
  starter: {
    isolationModel: 'shared',
    maxUsers: 50,
    maxStorageGb: 5,
    connectionLimit: null,
    requestRate: 50,
    requestBurst: 200,
  },
  business: {
    isolationModel: 'schema',
    maxUsers: 500,
    maxStorageGb: 100,
    connectionLimit: 40,
    requestRate: 250,
    requestBurst: 1000,
  },
  enterprise: {
    isolationModel: 'dedicated',
    maxUsers: null,
    maxStorageGb: null,
    connectionLimit: 200,
    requestRate: 1000,
    requestBurst: 2000,
  },
};
