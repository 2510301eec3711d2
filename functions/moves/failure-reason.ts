import { NoCellCapacity } from '../placement/errors.ts';
import * as provisioningErrors from '../places/errors.ts';
import * as errors from './errors.ts';
import { describePlace, type HopRecord, isSettled } from './move-records.ts';

/** An error as Step Functions catches it: its name, and the function's answer as JSON text. */
export interface MoveFailure {
  readonly Error: string;
  readonly Cause?: string | undefined;
}

const FALLBACK = new errors.MoveStepFailed().message;

/** Only these classes vouch for their message. */
const VOUCHED: Readonly<Record<string, unknown>> = { ...errors, ...provisioningErrors, NoCellCapacity };

/** Why a move ended, fit for a client. */
export function reasonOf({ Error: name, Cause }: MoveFailure): string {
  if (name === 'States.Timeout') return 'A step of the move took too long.';
  if (!Object.hasOwn(VOUCHED, name)) return FALLBACK;
  try {
    const { errorMessage } = JSON.parse(Cause ?? '') as { errorMessage?: unknown };
    return typeof errorMessage === 'string' ? errorMessage.slice(0, 500) : FALLBACK;
  } catch {
    return FALLBACK;
  }
}

/** Where the tenant is, where a move that did not succeed has got it somewhere. */
export function whereabouts(hops: readonly HopRecord[]): string {
  const last = hops.findLast((hop) => isSettled(hop));
  return last ? ` The tenant is in ${describePlace(last.target)} now.` : '';
}
