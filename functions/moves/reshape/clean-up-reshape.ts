import type pg from 'pg';
import { joinedTransaction } from '../../database/ddl/ddl-connection.ts';
import { TenantSchemaInUse } from '../../database/errors.ts';
import { dropTenantSchema } from '../../database/provisioning/tenant-schema.ts';
import { exclusively } from '../../database/transfer/claim.ts';
import { AttemptBusy } from '../../database/transfer/errors.ts';
import { readPlacement } from '../../database/transfer/fence.ts';
import { hasOlderReaders } from '../../database/transfer/place-facts.ts';
import { eraseSharedRows } from '../../database/transfer/reshape/erase-shared-rows.ts';
import { asOwnerOf } from '../../places/place-database.ts';
import type { Hop } from '../hop.ts';

/**
 * Drops what the tenant has left at the source of a committed reshape, once no transaction can be reading it any more. A tenant
 * that has come back meanwhile keeps everything.
 * @param deadline on `performance.now()`'s clock.
 * @returns not done: transactions still read there, another attempt works, or time is up; call it again.
 */
export async function cleanUpReshape(hop: Hop, deadline: number): Promise<{ readonly done: boolean }> {
  return asOwnerOf(hop.source, async (owner) => {
    try {
      if (await hasOlderReaders(owner, hop.attempt.tenantId)) return { done: false };
      if (hop.source.isolationModel === 'shared') return await eraseRows(owner, hop, deadline);
      return await dropSchema(owner, hop);
    } catch (error) {
      if (error instanceof AttemptBusy) return { done: false };
      throw error;
    }
  });
}

async function eraseRows(owner: pg.Client, { attempt }: Hop, deadline: number): Promise<{ done: boolean }> {
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
  return { done: outcome === 'erased' || hasNothingToErase };
}

async function dropSchema(owner: pg.Client, { attempt, source }: Hop): Promise<{ done: boolean }> {
  const { tenantId } = attempt;
  const { schemaName, roleName } = source;
  try {
    await exclusively(owner, attempt, () =>
      dropTenantSchema(owner, { tenantId, schemaName, roleName }, joinedTransaction),
    );
  } catch (error) {
    if (!(error instanceof TenantSchemaInUse)) throw error;
  }
  return { done: true };
}
