/**
 * Seals a tenant's audit entries (`tenant-data/audit-chain.ts`), a batch in each transaction.
 *
 * A transaction holds the tenant's attempts' lock exclusively and has checked that no attempt claims the tenant, like the
 * deletion of old rows: what a move copies and compares is the same throughout. Requests do not use that lock, and the
 * sealer takes no other but on the seal that it appends, so no request waits for it. A tenant that is being moved is
 * sealed after its arrival.
 */
import { sql } from 'kysely';
import type pg from 'pg';
import type { Tier } from '../contracts/tenant.ts';
import { qualified } from '../database/ddl/identifier.ts';
import { type Statement, tenantStatement } from '../database/session/tenant-sql.ts';
import { auditLog, auditSeals } from '../database/tables/operations-tables.ts';
import type { PlacementRow } from '../database/transfer/fence.ts';
import {
  type ChainTables,
  chainTables,
  ENTRIES_OF_SEAL,
  entryLine,
  LATE_SECONDS,
  SEAL_FORMAT,
  SEALED_AFTER_SECONDS,
  type SealContent,
  sealHash,
  sha256,
  timeText,
} from '../tenant-data/audit-chain.ts';
import { RETENTION_MONTHS, SHARED_TABLES_TIER } from './retention.ts';
import { inUnmovedTenant, type LeftAlone, TenantLeftAlone } from './unmoved-tenant.ts';

/** A tenant of the database, as the registry has it. */
export interface SealedTenant {
  readonly tenantId: string;
  readonly tier: Tier;
}

export interface SealOptions {
  /** On `performance.now()`'s clock. */
  readonly deadline: number;
  /** Entries of one seal at most. */
  readonly batch?: number;
  /** Age of an entry from which it is sealed. */
  readonly ageSeconds?: number;
  /** Runs inside the transaction of each seal, before its commit. */
  readonly beforeCommit?: () => Promise<void>;
}

export interface SealOutcome {
  readonly seals: number;
  readonly entries: number;
  /**
   * `moving`: a move has the tenant. `elsewhere`: it is not in this database. `lagging`: its tables have no seals yet.
   * `unfinished`: the deadline came first.
   */
  readonly outcome: 'done' | 'unfinished' | LeftAlone;
}

/** @throws the driver's errors; the seals that were committed stay. */
export async function sealEntries(
  owner: pg.ClientBase,
  { tenantId, tier }: SealedTenant,
  { deadline, batch = ENTRIES_OF_SEAL, ageSeconds = SEALED_AFTER_SECONDS, beforeCommit }: SealOptions,
): Promise<SealOutcome> {
  let seals = 0;
  let entries = 0;
  for (;;) {
    if (performance.now() > deadline) return { seals, entries, outcome: 'unfinished' };
    try {
      const sealed = await inUnmovedTenant(owner, tenantId, async (place) => {
        const retentionMonths = retentionOf(place, tier);
        const made = await appendSeal(owner, place, { tenantId, retentionMonths, batch, ageSeconds });
        await beforeCommit?.();
        return made;
      });
      if (sealed !== null) {
        seals += 1;
        entries += sealed;
      }
      if ((sealed ?? 0) < batch) return { seals, entries, outcome: 'done' };
    } catch (error) {
      if (error instanceof TenantLeftAlone) return { seals, entries, outcome: error.reason };
      throw error;
    }
  }
}

/** In months. Partitions of the shared tables are dropped for all tenants by one retention. */
function retentionOf({ isolation_model: model }: PlacementRow, tier: Tier): number {
  const months = RETENTION_MONTHS[auditLog.name]!;
  return model === 'shared' ? Math.min(months[tier], months[SHARED_TABLES_TIER]) : months[tier];
}

interface NewSeal {
  readonly tenantId: string;
  readonly retentionMonths: number;
  readonly batch: number;
  readonly ageSeconds: number;
}

/**
 * Appends one seal, unless there is nothing to seal.
 * @returns the number of its entries; null when there is no new seal.
 */
