import { sql } from 'kysely';
import * as z from 'zod';
import { dropTenantSchema } from '../database/provisioning/tenant-schema.ts';
import { analyzeSharedTables, tablesWithOldSamples } from '../database/tables/column-samples.ts';
import { tenantTableOrder } from '../database/tables/tenant-tables.ts';
import { sameLocation } from '../places/place.ts';
import { asOwnerOf } from '../places/place-database.ts';
import { dropCredentials } from '../places/place-resources.ts';
import type { DataApi } from '../registry/data-api.ts';
import { jsonValue, now } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';
import { HopNotCommitted } from './errors.ts';
import { type Hop, keepsRole, keptIn } from './hop.ts';
import { findHop, type HopRecord, selectHops, setHopState } from './move-records.ts';
import { cleanUpRelocate } from './relocate/clean-up-relocate.ts';
import { cleanUpReshape } from './reshape/clean-up-reshape.ts';

export interface CleanUp {
  readonly done: boolean;
  /** The source was a dedicated database, which will be deleted as a whole. */
  readonly database: boolean;
  /** RFC 3339: when to call again, or when the deletion of the database may begin. */
  readonly keepUntil: string;
}

const copiedTables = z.array(z.object({ name: z.string(), rows: z.number() }));

const MS_PER_HOUR = 60 * 60_000;
const RETRY_MS = 30_000;

export interface KeepTimes {
  /** Days for which a dedicated database is kept from its clean-up on. */
  readonly keepDays: number;
  /** Hours for which what a restore has replaced is kept from its swap on: it can be undone for so long. */
  readonly keepReplacedHours: number;
}

/**
 * Drops what the tenant left at the source of a settled hop, and last the secret of its role there. Call it until it is
 * done. When the source was a dedicated database, `deleteLeftDatabase` ends the clean-up.
 * @param deadline on `performance.now()`'s clock.
 * @throws {HopNotCommitted} the hop is not settled; a hop whose source and target differ never is.
 */
export async function cleanUpHop(
  registry: Pick<DataApi, 'query'>,
  { moveId, hopIndex }: { moveId: string; hopIndex: number },
  { deadline, keepDays, keepReplacedHours }: KeepTimes & { readonly deadline: number },
): Promise<CleanUp> {
  const hop = await findHop(registry, moveId, hopIndex);
  const now = new Date().toISOString();
  // The tenant was offboarded since: it has left nothing.
  if (!hop) return { done: true, database: false, keepUntil: now };
  if (hop.state === 'cleaned') return { done: true, database: false, keepUntil: now };
  if (hop.state !== 'settled') throw new HopNotCommitted();
  const { kind, source, target, attempt } = hop;
  // A restore leaves a schema of the database that the tenant goes on living in.
  const database = source.isolationModel === 'dedicated' && !sameLocation(source, target);
  const since = hop.result.cleanedAt;
  if (database && typeof since === 'string')
    return { done: true, database, keepUntil: after(since, keepDays * 24) };
  const kept = hop.filling && keptUntil(hop, keepReplacedHours);
  if (kept !== undefined && kept > now) return { done: false, database, keepUntil: kept };
  if (hop.filling && (await wentWithItsDatabase(registry, hop))) {
    await setHopState(registry, hop, ['settled'], 'cleaned');
    return { done: true, database, keepUntil: now };
  }
  const { done, samplesIn } =
    kind === 'reshape'
      ? await cleanUpReshape(hop, { deadline, tables: tablesWithRows(hop) })
      : { ...(await cleanUpRelocate(hop, deadline)), samplesIn: [] };
  if (!done) return { done, database, keepUntil: new Date(Date.now() + RETRY_MS).toISOString() };
  await dropKept(hop);
  if (database) {
    await noteCleaned(registry, hop, now);
    return { done, database, keepUntil: after(now, keepDays * 24) };
  }
  // The tenant cannot have returned to it: no other attempt uses its names.
  if (!keepsRole(hop)) await dropCredentials(source, attempt.tenantId);
  if (samplesIn.length > 0) await noteSamples(registry, hop, samplesIn);
  await setHopState(registry, hop, ['settled'], 'cleaned');
  return { done, database, keepUntil: now };
}

