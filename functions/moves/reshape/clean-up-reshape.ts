import type pg from 'pg';
import { joinedTransaction } from '../../database/ddl/ddl-connection.ts';
import { TenantSchemaInUse } from '../../database/errors.ts';
import { dropTenantSchema } from '../../database/provisioning/tenant-schema.ts';
import { forgetErasedRows, tablesWithOldSamples } from '../../database/tables/column-samples.ts';
import { exclusively } from '../../database/transfer/claim.ts';
import { AttemptBusy } from '../../database/transfer/errors.ts';
import { readPlacement } from '../../database/transfer/fence.ts';
import { hasOlderReaders } from '../../database/transfer/place-facts.ts';
import { eraseSharedRows } from '../../database/transfer/reshape/erase-shared-rows.ts';
import { asOwnerOf } from '../../places/place-database.ts';
import type { Hop } from '../hop.ts';

export interface CleanUpOptions {
  /** On `performance.now()`'s clock. */
  readonly deadline: number;
  /** Shared tables that had rows of the tenant. */
  readonly tables: readonly string[];
}

export interface ReshapeCleanUp {
  /** False: transactions still read there, another attempt or a refresh of the skills summary works, or time is up. */
  readonly done: boolean;
  /** Shared tables, or partitions, that are empty now, whose statistics still have samples of the tenant's columns. */
  readonly samplesIn: readonly string[];
}

const NOT_DONE: ReshapeCleanUp = { done: false, samplesIn: [] };
const NOTHING_LEFT: ReshapeCleanUp = { done: true, samplesIn: [] };

/**
 * Drops what the tenant has left at the source of a committed reshape, once no transaction can be reading it any more. A tenant
 * that has come back meanwhile keeps everything. Call it until it is done.
 *
 * Samples of columns in the planner's statistics are personal data too, and the cell may be in a region that the tenant leaves
 * with a later hop of the same move: so they are replaced for every tenant that leaves shared tables. Those of a schema are
 * dropped with it.
 */
export async function cleanUpReshape(hop: Hop, options: CleanUpOptions): Promise<ReshapeCleanUp> {
  return asOwnerOf(hop.source, async (owner) => {
    try {
      if (await hasOlderReaders(owner, hop.attempt.tenantId)) return NOT_DONE;
      if (hop.source.isolationModel === 'shared') return await eraseRows(owner, hop, options);
      return await dropSchema(owner, hop);
    } catch (error) {
      if (error instanceof AttemptBusy) return NOT_DONE;
      throw error;
    }
  });
}

async function eraseRows(
  owner: pg.Client,
  { attempt }: Hop,
  { deadline, tables }: CleanUpOptions,
): Promise<ReshapeCleanUp> {
  const { tenantId } = attempt;
  // The tenant is back here, or was offboarded, which erases its rows.
  let hasNothingToErase = false;
  const guarded = (batch: () => Promise<number>) =>
    exclusively(
      owner,
      attempt,
      async () => {
        const placement = await readPlacement(owner, tenantId);
        const isBack = placement?.isolation_model === 'shared' && placement.state !== 'moved';
        hasNothingToErase = !placement || isBack;
        // An attempt that has claimed the tenant may be filling these tables.
        return hasNothingToErase || placement?.mover !== null ? undefined : batch();
      },
      { seconds: 600 },
    );
  const outcome = await eraseSharedRows(owner, tenantId, guarded, deadline);
  if (hasNothingToErase) return NOTHING_LEFT;
  if (outcome !== 'erased' || !(await forgetErasedRows(owner))) return NOT_DONE;
  return { done: true, samplesIn: await tablesWithOldSamples(owner, tables) };
}

async function dropSchema(owner: pg.Client, { attempt, source }: Hop): Promise<ReshapeCleanUp> {
  const { tenantId } = attempt;
  const { schemaName, roleName } = source;
  try {
    await exclusively(owner, attempt, () =>
      dropTenantSchema(owner, { tenantId, schemaName, roleName }, joinedTransaction),
    );
  } catch (error) {
    if (!(error instanceof TenantSchemaInUse)) throw error;
  }
  return NOTHING_LEFT;
}
