import type { DatabaseError } from 'pg';
import { AwsError } from '../../errors.ts';

/** Class 28 and 3D happen while logging in; the statement never ran. */
const LOGIN_REFUSED = /^28/;
/** Connection exceptions, and a server that is shutting down or starting. */
const UNAVAILABLE = /^(08|57P0)/;

/**
 * A database error in the Data API's words: `ERROR: …; Position: 8; SQLState: 42703`. Like the Data API it tells
 * neither detail nor hint.
 */
export function databaseError(cause: unknown, position: (at: number) => number = (at) => at): AwsError {
  if (cause instanceof AwsError) return cause;
  const error = cause as Partial<DatabaseError> & { code?: string };
  if (error.severity === undefined || error.code === undefined) {
    return new AwsError('DatabaseUnavailableException', 'The database is not available', { status: 504 });
  }
  const place = error.position === undefined ? '' : `; Position: ${position(Number(error.position))}`;
  const message = `${error.severity}: ${error.message}${place}; SQLState: ${error.code}`;
  if (UNAVAILABLE.test(error.code))
    return new AwsError('DatabaseUnavailableException', message, { status: 504 });
  return new AwsError(
    LOGIN_REFUSED.test(error.code) ? 'BadRequestException' : 'DatabaseErrorException',
    message,
  );
}
