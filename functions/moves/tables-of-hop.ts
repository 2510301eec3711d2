/**
 * Which version of the tables a hop works with.
 *
 * A hop begins with tables of this release: the tenant's own schema is brought up to date first, and a hop from or to
 * the shared tables waits until a rollout has done so with them. From the claim to the end of the hop nobody changes
 * them. Should a newer release go on with the hop, it works with the version that was agreed upon; an older one must
 * not, because it would leave behind what it does not know.
 */
import type pg from 'pg';
import { joinedTransaction, lockForDdl } from '../database/ddl/ddl-connection.ts';
import { IndexesInProgress } from '../database/errors.ts';
import { keepSharedTables } from '../database/provisioning/shared-tables-lock.ts';
import { LOCK_TIMEOUT_MS } from '../database/provisioning/update-target.ts';
import { sqlStateOf } from '../database/session/sql-state.ts';
import { buildNewIndexes } from '../database/tables/build-new-indexes.ts';
import { isolatedTarget, migrateTenantTables } from '../database/tables/migrate-tenant-tables.ts';
import { TENANT_SCHEMA_VERSION } from '../database/tables/schema-version.ts';
import { tenantTables } from '../database/tables/tenant-tables.ts';
import { claimed, claimTenant } from '../database/transfer/claim.ts';
import { WritersBusy } from '../database/transfer/errors.ts';
import { isolatedTablesVersion, sharedTablesVersion } from '../database/transfer/place-facts.ts';
import { TablesNewer, TablesUpgrading } from './errors.ts';
import type { Hop, HopContext } from './hop.ts';

/** A migration may rewrite a large table. */
const SECONDS = 600;

/**
 * Gives the tenant to the hop's attempt, which may have it already.
 * @throws {TablesUpgrading} the hop is from or to shared tables that are older than this release. {TablesNewer}
 * @throws {ClaimLost | AttemptBusy} and the driver's errors.
 */
export async function claimForHop(source: pg.Client, hop: Hop): Promise<void> {
  const check = async () => {
    await keepSharedTables(source);
    const version = requireKnown(await sharedTablesVersion(source));
    // Without the claim: the rollout that brings them up to date must not wait for this hop.
    if (version < TENANT_SCHEMA_VERSION) throw new TablesUpgrading();
  };
  await claimTenant(source, hop.attempt, isOfSharedTables(hop) ? check : undefined);
}

/**
 * Decides upon the version and keeps it with the hop, unless that has been done.
 * @throws {TablesUpgrading | TablesNewer | ClaimLost | AttemptBusy} and the driver's errors.
 */
export async function agreeOnTables(source: pg.Client, context: HopContext): Promise<void> {
  if (context.hop.target.schemaVersion !== undefined) return;
  await context.amendTarget({ schemaVersion: await versionFor(source, context.hop) });
}

async function versionFor(source: pg.Client, hop: Hop): Promise<number> {
  if (!isOfSharedTables(hop)) return migrateSource(source, hop);
  const shared = requireKnown(await sharedTablesVersion(source));
  if (hop.source.isolationModel === 'shared') return shared;
  // An older release has claimed the tenant and died before it could agree.
  const own =
    shared < TENANT_SCHEMA_VERSION
      ? await isolatedTablesVersion(source, hop.source.schemaName)
      : await migrateSource(source, hop);
  if (own > shared) throw new TablesUpgrading();
  return own;
}

/** A column that the target has and the source has not would never be filled. */
async function migrateSource(source: pg.Client, { source: place, attempt }: Hop): Promise<number> {
  const { schemaName, roleName } = place;
  const target = isolatedTarget(schemaName, roleName);
  const migrate = async () => {
    // Requests that come later wait behind its locks.
    await source.query(`SET LOCAL lock_timeout = '${LOCK_TIMEOUT_MS}ms'`);
    return joinedTransaction(source, async (transaction) => {
      await lockForDdl(transaction, schemaName);
      return migrateTenantTables(transaction, target);
    });
  };
  try {
    await buildNewIndexes(source, target, tenantTables, await isolatedTablesVersion(source, schemaName));
    return requireKnown(await claimed(source, attempt, migrate, { seconds: SECONDS }));
  } catch (error) {
    if (sqlStateOf(error) !== '55P03' && !(error instanceof IndexesInProgress)) throw error;
    throw new WritersBusy('a table of the tenant was in use for too long', { cause: error });
  }
}

/** Before the commit point, a hop that a newer release began is not for this one to go on with. @throws {TablesNewer} */
export function requireKnownTables({ target }: Hop): void {
  if (target.schemaVersion !== undefined) requireKnown(target.schemaVersion);
}

function requireKnown(version: number): number {
  if (version > TENANT_SCHEMA_VERSION) throw new TablesNewer(version, TENANT_SCHEMA_VERSION);
  return version;
}

const isOfSharedTables = ({ source, target, kind }: Hop) =>
  source.isolationModel === 'shared' || (kind === 'reshape' && target.isolationModel === 'shared');
