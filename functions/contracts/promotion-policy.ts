/**
 * When tenants are promoted to Business, and when they are offered Enterprise. The deployment sets the policy
 * (`infra/promotion-config.ts`), and the daily run reads it from `PROMOTION_POLICY`.
 */
export interface PromotionPolicy {
  /** A Starter tenant that reaches one of these is moved to Business. Users: the larger of users and employees. */
  readonly business: { readonly users: number; readonly monthlyRevenue: number };
  /** A Business tenant is offered Enterprise. */
  readonly enterprise: {
    /** Requirements that a schema in a shared database does not satisfy. */
    readonly compliance: readonly string[];
    /** Load: each must be exceeded on `sustained.samples` of the last `sustained.last` daily samples. */
    readonly users: number;
    /** Fraction of the tenant's storage limit. */
    readonly storageShare: number;
    /** Rows inserted, updated and deleted. */
    readonly rowOperationsPerDay: number;
    readonly sustained: { readonly samples: number; readonly last: number };
  };
  /**
   * Fraction by which a tenant that was moved down must exceed the thresholds, so that it is not moved back and forth.
   */
  readonly demotionMargin: number;
  /** Pause after every successful move. */
  readonly cooldownDays: number;
  /** Pause after a move that failed or was aborted. */
  readonly retryDays: number;
  /** Pause after a declined offer. */
  readonly declinePauseDays: number;
  /** Moves that may run at once, including moves that are not promotions. */
  readonly maxRunningMoves: number;
  /** Hours of the day, UTC, in which promotions start; the end is exclusive. Equal hours mean the whole day. */
  readonly maintenanceWindow: { readonly startHour: number; readonly endHour: number };
  /** Older samples are ignored. */
  readonly sampleMaxAgeDays: number;
}

export const defaultPromotionPolicy: PromotionPolicy = {
  business: { users: 50, monthlyRevenue: 500 },
  enterprise: {
    compliance: ['hipaa', 'pci', 'pci-dss'],
    users: 400,
    storageShare: 0.8,
    rowOperationsPerDay: 5_000_000,
    sustained: { samples: 3, last: 5 },
  },
  demotionMargin: 0.1,
  cooldownDays: 14,
  retryDays: 3,
  declinePauseDays: 90,
  maxRunningMoves: 3,
  maintenanceWindow: { startHour: 1, endHour: 5 },
  sampleMaxAgeDays: 2,
};
