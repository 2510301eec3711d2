import { createHmac } from 'node:crypto';
import type pg from 'pg';
import { ddlTransaction } from '../../database/ddl/ddl-connection.ts';
import { CredentialStore } from '../../database/session/credentials.ts';
import { tenantTablesAt } from '../../database/tables/tenant-tables.ts';
import { type BothSides, claimed, claimedAtTarget, holdTarget } from '../../database/transfer/claim.ts';
import { createAliasTables } from '../../database/transfer/replication/alias-tables.ts';
import { clearMarkers } from '../../database/transfer/replication/marker.ts';
import { lockReplication, publish } from '../../database/transfer/replication/publication.ts';
import { ensureSlot } from '../../database/transfer/replication/slot.ts';
import { subscribe } from '../../database/transfer/replication/subscription.ts';
import { createBareSchema, tableSizes } from '../../database/transfer/target-schema.ts';
import { tablesVersionOf } from '../../places/place.ts';
import { asOwnersOf, schemaSettings } from '../../places/place-database.ts';
import { type Hop, type HopContext, type PhaseOutcome, replicationName } from '../hop.ts';
import { agreeOnTables, claimForHop } from '../tables-of-hop.ts';
import { LARGE_BYTES } from './late-keys.ts';
import { reportingBrokenReplication } from './replication.ts';

/** How long the slot may wait for write transactions of the cluster that are open. */
const SLOT_SECONDS = 20;

/**
 * Claims the tenant, makes publication, bare tables at the target, slot and a suspended subscription: once that is resumed,
 * rows flow from cluster to cluster. The publication comes first: where there is none, nothing is at the target (see the roll
 * back).
 * @throws {ClaimLost | AttemptBusy | ReplicationBroken | TenantSecretInvalid} and the drivers' errors.
 */
export async function prepareRelocate(context: HopContext): Promise<PhaseOutcome> {
  const { source: from, target: to } = context.hop;
  const password = await replicationPassword(context.hop);
  return asOwnersOf([from, from, to], async ([source, second, target]) => {
    const sides = { source: source!, target: target! };
    await claimForHop(sides.source, context.hop);
    await agreeOnTables(sides.source, context);
    const { hop } = context;
    await publishSource(sides.source, hop, password);
    await createTargetTables(sides, hop);
    await reportingBrokenReplication(() => startReplication(sides, second!, hop, password));
    return { done: true };
  });
}

/**
 * Kept in the subscription only, and the same for each run of the phase: a new one would lock out the workers until the
 * subscription has it too. So it derives from the secret of the target's role, which is not rotated during a move, and not
 * from an owner's.
 */
async function replicationPassword({ target, attempt }: Hop): Promise<string> {
  if (target.secretArn === null) throw new TypeError('the target has no secret yet');
  const role = await new CredentialStore().get(target.secretArn);
  return createHmac('sha256', role.password).update(`replication ${attempt.attemptId}`).digest('base64url');
}

async function createTargetTables(sides: BothSides, hop: Hop): Promise<void> {
  const { source, attempt } = hop;
  const schemaVersion = tablesVersionOf(hop.target);
  const schema = { ...(await schemaSettings(hop.target, attempt.tenantId)), schemaVersion };
  const { schemaName } = schema;
  const sizes = await tableSizes(sides.source, source.schemaName);
  const isKeyed = (table: string) => (sizes.get(table) ?? 0) < LARGE_BYTES;
  await claimed(sides.source, attempt, () =>
    createBareSchema(sides.target, schema, isKeyed, (client, work) =>
      ddlTransaction(client, async (transaction) => {
        await holdTarget(sides, attempt);
        return work(transaction);
      }),
    ),
  );
  await claimedAtTarget(sides, attempt, () =>
    createAliasTables(sides.target, {
      alias: source.schemaName,
      schemaName,
      attemptId: attempt.attemptId,
      tables: tenantTablesAt(schemaVersion),
    }),
  );
}

async function publishSource(source: pg.Client, hop: Hop, password: string): Promise<void> {
  const name = replicationName(hop);
  const { schemaName } = hop.source;
  await claimed(source, hop.attempt, async () => {
    await lockReplication(source, name);
    // Of an earlier attempt that was not rolled back completely.
    await clearMarkers(source, schemaName);
    await publish(
      source,
      { name, schemaName, tables: tenantTablesAt(tablesVersionOf(hop.target)) },
      password,
    );
  });
}

/**
 * The slot is created in the transaction that holds the claim. It waits for transactions that have written, so this
 * one must not: advisory locks leave no trace. One run at a time, since only one can create it.
 */
async function startReplication(
  sides: BothSides,
  second: pg.Client,
  hop: Hop,
  password: string,
): Promise<void> {
  const { attempt, source: place } = hop;
  const name = replicationName(hop);
  const work = async () => {
    await lockReplication(sides.source, name);
    await ensureSlot(sides.source, name, SLOT_SECONDS);
    await claimedAtTarget({ source: second, target: sides.target }, attempt, () =>
      subscribe(sides.target, name, {
        host: place.writerHost!,
        port: place.port!,
        database: place.database,
        password,
        inOtherRegion: place.region !== hop.target.region,
      }),
    );
  };
  await claimed(sides.source, attempt, work, { seconds: SLOT_SECONDS + 40 });
}
