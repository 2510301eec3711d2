import type { IsolationModel, Tier } from './tenant.ts';

interface TierTerms {
  readonly isolationModel: IsolationModel;
  /** null: no limit. */
  readonly maxUsers: number | null;
  readonly maxStorageGb: number | null;
  /** CONNECTION LIMIT of the tenant's own role; null where it shares the cell's. Bounds a noisy neighbour. */
  readonly connectionLimit: number | null;
}

/** What a tier comes with, from the strategy's tier definitions. */
export const tierTerms: Record<Tier, TierTerms> = {
  starter: { isolationModel: 'shared', maxUsers: 50, maxStorageGb: 5, connectionLimit: null },
  business: { isolationModel: 'schema', maxUsers: 500, maxStorageGb: 100, connectionLimit: 40 },
  enterprise: { isolationModel: 'dedicated', maxUsers: null, maxStorageGb: null, connectionLimit: 200 },
};
