/**
 * When tenants are promoted, and who is offered Enterprise: the deployment states it (`infra/promotion-config.ts`), and
 * the daily run reads it from `PROMOTION_POLICY`.
 */
export interface PromotionPolicy {
  /** A Starter tenant with one of these or more is moved to Business. Users: the larger of users and employees. */
  readonly business: { readonly users: number; readonly monthlyRevenue: number };
  /** A Business tenant is offered Enterprise. */
  readonly enterprise: {
    /** Requirements that a schema beside others does not satisfy. */
    readonly compliance: readonly string[];
    /** Load: each must be exceeded on `sustained.samples` of the last `sustained.last` daily samples. */
    readonly users: number;
    /** Part of the tenant's storage limit. */
    readonly storageShare: number;
    /** Rows inserted, updated and deleted. */
    readonly rowOperationsPerDay: number;
    readonly sustained: { readonly samples: number; readonly last: number };
  };
  /** By what part a tenant that was moved down must exceed the thresholds: it would be moved back and forth. */
  readonly demotionMargin: number;
  /** After a move that succeeded, whoever started it. */
  readonly cooldownDays: number;
  /** After a move that failed or was aborted. */
  readonly retryDays: number;
  /** After an offer was declined. */
  readonly declinePauseDays: number;
  /** Moves that may run at once, others than promotions included. */
  readonly maxRunningMoves: number;
  /** Hours of the day, UTC, in which promotions start; the end does not belong to it. Equal: the whole day. */
  readonly maintenanceWindow: { readonly startHour: number; readonly endHour: number };
  /** Older samples are no ground for a decision. */
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