/** All tables, where the hop has not recorded what it copied. */
function tablesWithRows({ result }: HopRecord): string[] {
  const { data } = copiedTables.safeParse(result.tables);
  return data ? data.filter(({ rows }) => rows > 0).map(({ name }) => name) : [...tenantTableOrder];
}

/** Drops the copy of what a restore has replaced in the shared tables. */
async function dropKept(hop: Hop): Promise<void> {
  const schemaName = keptIn(hop);
  if (schemaName === undefined || schemaName === hop.source.schemaName) return;
  const { tenantId } = hop.attempt;
  await asOwnerOf(hop.source, (owner) =>
    dropTenantSchema(owner, { tenantId, schemaName, roleName: schemaName }),
  );
}

const after = (since: string, hours: number): string =>
  new Date(Date.parse(since) + hours * MS_PER_HOUR).toISOString();

/** Undefined where the time of the swap is not on record. */
function keptUntil({ result }: HopRecord, hours: number): string | undefined {
  return typeof result.committedAt === 'string' ? after(result.committedAt, hours) : undefined;
}

/** The tenant has moved away since, and its dedicated database is deleted. */
async function wentWithItsDatabase(
  registry: Pick<DataApi, 'query'>,
  { attempt, source }: Hop,
): Promise<boolean> {
  if (source.isolationModel !== 'dedicated') return false;
  const cleaned = await selectHops(registry, (hops) =>
    hops.where('h.tenant_id', '=', attempt.tenantId).where('h.state', '=', 'cleaned'),
  );
  return cleaned.some(
    (hop) => hop.result.deletedDatabase !== undefined && hop.source.clusterArn === source.clusterArn,
  );
}

/**
 * Replaces the samples of columns that clean-ups have left in the statistics of empty tables ({@link cleanUpReshape}), once
 * the tables have rows again. Call it from time to time: PostgreSQL replaces them by itself only after many rows.
 * @throws the registry's and the driver's errors.
 */
export async function replaceLeftSamples(registry: Pick<DataApi, 'query'>, hop: HopRecord): Promise<void> {
  const known = z.array(z.string()).parse(hop.result.samplesIn);
  const left = await asOwnerOf(hop.source, async (owner) => {
    await analyzeSharedTables(owner);
    return tablesWithOldSamples(owner, known);
  });
  if (left.length < known.length) await noteSamples(registry, hop, left);
}

/** The report of the tenant's residency lists them. They are no change of the hop: its clean-up is done. */
async function noteSamples(
  registry: Pick<DataApi, 'query'>,
  { moveId, index }: Pick<HopRecord, 'moveId' | 'index'>,
  samplesIn: readonly string[],
): Promise<void> {
  await registrySql(registry)
    .updateTable('tenant_move_hops')
    .set({ result: sql`result || ${jsonValue({ samplesIn })}` })
    .where('move_id', '=', moveId)
    .where('hop_index', '=', index)
    .execute();
}

/** A repeated clean-up must not connect to a database that is being deleted. */
async function noteCleaned(
  registry: Pick<DataApi, 'query'>,
  { moveId, index }: { readonly moveId: string; readonly index: number },
  cleanedAt: string,
): Promise<void> {
  await registrySql(registry)
    .updateTable('tenant_move_hops')
    .set({ result: sql`result || ${jsonValue({ cleanedAt })}`, updated_at: now })
    .where('move_id', '=', moveId)
    .where('hop_index', '=', index)
    .where('state', '=', 'settled')
    .where(sql<boolean>`result -> 'cleanedAt' is null`)
    .execute();
}
