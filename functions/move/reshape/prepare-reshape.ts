import type pg from 'pg';
import { joinedTransaction, lockForDdl } from '../../database/ddl/ddl-connection.ts';
import { CredentialStore } from '../../database/session/credentials.ts';
import { isolatedTarget, migrateTenantTables } from '../../database/tables/migrate-tenant-tables.ts';
import { createArrivingSchema } from '../../database/transfer/arriving-schema.ts';
import { claimTenant } from '../../database/transfer/claim.ts';
import { atSource } from '../../database/transfer/reshape/at-source.ts';
import { captureOn, isCapturing } from '../../database/transfer/reshape/capture.ts';
import { eraseSharedRows } from '../../database/transfer/reshape/erase-shared-rows.ts';
import { tierTerms } from '../../placement/tier-terms.ts';
import type { Hop, Place, StepContext, StepOutcome } from '../hop.ts';
import { inTurn } from './in-turn.ts';

/**
 * Gives the tenant to the attempt, makes the place where its rows will arrive, and begins to note what changes.
 * @throws {ClaimLost | MoverBusy | WritersBusy} and the errors of PostgreSQL and Secrets Manager.
 */
export async function prepareReshape(context: StepContext, cursor?: unknown): Promise<StepOutcome> {
  const { hop, deadline } = context;
  const { attempt, source, target } = hop;
  return inTurn(context, cursor, async (owner) => {
    await claimTenant(owner, attempt);
    // Capture is the last thing here: delivered again, perhaps after the copy, the step must not empty the target.
    if (await isCapturing(owner, attempt)) return { done: true };
    await context.progress({});
    if (source.isolationModel !== 'shared') await bringUpToDate(owner, hop);
    if (target.isolationModel !== 'shared') await makeSchema(owner, hop);
    else if (!(await clearSharedTables(owner, hop, deadline))) return { done: false };
    await captureOn(owner, attempt);
    return { done: true };
  });
}

/** Rows are copied by the columns that this version of the code knows. The shared tables are up to date by a deploy. */
async function bringUpToDate(owner: pg.Client, { attempt, source }: Hop): Promise<void> {
  const { schemaName, roleName } = source;
  await atSource(owner, attempt, () =>
    joinedTransaction(owner, async (transaction) => {
      await lockForDdl(transaction, schemaName);
      await migrateTenantTables(transaction, isolatedTarget(schemaName, roleName));
    }),
  );
}

async function makeSchema(owner: pg.Client, { attempt, target }: Hop): Promise<void> {
  const password = await passwordOf(target);
  const connectionLimit = tierTerms.business.connectionLimit ?? target.poolSize;
  const { schemaName, roleName } = target;
  await atSource(owner, attempt, () =>
    createArrivingSchema(
      owner,
      { tenantId: attempt.tenantId, schemaName, roleName, password, connectionLimit },
      joinedTransaction,
    ),
  );
}

async function passwordOf({ secretArn, roleName }: Place): Promise<string> {
  if (secretArn === null) throw new TypeError('the target has no secret yet');
  const { username, password } = await new CredentialStore().get(secretArn);
  if (username !== roleName) throw new TypeError('the secret of the target is another role’s');
  return password;
}

/** An earlier stay of the tenant, or an attempt that was rolled back halfway, may have left rows that nobody reads. */
async function clearSharedTables(owner: pg.Client, { attempt }: Hop, deadline: number): Promise<boolean> {
  const outcome = await eraseSharedRows(
    owner,
    attempt.tenantId,
    // At the attempt's epoch the tenant lives in a schema: the hop's source says so.
    (batch) => atSource(owner, attempt, batch, { seconds: 600 }),
    deadline,
  );
  return outcome === 'erased';
}
