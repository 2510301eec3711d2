/**
 * Verifies a page of a tenant's chain of seals (`audit-chain.ts`): recomputes the hashes of seals and entries, and looks
 * for entries that no seal lists. The database hashes the entries, so that no row leaves it.
 *
 * It reads in one snapshot. What comes before the page was verified before: the page begins behind a seal whose hash the
 * next one must name.
 */
import { type RawBuilder, sql } from 'kysely';
import type { Statement } from '../database/session/tenant-session.ts';
import { tenantStatement } from '../database/session/tenant-sql.ts';
import {
  type ChainTables,
  entryHash,
  LATE_SECONDS,
  LINE_PATTERN,
  SEAL_FORMAT,
  type SealContent,
  sealHash,
  timeText,
} from './audit-chain.ts';

/**
 * The first link of the chain that is not as it was.
 * - an entry: `altered` (its values differ), `reordered` (its time differs), `removed`, or `added` (no seal lists it, and
 *   it is too old to be sealed; or a seal lists it that came too late for it);
 * - a seal: `altered`, `reordered` (it has another seal's number), or `removed`.
 */
export interface BrokenLink {
  readonly what: 'entry' | 'seal';
  readonly how: 'altered' | 'reordered' | 'removed' | 'added';
  /** Of the seal, or of the seal that lists the entry; null for an entry that none lists. */
  readonly sequence: number | null;
  /** The entry's id. */
  readonly logId: string | null;
}

/** What a page has found. */
export interface VerifiedPage {
  /** Number of seals, and of the entries that they list. */
  readonly seals: number;
  readonly entries: number;
  /** Entries that are no longer there because their retention has ended. */
  readonly expired: number;
  /** The last seal of the page: the next page begins behind it. 0 when there is no seal. */
  readonly through: number;
  /** True when no seal follows, or a broken link was found. */
  readonly done: boolean;
  /** Entries that are not sealed yet, when the page is the last one; at most `MOST_UNSEALED`. */
  readonly unsealed: number;
  readonly broken: BrokenLink | null;
}

export interface VerifyOptions {
  readonly tenantId: string;
  readonly tables: ChainTables;
  /** The last seal that was verified; 0 begins. */
  readonly after: number;
  /** Entries of the page, unless its first seal has more. */
  readonly entries?: number;
  /** Runs a statement, in one snapshot with the others. */
  readonly query: <Row>(statement: Statement<Row>) => Promise<Row[]>;
}

/** Measured: about 0.3 s for entries of usual size. A request may take 15 s for one statement. */
const ENTRIES_OF_PAGE = 20_000;
const SEALS_OF_PAGE = 500;
export const MOST_UNSEALED = 100_000;

/** @throws the driver's errors. */
export async function verifyPage(options: VerifyOptions): Promise<VerifiedPage> {
  const { tenantId, after, query } = options;
  const [[chain], rows] = await Promise.all([query(selectChain(options)), query(selectSeals(options))]);
  const { seals, through, broken: brokenSeal } = checkSeals(tenantId, after, rows);
  const isLast = through >= (chain?.last ?? 0);
  const range = { ...options, from: after, through, until: chain?.until ?? null };
  const [[listed], [added], [tail]] = await Promise.all([
    seals > 0 ? query(selectEntries(range)) : [NO_ENTRIES],
    seals > 0 ? query(selectAdded(range)) : [undefined],
    isLast ? query(selectUnsealed(range)) : [undefined],
  ]);
  const broken = brokenEntry(listed, added) ?? brokenSeal;
  return {
    seals,
    entries: listed?.entries ?? 0,
    expired: listed?.expired ?? 0,
    through,
    done: isLast || broken !== null,
    unsealed: tail?.entries ?? 0,
    broken,
  };
}

interface ListedEntries {
  readonly entries: number;
  readonly expired: number;
  readonly broken: readonly [sequence: number, how: string, logId: string | null] | null;
}

const NO_ENTRIES: ListedEntries = { entries: 0, expired: 0, broken: null };

function brokenEntry(
  listed: ListedEntries | undefined,
  added: { readonly log_id: string } | undefined,
): BrokenLink | undefined {
  if (listed?.broken) {
    const [sequence, how, logId] = listed.broken;
    if (how === 'malformed') return { what: 'seal', how: 'altered', sequence, logId: null };
    return { what: 'entry', how: how as BrokenLink['how'], sequence, logId };
  }
  return added && { what: 'entry', how: 'added', sequence: null, logId: added.log_id };
}

interface SealRow {
  readonly sequence: number;
  readonly format: number;
  readonly previous_hash: string | null;
  readonly entry_count: number;
  readonly root: string;
  readonly hash: string;
  readonly sealed_until: string;
  readonly retention_months: number;
  readonly created_at: string;
  /** Recomputed from the lines. */
  readonly found_root: string;
  readonly found_count: number;
}

