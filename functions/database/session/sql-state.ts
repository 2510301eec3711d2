import pg from 'pg';
import {
  type FenceDetail,
  PlacementUnreachable,
  SchemaUpgrading,
  StaleEpoch,
  TenantFenced,
  TenantMoved,
  TransactionConflict,
  TransactionTimedOut,
  WrongTenant,
} from '../errors.ts';

/**
 * Serialization failure, deadlock, lock timeout; class 53: the server lacks connections (of the role or in all), lock
 * table entries, memory or disk.
 */
const TRY_AGAIN = /^(40001|40P01|55P03|53...)$/;
/** Wrong password, unknown role or database, function of a dropped role. */
const GONE = new Set(['28P01', '28000', '3D000', '42704']);
/** Unknown column, table, schema or function. */
const NOT_THERE = new Set(['42703', '42P01', '3F000', '42883']);
/** statement_timeout or cancel, idle_in_transaction_session_timeout, transaction_timeout. */
const TOOK_TOO_LONG = new Set(['57014', '25P03', '25P04']);

/**
 * Converts an error of the driver into the one that the router handles; any other error (a violated constraint, a
 * thrown application error) is returned unchanged.
 */
export function classifyDatabaseError(error: unknown): unknown {
  const code = sqlStateOf(error);
  if (code === undefined) return isNetworkError(error) ? unreachable(error) : error;
  const options = { cause: error };
  switch (code) {
    case 'TN001':
      return new TenantFenced((detailOf(error) ?? {}) as FenceDetail, options);
    case 'TN002':
      return new TenantMoved(detailOf(error), options);
    case 'TN003':
      return new StaleEpoch('the placement has another epoch', options);
    case 'TN004':
      return new WrongTenant('the tenant is not known here, or belongs to another role', options);
  }
  if (TRY_AGAIN.test(code)) return new TransactionConflict(`PostgreSQL asks to retry (${code})`, options);
  if (TOOK_TOO_LONG.has(code))
    return new TransactionTimedOut(`PostgreSQL ended the transaction (${code})`, options);
  if (GONE.has(code) || isConnectionLost(error)) return unreachable(error);
  // After `enter`: the tables are older than the code, or a finished move is cleaning them up.
  if (NOT_THERE.has(code))
    return new SchemaUpgrading(`the target lacks what the statement names (${code})`, options);
  return error;
}

/** True when the connection cannot be used any more: the network failed, or the server ended the session. */
export function isConnectionLost(error: unknown): boolean {
  const code = sqlStateOf(error);
  if (code === undefined) return isNetworkError(error);
  return code.startsWith('08') || code.startsWith('57P') || code === '25P03' || code === '25P04';
}

/** The five-character SQLSTATE of an error that PostgreSQL reported. */
export function sqlStateOf(error: unknown): string | undefined {
  if (error instanceof pg.DatabaseError) return error.code;
  // Another copy of the driver (a bundle, a test) has another class of the same shape.
  const { code, severity } = (error ?? {}) as { code?: unknown; severity?: unknown };
  return typeof code === 'string' && typeof severity === 'string' ? code : undefined;
}

const NETWORK_CODES = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
]);

function isNetworkError(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if (NETWORK_CODES.has((error as NodeJS.ErrnoException).code ?? '')) return true;
  // node-postgres reports a lost connection by message only.
  return /^(Connection terminated|timeout exceeded when trying to connect|Client has encountered a connection error|Client was closed|Cannot use a pool after)/.test(
    error.message,
  );
}

function unreachable(cause: unknown): PlacementUnreachable {
  return new PlacementUnreachable('the database of the placement cannot be reached', { cause });
}

function detailOf(error: unknown): unknown {
  const { detail } = error as { detail?: string };
  try {
    return detail ? JSON.parse(detail) : undefined;
  } catch {
    return undefined;
  }
}
