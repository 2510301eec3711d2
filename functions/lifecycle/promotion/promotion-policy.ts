import * as z from 'zod';
import { InvalidPromotionPolicy } from './errors.ts';

const positive = z.number().positive();
const days = z.number().min(0).max(365);
const hour = z.int().min(0).max(23);

/** Whatever is left out has its default. Unknown names are refused: a misspelt threshold must not be silently ignored. */
const policy = z.strictObject({
  /** Starter tenants are promoted to Business at one of these or above. Users: the larger of users and employees. */
  business: z
    .strictObject({ users: positive.default(50), monthlyRevenue: positive.default(500) })
    .prefault({}),
  /** Business tenants are offered Enterprise. */
  enterprise: z
    .strictObject({
      /** Requirements that a schema beside others does not satisfy. */
      compliance: z.array(z.string().toLowerCase()).default(['hipaa', 'pci', 'pci-dss']),
      /** Each of these must be exceeded on `of.samples` of the last `of.last` samples. */
      users: positive.default(400),
      /** Part of the tenant's storage limit. */
      storageShare: z.number().positive().max(1).default(0.8),
      /** Rows inserted, updated and deleted. */
      rowOperationsPerDay: positive.default(5_000_000),
      sustained: z
        .strictObject({ samples: z.int().min(1).default(3), last: z.int().min(1).max(30).default(5) })
        .prefault({})
        .refine(({ samples, last }) => samples <= last, 'samples must not exceed last'),
    })
    .prefault({}),
  /** By what part a tenant that was moved down must exceed the thresholds: it would be moved back and forth. */
  demotionMargin: z.number().min(0).max(10).default(0.1),
  /** After a move that succeeded, whoever started it. */
  cooldownDays: days.default(14),
  /** After a move that failed or was aborted. */
  retryDays: days.default(3),
  /** After an offer was declined. */
  declinePauseDays: days.default(90),
  /** Moves that may run at once, others than promotions included. */
  maxRunningMoves: z.int().min(0).default(3),
  /** Hours of the day, UTC, in which promotions start; the end does not belong to it. Equal: the whole day. */
  maintenanceWindow: z.strictObject({ startHour: hour.default(1), endHour: hour.default(5) }).prefault({}),
  /** Older samples are no ground for a decision. */
  sampleMaxAgeDays: days.default(2),
});

export type PromotionPolicy = z.output<typeof policy>;

export const defaultPromotionPolicy: PromotionPolicy = policy.parse({});

/**
 * The policy that the environment sets: `PROMOTION_POLICY`, JSON, all of it optional.
 * @throws {InvalidPromotionPolicy}
 */
export function readPromotionPolicy(environment: NodeJS.ProcessEnv = process.env): PromotionPolicy {
  const json = environment.PROMOTION_POLICY;
  if (!json) return defaultPromotionPolicy;
  try {
    return policy.parse(JSON.parse(json));
  } catch (error) {
    throw new InvalidPromotionPolicy({ cause: error });
  }
}