const contentOf = (row: SealRow): SealContent => ({
  sequence: row.sequence,
  format: row.format,
  previousHash: row.previous_hash,
  entryCount: row.entry_count,
  root: row.root,
  sealedUntil: row.sealed_until,
  retentionMonths: row.retention_months,
  createdAt: row.created_at,
});

/** The seals up to the first broken one. @param rows the seal `after`, if there is one, and those of the page */
function checkSeals(
  tenantId: string,
  after: number,
  rows: readonly SealRow[],
): { readonly seals: number; readonly through: number; readonly broken: BrokenLink | null } {
  const isFirst = rows[0]?.sequence === after;
  const broken = (how: BrokenLink['how'], sequence: number): BrokenLink => ({
    what: 'seal',
    how,
    sequence,
    logId: null,
  });
  if (after > 0 && !isFirst) return { seals: 0, through: after, broken: broken('removed', after) };
  let previous = isFirst ? rows[0] : undefined;
  let seals = 0;
  for (const row of isFirst ? rows.slice(1) : rows) {
    const through = previous?.sequence ?? 0;
    const expected = through + 1;
    if (row.sequence !== expected) return { seals, through, broken: broken('removed', expected) };
    const content = contentOf(row);
    const isItself =
      row.format === SEAL_FORMAT &&
      row.root === row.found_root &&
      row.entry_count === row.found_count &&
      row.hash === sealHash(tenantId, content);
    if (!isItself || row.previous_hash !== (previous?.hash ?? null)) {
      const other = rows.some(
        ({ sequence }) => sequence !== expected && row.hash === sealHash(tenantId, { ...content, sequence }),
      );
      return { seals, through, broken: broken(other ? 'reordered' : 'altered', expected) };
    }
    seals += 1;
    previous = row;
  }
  return { seals, through: previous?.sequence ?? after, broken: null };
}

/** A page of seals, and the one before it. */
function selectSeals({ tables: { seals }, after, entries = ENTRIES_OF_PAGE }: VerifyOptions) {
  return tenantStatement(sql<SealRow>`WITH page AS MATERIALIZED (
      SELECT sequence FROM (
        SELECT sequence, sum(entry_count) OVER (ORDER BY sequence) - entry_count AS before
        FROM (SELECT sequence, entry_count FROM ${seals} WHERE sequence > ${after}::integer
              ORDER BY sequence LIMIT ${SEALS_OF_PAGE}::integer) AS next) AS measured
      WHERE before < ${entries}::integer
    )
    SELECT s.sequence, s.format, s.previous_hash, s.entry_count, s.root, s.hash,
           ${timeText(sql`s.sealed_until`)} AS sealed_until, s.retention_months,
           ${timeText(sql`s.created_at`)} AS created_at,
           encode(sha256(convert_to(s.entries, 'UTF8')), 'hex') AS found_root,
           CASE WHEN s.entries = '' THEN 0
                ELSE length(s.entries) - length(replace(s.entries, chr(10), '')) + 1 END AS found_count
    FROM ${seals} s
    WHERE s.sequence = ${after}::integer OR s.sequence IN (SELECT sequence FROM page) ORDER BY s.sequence`);
}

/** The last seal, and up to when it has sealed. */
function selectChain({ tables: { seals } }: VerifyOptions) {
  return tenantStatement(sql<{ last: number; until: string }>`
    SELECT s.sequence AS last, ${timeText(sql`s.sealed_until`)} AS until
    FROM ${seals} s ORDER BY s.sequence DESC LIMIT 1`);
}

interface PageRange {
  readonly tables: ChainTables;
  /** The seal before the page, and the page's last one. */
  readonly from: number;
  readonly through: number;
  /** Up to when the last seal of all has sealed. */
  readonly until: string | null;
}

const late = sql`make_interval(secs => ${sql.lit(LATE_SECONDS)})`;

/** The end of a seal; `-infinity` before the first. */
const sealedUntil = ({ seals }: ChainTables, sequence: number): RawBuilder<unknown> =>
  sql`coalesce((SELECT sealed_until FROM ${seals} WHERE sequence = ${sequence}::integer), '-infinity'::timestamptz)`;

/**
 * The entries that the page's seals list, compared with those that are there. Looks an entry up by its id and its time
 * within the page's times, which reads few partitions; only what is not found is looked up by its id alone.
 */
