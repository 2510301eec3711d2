import * as backupErrors from '../backups/errors.ts';
import * as placeErrors from '../places/errors.ts';
import * as errors from './errors.ts';

/** An error as Step Functions catches it: its name, and the function's answer as JSON text. */
export interface ExportFailure {
  readonly Error: string;
  readonly Cause?: string | undefined;
}

const FALLBACK = new errors.ExportStepFailed().message;

/** Only these classes vouch for their message. */
const VOUCHED: Readonly<Record<string, unknown>> = { ...errors, ...backupErrors, ...placeErrors };

/** Why an export ended, fit for a client. */
export function reasonOf({ Error: name, Cause }: ExportFailure): string {
  if (name === 'States.Timeout') return 'A phase of the export took too long.';
  if (!Object.hasOwn(VOUCHED, name)) return FALLBACK;
  try {
    const { errorMessage } = JSON.parse(Cause ?? '') as { errorMessage?: unknown };
    return typeof errorMessage === 'string' ? errorMessage.slice(0, 500) : FALLBACK;
  } catch {
    return FALLBACK;
  }
}
