/**
 * The chain of seals over a tenant's audit log.
 *
 *   appended ──older than 60 s──▶ sealed (listed by one seal, for ever) ──retention over──▶ deleted; the seal keeps its hash
 *
 * Requests append entries in their own transactions and never wait for one another, so entries have no chain of their
 * own. A scheduled sealer (`upkeep/seal-entries.ts`) lists the entries since the last seal, in the order of their times
 * and ids, with a hash of each. A seal names the hash of the seal before. Invariants:
 * - a seal and its number are appended under a unique key: the chain has no forks, and a sealer that was killed has
 *   appended a whole seal or none;
 * - request roles can append entries, and can neither change or delete them nor write seals (grants);
 * - an entry is sealed within `LATE_SECONDS` behind the time up to which the seal before has sealed. It commits at most
 *   30 s after `created_at` (`transaction_timeout`), and is sealed 60 s after it: only clocks that differ between clusters
 *   make it late. An entry that appears later was added behind the chain's back, and is never sealed;
 * - what is hashed is the same under every isolation model and after moves, backups and restores: no `tenant_id` column,
 *   times in UTC with microseconds, `jsonb` as PostgreSQL normalizes it. The seal itself names the tenant.
 *
 * Whoever can rewrite a database can rewrite its seals as well. So each seal is copied to the backup bucket, and the
 * verification compares the newest copy: its hash stands for all seals before it.
 */
import { createHash } from 'node:crypto';
import { type RawBuilder, sql } from 'kysely';

/** Version of the forms below. A new one is for new seals; old seals are verified by the form that they name. */
export const SEAL_FORMAT = 1;
/** An entry is sealed when it is so old, in seconds. */
export const SEALED_AFTER_SECONDS = 60;
/** How far behind the last seal's end an entry may still be sealed, in seconds. */
export const LATE_SECONDS = 15;
/** Entries of one seal at most: about 260 KB of text. */
export const ENTRIES_OF_SEAL = 2_000;

/** A seal without its own hash. Times are RFC 3339 in UTC with six decimals, hashes hexadecimal SHA-256. */
export interface SealContent {
  /** 1 for the first. */
  readonly sequence: number;
  readonly format: number;
  /** Null in the first. */
  readonly previousHash: string | null;
  readonly entryCount: number;
  /** Hash of the lines. */
  readonly root: string;
  readonly sealedUntil: string;
  /** Of audit entries when the seal was made: tells later whether a missing entry has expired. */
  readonly retentionMonths: number;
  readonly createdAt: string;
}

export const sha256 = (text: string): string => createHash('sha256').update(text, 'utf8').digest('hex');

/** The hash of a seal: of its content and, by the hash before, of all seals before it. */
export function sealHash(tenantId: string, seal: SealContent): string {
  return sha256(
    [
      'strata audit seal',
      `format ${seal.format}`,
      `tenant ${tenantId}`,
      `sequence ${seal.sequence}`,
      `previous ${seal.previousHash ?? 'none'}`,
      `entries ${seal.entryCount} ${seal.root}`,
      `sealed until ${seal.sealedUntil}`,
      `retention ${seal.retentionMonths} months`,
      `created ${seal.createdAt}`,
    ].join('\n'),
  );
}

/** SQL of a time in the form that is hashed. @param time an expression of type timestamptz */
export const timeText = (time: RawBuilder<unknown>): RawBuilder<string> =>
  sql`to_char((${time}) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`;

/**
 * SQL of an entry's hash: of a JSON array of its values, in this order, as PostgreSQL prints `jsonb`.
 * @param alias of `audit_log` in the query.
 */
export function entryHash(alias: string): RawBuilder<string> {
  const column = (name: string) => sql.ref(`${alias}.${name}`);
  return sql`encode(sha256(convert_to(jsonb_build_array(
      'strata audit entry 1', ${column('log_id')}, ${timeText(column('created_at'))}, ${column('user_id')}, ${column('actor')},
      ${column('action')}, ${column('resource_type')}, ${column('resource_id')}, ${column('ip_address')}::text,
      ${column('user_agent')}, ${column('request_data')}, ${column('response_status')}, ${column('changes')}
    )::text, 'UTF8')), 'hex')`;
}

/** SQL of an entry's line in a seal: id, time, hash. */
export function entryLine(alias: string): RawBuilder<string> {
  const column = (name: string) => sql.ref(`${alias}.${name}`);
  return sql`concat_ws(' ', ${column('log_id')}::text, ${timeText(column('created_at'))}, ${entryHash(alias)})`;
}

/** What every line of a seal matches. */
export const LINE_PATTERN =
  '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12} [0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}[.][0-9]{6}Z [0-9a-f]{64}$';

/** The two tables, as a statement names them: by name for requests, with the schema for the owner. */
export interface ChainTables {
  readonly log: RawBuilder<unknown>;
  readonly seals: RawBuilder<unknown>;
}

/** @param schema of the tables; absent for requests, whose search path has it. */
export function chainTables(schema?: string): ChainTables {
  const name = (table: string) => sql.table(schema === undefined ? table : `${schema}.${table}`);
  return { log: name('audit_log'), seals: name('audit_seals') };
}
