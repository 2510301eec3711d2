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
}

/** The limits of each tier. */
export const tierTerms: Record<Tier, TierTerms> = {
  starter: { isolationModel: 'shared', maxUsers: 50, maxStorageGb: 5, connectionLimit: null },
  business: { isolationModel: 'schema', maxUsers: 500, maxStorageGb: 100, connectionLimit: 40 },
  enterprise: { isolationModel: 'dedicated', maxUsers: null, maxStorageGb: null, connectionLimit: 200 },
};
