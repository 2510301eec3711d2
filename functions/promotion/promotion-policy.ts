import * as z from 'zod';
import { defaultPromotionPolicy, type PromotionPolicy } from '../contracts/promotion-policy.ts';
import { InvalidPromotionPolicy } from './errors.ts';

export { defaultPromotionPolicy, type PromotionPolicy };

const positive = z.number().positive();
const days = z.number().min(0).max(365);
const hour = z.int().min(0).max(23);
const { business, enterprise, maintenanceWindow, ...rest } = defaultPromotionPolicy;

/** Missing fields get their defaults. Unknown names are refused: a misspelt threshold must not be ignored silently. */
const policy: z.ZodType<PromotionPolicy> = z.strictObject({
  business: z
    .strictObject({
      users: positive.default(business.users),
      monthlyRevenue: positive.default(business.monthlyRevenue),
    })
    .prefault({}),
  enterprise: z
    .strictObject({
      compliance: z.array(z.string().toLowerCase()).default([...enterprise.compliance]),
      users: positive.default(enterprise.users),
      storageShare: z.number().positive().max(1).default(enterprise.storageShare),
      rowOperationsPerDay: positive.default(enterprise.rowOperationsPerDay),
      sustained: z
        .strictObject({
          samples: z.int().min(1).default(enterprise.sustained.samples),
          last: z.int().min(1).max(30).default(enterprise.sustained.last),
        })
        .prefault({})
        .refine(({ samples, last }) => samples <= last, 'samples must not exceed last'),
    })
    .prefault({}),
  demotionMargin: z.number().min(0).max(10).default(rest.demotionMargin),
  cooldownDays: days.default(rest.cooldownDays),
  retryDays: days.default(rest.retryDays),
  declinePauseDays: days.default(rest.declinePauseDays),
  maxRunningMoves: z.int().min(0).default(rest.maxRunningMoves),
  maintenanceWindow: z
    .strictObject({
      startHour: hour.default(maintenanceWindow.startHour),
      endHour: hour.default(maintenanceWindow.endHour),
    })
    .prefault({}),
  sampleMaxAgeDays: days.default(rest.sampleMaxAgeDays),
});

/**
 * Reads the policy from the environment variable `PROMOTION_POLICY`: JSON, every field optional.
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