function selectEntries({ tables, from, through }: PageRange) {
  const { log, seals } = tables;
  // A missing entry has expired when a retention, as some seal names it, has ended before the next seal was made.
  const expiredBefore = sql`(
    SELECT max((coalesce(next_at, now()) AT TIME ZONE 'UTC' - make_interval(months => retention_months)) AT TIME ZONE 'UTC')
    FROM (SELECT retention_months, lead(created_at) OVER (ORDER BY sequence) AS next_at FROM ${seals}) AS retentions)`;
  return tenantStatement(sql<ListedEntries>`
    WITH bounds AS MATERIALIZED (
      SELECT ${sealedUntil(tables, from)} - ${late} AS since, ${sealedUntil(tables, through)} AS until,
             ${expiredBefore} AS expired_before),
    listed AS MATERIALIZED (
      SELECT s.sequence, t.ord, s.previous_until, split_part(t.line, ' ', 3) AS hash,
             CASE WHEN t.line ~ ${sql.lit(LINE_PATTERN)} THEN split_part(t.line, ' ', 1)::uuid END AS log_id,
             CASE WHEN t.line ~ ${sql.lit(LINE_PATTERN)} THEN split_part(t.line, ' ', 2)::timestamptz END AS at
      FROM (SELECT sequence, entries, lag(sealed_until) OVER (ORDER BY sequence) AS previous_until FROM ${seals}
            WHERE sequence BETWEEN ${from}::integer AND ${through}::integer) AS s,
           LATERAL string_to_table(s.entries, chr(10)) WITH ORDINALITY AS t (line, ord)
      WHERE s.sequence > ${from}::integer AND s.entries <> ''),
    there AS MATERIALIZED (
      SELECT a.log_id, a.created_at, ${entryHash('a')} AS hash FROM ${log} a, bounds b
      WHERE a.created_at BETWEEN b.since AND b.until),
    compared AS (
      SELECT l.sequence, l.ord, l.log_id,
        CASE
          WHEN l.log_id IS NULL THEN 'malformed'
          WHEN l.at < l.previous_until - ${late} THEN 'added'
          WHEN a.hash = l.hash THEN 'sealed'
          WHEN a.log_id IS NOT NULL THEN 'altered'
          WHEN EXISTS (SELECT FROM ${log} m WHERE m.log_id = l.log_id) THEN 'reordered'
          WHEN l.at < b.expired_before THEN 'expired'
          ELSE 'removed'
        END AS how
      FROM bounds b, listed l LEFT JOIN there a ON a.log_id = l.log_id AND a.created_at = l.at)
    SELECT count(*)::integer AS entries, (count(*) FILTER (WHERE how = 'expired'))::integer AS expired,
           (array_agg(jsonb_build_array(sequence, how, log_id) ORDER BY sequence, ord)
             FILTER (WHERE how NOT IN ('sealed', 'expired')))[1] AS broken
    FROM compared`);
}

/**
 * The first entry within the page's times that no seal lists. An entry may be listed by a seal behind the page, but only
 * by one that has begun within `LATE_SECONDS` behind the entry. The last seconds before the end of the chain are left
 * out: their entries may still be sealed.
 */
function selectAdded({ tables, from, through, until }: PageRange) {
  const { log, seals } = tables;
  return tenantStatement(sql<{ log_id: string }>`
    WITH bounds AS MATERIALIZED (
      SELECT ${sealedUntil(tables, from)} AS since,
             least(${sealedUntil(tables, through)}, ${until}::timestamptz - ${late}) AS until),
    listed AS MATERIALIZED (
      SELECT split_part(t.line, ' ', 1) AS log_id, split_part(t.line, ' ', 2) AS at
      FROM ${seals} s, bounds b, LATERAL string_to_table(s.entries, chr(10)) AS t (line)
      WHERE s.sequence > ${from}::integer AND s.sequence <= coalesce(
        (SELECT min(n.sequence) FROM ${seals} n
         WHERE n.sequence > ${through}::integer AND n.sealed_until > b.until + ${late}), 2147483647)),
    unlisted AS (
      SELECT a.log_id, a.created_at FROM ${log} a, bounds b
      WHERE a.created_at > b.since AND a.created_at <= b.until
        AND NOT EXISTS (
          SELECT FROM listed l WHERE l.log_id = a.log_id::text AND l.at = ${timeText(sql`a.created_at`)}))
    SELECT log_id FROM unlisted ORDER BY created_at, log_id LIMIT 1`);
}

function selectUnsealed({ tables: { log }, until }: PageRange) {
  return tenantStatement(sql<{ entries: number }>`
    SELECT count(*)::integer AS entries FROM (
      SELECT FROM ${log} a WHERE a.created_at > coalesce(${until}::timestamptz, '-infinity')
      LIMIT ${MOST_UNSEALED}::integer) AS tail`);
}
