import { isConnectionLost, sqlStateOf } from './session/sql-state.ts';

/** Conflicts, exhausted resources (class 53), statements cut short, a server that starts or stops. */
const PASSING_SQL_STATE = /^(40001|40P01|55P03|53...|57014|57P0[123])$/;

const PASSING_NAMES = new Set([
  'TimeoutError',
  'Throttling',
  'ThrottlingException',
  'TooManyRequestsException',
  'RequestLimitExceeded',
  'ServiceUnavailable',
  'ServiceUnavailableError',
  'InternalFailure',
  'InternalServiceError',
  'InternalServerErrorException',
  'KeyUnavailable',
  'DatabaseUnavailableException',
  'DatabaseResumingException',
  'StatementTimeoutException',
  // The Data API ended the transaction: nothing was committed.
  'TransactionNotFoundException',
]);

/** True when a later retry may succeed. The phases of our workflows are idempotent, so a retry never does harm. */
export function isTransient(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { sqlState, $retryable, $metadata } = error as {
    sqlState?: string;
    $retryable?: object;
    $metadata?: { httpStatusCode?: number };
  };
  if (PASSING_SQL_STATE.test(sqlState ?? sqlStateOf(error) ?? '')) return true;
  if (PASSING_NAMES.has(error.name) || $retryable !== undefined) return true;
  return ($metadata?.httpStatusCode ?? 0) >= 500 || isConnectionLost(error);
}