async function appendSeal(
  owner: pg.ClientBase,
  { schema_name: schema }: PlacementRow,
  { tenantId, retentionMonths, batch, ageSeconds }: NewSeal,
): Promise<number | null> {
  const tables = chainTables(schema);
  const [last] = await run(owner, selectLast(tables));
  const { lines, until, now } = (
    await run(owner, selectUnsealed(tables, last?.sealed_until ?? null, { batch, ageSeconds }))
  )[0]!;
  // A seal without entries records that the retention has changed, before the upkeep deletes by the new one.
  const isNews = lines.length > 0 || (last !== undefined && last.retention_months !== retentionMonths);
  if (!isNews) return null;
  const entries = lines.join('\n');
  const content: SealContent = {
    sequence: (last?.sequence ?? 0) + 1,
    format: SEAL_FORMAT,
    previousHash: last?.hash ?? null,
    entryCount: lines.length,
    root: sha256(entries),
    sealedUntil: until,
    retentionMonths,
    createdAt: now,
  };
  await owner.query(
    `insert into ${qualified(schema, auditSeals.name)}
       (sequence, format, previous_hash, entries, entry_count, root, sealed_until, retention_months, created_at, hash)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
    [
      content.sequence,
      content.format,
      content.previousHash,
      entries,
      content.entryCount,
      content.root,
      content.sealedUntil,
      content.retentionMonths,
      content.createdAt,
      sealHash(tenantId, content),
    ],
  );
  return lines.length;
}

interface LastSeal {
  readonly sequence: number;
  readonly hash: string;
  readonly sealed_until: string;
  readonly retention_months: number;
}

function selectLast({ seals }: ChainTables) {
  return tenantStatement(sql<LastSeal>`
    SELECT sequence, hash, ${timeText(sql`sealed_until`)} AS sealed_until, retention_months
    FROM ${seals} ORDER BY sequence DESC LIMIT 1`);
}

interface Unsealed {
  readonly lines: readonly string[];
  /** The time of the last line when more entries follow, otherwise the time up to which entries are old enough. */
  readonly until: string;
  readonly now: string;
}

/**
 * Entries from a little before the end of the last seal on, without those that it or the seals of that time list. One
 * row. An end never lies before the end of the last seal, also when the clock of this cluster is behind.
 */
function selectUnsealed(
  { log, seals }: ChainTables,
  end: string | null,
  { batch, ageSeconds }: Pick<NewSeal, 'batch' | 'ageSeconds'>,
) {
  const after = sql`(coalesce(${end}::timestamptz, '-infinity') - make_interval(secs => ${sql.lit(LATE_SECONDS)}))`;
  return tenantStatement(sql<Unsealed>`
    WITH clock AS MATERIALIZED (
      SELECT clock_timestamp() AS now, clock_timestamp() - make_interval(secs => ${ageSeconds}::double precision) AS old),
    listed AS MATERIALIZED (
      SELECT split_part(t.line, ' ', 1) AS log_id
      FROM ${seals} s, LATERAL string_to_table(s.entries, chr(10)) AS t (line) WHERE s.sealed_until >= ${after}),
    unsealed AS MATERIALIZED (
      SELECT a.created_at, a.log_id, ${entryLine('a')} AS line FROM ${log} a, clock c
      WHERE a.created_at >= ${after} AND a.created_at < c.old
        -- NOT IN is hashed, whatever the planner expects of the list.
        AND (a.created_at > ${end}::timestamptz OR a.log_id::text NOT IN (SELECT l.log_id FROM listed l))
      ORDER BY a.created_at, a.log_id LIMIT ${batch + 1}::integer),
    batch AS MATERIALIZED (SELECT * FROM unsealed ORDER BY created_at, log_id LIMIT ${batch}::integer)
    SELECT coalesce((SELECT array_agg(line ORDER BY created_at, log_id) FROM batch), '{}') AS lines,
      ${timeText(sql`c.now`)} AS now,
      ${timeText(
        sql`greatest(${end}::timestamptz, CASE WHEN (SELECT count(*) FROM unsealed) <= ${batch}::integer THEN c.old
          ELSE (SELECT max(created_at) FROM batch) END)`,
      )} AS until
    FROM clock c`);
}

/** Runs a statement of the query builder as the owner. */
export async function run<Row>(owner: pg.ClientBase, statement: Statement<Row>): Promise<Row[]> {
  const { sql: text, parameters } = statement.compile();
  const { rows } = await owner.query(text, [...parameters]);
  return rows as Row[];
}
