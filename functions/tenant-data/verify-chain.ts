/**
 * Verifies a page of a tenant's chain of seals (`audit-chain.ts`): recomputes the hashes of seals and entries, and looks
 * for entries that no seal lists. The database hashes the entries, so only ids, times and hashes leave it.
 *
 * It reads in one snapshot. What comes before the page was verified before: the page begins behind a seal whose hash the
 * next one must name. The entries of a page are read by their times, in the order of an index. Those that are listed and
 * were not found so are looked up by their ids.
 */
import { type RawBuilder, sql } from 'kysely';
import { type Statement, tenantStatement } from '../database/session/tenant-sql.ts';
import {
  type ChainTables,
  entryLine,
  LATE_SECONDS,
  LINE_PATTERN,
  SEAL_FORMAT,
  type SealContent,
  sealHash,
  sha256,
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

/** Of one page: a few megabytes of lines. */
const ENTRIES_OF_PAGE = 20_000;
const SEALS_OF_PAGE = 500;
/** Entries that are read although the page's seals do not list them: they may be listed by the next ones. */
const MOST_UNLISTED = 50_000;
export const MOST_UNSEALED = 100_000;

/** @throws the driver's errors. */
export async function verifyPage(options: VerifyOptions): Promise<VerifiedPage> {
  const { tenantId, after, query } = options;
  const [[chain], rows] = await Promise.all([query(selectChain(options)), query(selectSeals(options))]);
  const { seals, through, broken: brokenSeal } = checkSeals(tenantId, after, rows);
  const isLast = through >= (chain?.last ?? 0);
  const before = rows.find(({ sequence }) => sequence === after);
  const {
    entries,
    expired,
    broken: brokenEntry,
  } = chain && seals.length > 0
    ? await checkEntries(options, chain, before, seals)
    : { entries: 0, expired: 0, broken: null };
  const broken = brokenEntry ?? brokenSeal;
  const [tail] = isLast ? await query(selectUnsealed(options, chain?.until ?? null)) : [];
  return {
    seals: seals.length,
    entries,
    expired,
    through,
    done: isLast || broken !== null,
    unsealed: tail?.entries ?? 0,
    broken,
  };
}

interface SealRow {
  readonly sequence: number;
  readonly format: number;
  readonly previous_hash: string | null;
  readonly entries: string;
  readonly entry_count: number;
  readonly root: string;
  readonly hash: string;
  readonly sealed_until: string;
  /** Entries from then on may be listed by the next seal. */
  readonly late_from: string;
  readonly retention_months: number;
  readonly created_at: string;
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

const linesOf = ({ entries }: Pick<SealRow, 'entries'>) => (entries === '' ? [] : entries.split('\n'));

/** The seals up to the first broken one. @param rows the seal `after`, if there is one, and those of the page */
function checkSeals(
  tenantId: string,
  after: number,
  rows: readonly SealRow[],
): { readonly seals: readonly SealRow[]; readonly through: number; readonly broken: BrokenLink | null } {
  const isFirst = rows[0]?.sequence === after;
  const broken = (how: BrokenLink['how'], sequence: number): BrokenLink => ({
    what: 'seal',
    how,
    sequence,
    logId: null,
  });
  if (after > 0 && !isFirst) return { seals: [], through: after, broken: broken('removed', after) };
  let previous = isFirst ? rows[0] : undefined;
  const seals: SealRow[] = [];
  for (const row of isFirst ? rows.slice(1) : rows) {
    const through = previous?.sequence ?? 0;
    const expected = through + 1;
    if (row.sequence !== expected) return { seals, through, broken: broken('removed', expected) };
    const content = contentOf(row);
    const lines = linesOf(row);
    const isItself =
      row.format === SEAL_FORMAT &&
      row.root === sha256(row.entries) &&
      row.entry_count === lines.length &&
      lines.every((line) => LINE.test(line)) &&
      row.hash === sealHash(tenantId, content);
    if (!isItself || row.previous_hash !== (previous?.hash ?? null)) {
      const other = rows.some(
        ({ sequence }) => sequence !== expected && row.hash === sealHash(tenantId, { ...content, sequence }),
      );
      return { seals, through, broken: broken(other ? 'reordered' : 'altered', expected) };
    }
    seals.push(row);
    previous = row;
  }
  return { seals, through: previous?.sequence ?? after, broken: null };
}

const LINE = new RegExp(LINE_PATTERN);

/** A line of a seal. Id and time together name an entry: `key` is both. */
interface Line {
  readonly key: string;
  readonly logId: string;
  readonly at: string;
  readonly hash: string;
}

function parseLine(line: string): Line {
  const [logId = '', at = '', hash = ''] = line.split(' ');
  return { key: `${logId} ${at}`, logId, at, hash };
}

/** Times in the form of `timeText` compare as text. */
async function checkEntries(
  { tables, query }: VerifyOptions,
  chain: ChainRow,
  before: SealRow | undefined,
  seals: readonly SealRow[],
): Promise<{ readonly entries: number; readonly expired: number; readonly broken: BrokenLink | null }> {
  const listed = seals.flatMap((seal, index) => {
    const lateFrom = (seals[index - 1] ?? before)?.late_from ?? '';
    return linesOf(seal).map((line) => ({ ...parseLine(line), sequence: seal.sequence, lateFrom }));
  });
  const last = seals.at(-1) as SealRow;
  const range = { since: before?.sealed_until ?? null, until: last.sealed_until };
  const there = (await query(selectLines(tables, range, listed.length + MOST_UNLISTED))).map(({ line }) =>
    parseLine(line),
  );
  const found = new Map(there.map(({ key, hash }) => [key, hash]));
  const isExpired = ({ at }: Line) => at < chain.expired_before;
  const missing = listed.filter((line) => !found.has(line.key) && !isExpired(line));
  const elsewhere = new Map<string, Line>();
  if (missing.length > 0) {
    for (const { line } of await query(
      selectLinesById(
        tables,
        missing.map(({ logId }) => logId),
      ),
    )) {
      const other = parseLine(line);
      elsewhere.set(other.logId, other);
      found.set(other.key, other.hash);
    }
  }
  let expired = 0;
  const howBroken = (line: (typeof listed)[number]): BrokenLink['how'] | undefined => {
    if (line.at < line.lateFrom) return 'added';
    const hash = found.get(line.key);
    if (hash === line.hash) return undefined;
    if (hash !== undefined) return 'altered';
    if (elsewhere.has(line.logId)) return 'reordered';
    if (!isExpired(line)) return 'removed';
    expired += 1;
    return undefined;
  };
  for (const line of listed) {
    const how = howBroken(line);
    if (how) {
      const broken = { what: 'entry', how, sequence: line.sequence, logId: line.logId } as const;
      return { entries: listed.length, expired, broken };
    }
  }
  const keys = new Set(listed.map(({ key }) => key));
  // The last moments before the end of the chain may still be sealed.
  const unlisted = there.filter(({ key, at }) => !keys.has(key) && at <= chain.late_from);
  const added = await firstOfNoSeal(tables, query, last, unlisted);
  const broken = added
    ? ({ what: 'entry', how: 'added', sequence: null, logId: added.logId } as const)
    : null;
  return { entries: listed.length, expired, broken };
}

/**
 * The first of the entries that the seals behind the page do not list either. An entry may be listed by one of them when
 * it came late, or when its page ended among entries of the same time.
 */
async function firstOfNoSeal(
  tables: ChainTables,
  query: VerifyOptions['query'],
  last: SealRow,
  unlisted: readonly Line[],
): Promise<Line | undefined> {
  const [latest] = unlisted.slice(-1);
  if (!latest) return undefined;
  const next = await query(selectNextSeals(tables, last.sequence, latest.at));
  const keys = new Set(next.flatMap((seal) => linesOf(seal).map((line) => parseLine(line).key)));
  return unlisted.find(({ key }) => !keys.has(key));
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
    SELECT s.sequence, s.format, s.previous_hash, s.entries, s.entry_count, s.root, s.hash,
           ${timeText(sql`s.sealed_until`)} AS sealed_until, ${timeText(sql`s.sealed_until - ${late}`)} AS late_from,
           s.retention_months, ${timeText(sql`s.created_at`)} AS created_at
    FROM ${seals} s
    WHERE s.sequence = ${after}::integer OR s.sequence IN (SELECT sequence FROM page) ORDER BY s.sequence`);
}

const late = sql`make_interval(secs => ${sql.lit(LATE_SECONDS)})`;

interface ChainRow {
  /** Number and end of the last seal. */
  readonly last: number;
  readonly until: string;
  readonly late_from: string;
  /** A missing entry has expired when it is older: a retention, as some seal names it, has ended before the next seal. */
  readonly expired_before: string;
}

/** One row, or none when there is no seal. */
function selectChain({ tables: { seals } }: VerifyOptions) {
  const ended = sql`(coalesce(next_at, now()) AT TIME ZONE 'UTC' - make_interval(months => retention_months)) AT TIME ZONE 'UTC'`;
  return tenantStatement(sql<ChainRow>`
    SELECT last.sequence AS last, ${timeText(sql`last.sealed_until`)} AS until,
           ${timeText(sql`last.sealed_until - ${late}`)} AS late_from, (
             SELECT ${timeText(sql`max(${ended})`)}
             FROM (SELECT retention_months, lead(created_at) OVER (ORDER BY sequence) AS next_at FROM ${seals}) AS retentions
           ) AS expired_before
    FROM (SELECT sequence, sealed_until FROM ${seals} ORDER BY sequence DESC LIMIT 1) AS last`);
}

/** The entries behind `since` up to `until`, in their order. */
function selectLines(
  { log }: ChainTables,
  { since, until }: { readonly since: string | null; readonly until: string },
  limit: number,
) {
  return tenantStatement(sql<{ line: string }>`
    SELECT ${entryLine('a')} AS line FROM ${log} a
    WHERE a.created_at > coalesce(${since}::timestamptz, '-infinity') AND a.created_at <= ${until}::timestamptz
    ORDER BY a.created_at, a.log_id LIMIT ${limit}::integer`);
}

function selectLinesById({ log }: ChainTables, ids: readonly string[]) {
  return tenantStatement(sql<{ line: string }>`
    SELECT ${entryLine('a')} AS line FROM ${log} a WHERE a.log_id = ANY (${[...ids]}::uuid[])`);
}

/** The seals that may list an entry of that time, behind the page's last one. */
function selectNextSeals({ seals }: ChainTables, through: number, at: string) {
  const behind: RawBuilder<unknown> = sql`(
    SELECT min(n.sequence) FROM ${seals} n
    WHERE n.sequence > ${through}::integer AND n.sealed_until > ${at}::timestamptz + ${late})`;
  return tenantStatement(sql<Pick<SealRow, 'entries'>>`
    SELECT s.entries FROM ${seals} s
    WHERE s.sequence > ${through}::integer AND s.sequence <= coalesce(${behind}, 2147483647)`);
}

function selectUnsealed({ tables: { log } }: VerifyOptions, until: string | null) {
  return tenantStatement(sql<{ entries: number }>`
    SELECT count(*)::integer AS entries FROM (
      SELECT FROM ${log} a WHERE a.created_at > coalesce(${until}::timestamptz, '-infinity')
      LIMIT ${MOST_UNSEALED}::integer) AS tail`);
}
