import * as z from 'zod';
import { callFunction } from '../aws/call-function.ts';
import { MeteringFailed } from './errors.ts';
import type { MeteringOutcome } from './meter-tenants.ts';
import type { MeteringCursor } from './metered-tenants.ts';

/** What the metering function is asked. */
export const meteringRequest = z.object({
  day: z.iso.date(),
  since: z.iso.datetime({ offset: true }).optional(),
  after: z.object({ databaseKey: z.string().min(1), tenantId: z.uuid() }).optional(),
});

const meteringAnswer = z.object({
  done: z.boolean(),
  cursor: z.object({ databaseKey: z.string(), tenantId: z.string() }).optional(),
  sampled: z.int().nonnegative(),
  skipped: z.int().nonnegative(),
});

/** One call of the metering function. @throws {MeteringFailed} */
export type CallMetering = (request: z.input<typeof meteringRequest>) => Promise<MeteringOutcome>;

/**
 * Has all tenants measured, call after call, as long as there is time for another one.
 * @param mayCall whether a whole call still fits.
 * @returns the sums; not done where time ran out.
 * @throws {MeteringFailed}
 */
export async function runMetering(
  call: CallMetering,
  { day, since }: { day: string; since?: string | undefined },
  mayCall: () => boolean,
): Promise<Omit<MeteringOutcome, 'cursor'>> {
  let [sampled, skipped] = [0, 0];
  let after: MeteringCursor | undefined;
  while (mayCall()) {
    const outcome = await call({ day, ...(since ? { since } : {}), ...(after ? { after } : {}) });
    sampled += outcome.sampled;
    skipped += outcome.skipped;
    if (outcome.done) return { done: true, sampled, skipped };
    after = outcome.cursor ?? after;
  }
  return { done: false, sampled, skipped };
}

/** The metering function may take five minutes. */
const METERING_TIMEOUT_MS = 310_000;

/** Calls the metering function and waits for its answer. */
export function meteringFunction(functionName: string): CallMetering {
  return async (request) => {
    try {
      const answer = await callFunction(functionName, request, { timeoutMs: METERING_TIMEOUT_MS });
      const { cursor, ...outcome } = meteringAnswer.parse(answer);
      return { ...outcome, ...(cursor ? { cursor } : {}) };
    } catch (error) {
      throw new MeteringFailed({ cause: error });
    }
  };
}
