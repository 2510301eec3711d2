import type { LambdaClient } from '@aws-sdk/client-lambda';
import * as z from 'zod';
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

let client: Promise<LambdaClient> | undefined;

/** Calls the function and waits for its answer, which may take the five minutes that it has. */
export function meteringFunction(functionName: string): CallMetering {
  return async (request) => {
    try {
      const { InvokeCommand, LambdaClient } = await import('@aws-sdk/client-lambda');
      // A call that is repeated would run beside the first.
      client ??= Promise.resolve(
        new LambdaClient({
          maxAttempts: 1,
          requestHandler: { connectionTimeout: 3_000, requestTimeout: 310_000, throwOnRequestTimeout: true },
        }),
      );
      const { FunctionError, Payload } = await (await client).send(
        new InvokeCommand({ FunctionName: functionName, Payload: JSON.stringify(request) }),
      );
      const answer = Buffer.from(Payload ?? []).toString('utf8');
      if (FunctionError) throw new Error(`${FunctionError}: ${answer}`);
      const { cursor, ...outcome } = meteringAnswer.parse(JSON.parse(answer));
      return { ...outcome, ...(cursor ? { cursor } : {}) };
    } catch (error) {
      throw new MeteringFailed({ cause: error });
    }
  };
}
