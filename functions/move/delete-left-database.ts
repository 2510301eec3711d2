/**
 * The deletion of a dedicated database that its tenant has left, after the clean-up in it.
 *
 *   cleaned up ──the tenant neither lives there nor moves there──▶ decided ──▶ deleted (hop `cleaned`)
 *              ──the tenant lives there, or has since left it again──▶ kept (hop `cleaned`)
 *              ──a move towards it is under way, or its outcome needs a person──▶ looked at again later
 *
 * Invariants: `deletion` is written to the hop under the lock of the tenant's row, under which moves are recorded and
 * tenants are announced from other regions. A move that was recorded before is seen, and the database is kept for it;
 * the launch of one that is recorded later sees `deletion` and waits until the stack is gone. So a tenant never gets a
 * stack that is being deleted. Every step may be cut off and run again, or twice at once.
 */
import { setTimeout as delay } from 'node:timers/promises';
import {
  type DedicatedDatabase,
  deleteDedicatedDatabase,
  findDedicatedDatabase,
} from '../provisioning/delete-dedicated-database.ts';
import { recordAudit } from '../registry/audit-log.ts';
import type { DataApi, RegistryExecutor } from '../registry/data-api.ts';
import { HopNotCommitted, MoveOvertaken } from './errors.ts';
import { type HopRecord, hopsOf, setHopState } from './move-records.ts';
import { boundTransaction, findMovingTenant } from './moving-tenant.ts';

/** `result.deletion` of a hop, once it is decided. */
interface Deletion extends DedicatedDatabase {
  readonly stackName: string;
  /** Name of the final snapshot. */
  readonly snapshot: string;
}

/** What the report of a move tells of a database that was deleted. */
export interface DeletedDatabase {
  readonly stackName: string;
  readonly cluster: string;
  /** null where the cluster had been deleted by hand before. */
  readonly snapshot: string | null;
  /** RFC 3339. */
  readonly deletedAt: string;
}

type Registry = Pick<DataApi, 'query' | 'transaction'>;

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 5_000;

/**
 * Deletes the dedicated database that a settled and cleaned up hop took the tenant away from, unless the tenant uses it
 * again. Called until it is done, which takes a quarter of an hour.
 * @param deadline on `performance.now()`'s clock.
 * @throws {HopNotCommitted} the hop is not settled, or not cleaned up.
 * @throws {FinalSnapshotFailed} nothing was deleted. And the errors of AWS and the registry.
 */
export async function deleteLeftDatabase(
  registry: Registry,
  { moveId, hopIndex, executionArn }: { moveId: string; hopIndex: number; executionArn: string },
  deadline: number,
): Promise<{ done: boolean }> {
  for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(pause * 1.5, LONGEST_PAUSE_MS)) {
    const hop = (await hopsOf(registry, moveId)).find(({ index }) => index === hopIndex);
    if (!hop) throw new MoveOvertaken();
    if (await isDone(registry, hop, executionArn)) return { done: true };
    if (performance.now() + pause > deadline) return { done: false };
    await delay(pause);
  }
}

async function isDone(registry: Registry, hop: HopRecord, executionArn: string): Promise<boolean> {
  if (hop.state === 'cleaned') return true;
  if (hop.state !== 'settled' || !hop.result.cleanedAt) throw new HopNotCommitted();
  const { tenantId } = hop.attempt;
  const deletion =
    (hop.result.deletion as Deletion | undefined) ?? (await decide(registry, hop, executionArn));
  if (deletion === 'later') return false;
  if (deletion === 'kept') {
    await setHopState(registry, hop, ['settled'], 'cleaned');
    return true;
  }
  const { done, snapshot } = await deleteDedicatedDatabase(deletion, {
    name: deletion.snapshot,
    tags: { 'strata:tenant-id': tenantId, 'strata:component': 'dedicated-database' },
  });
  if (done) await recordDeletion(registry, hop, { deletion, snapshot, executionArn });
  return done;
}

/** The decision, durable before anything is deleted. */
async function decide(
  registry: Registry,
  hop: HopRecord,
  executionArn: string,
): Promise<Deletion | 'kept' | 'later'> {
  const { stackName, region, epoch } = hop.source;
  const { tenantId } = hop.attempt;
  const database = stackName === null ? undefined : await findDedicatedDatabase(stackName);
  if (stackName === null || !database) return 'kept';
  const deletion: Deletion = { ...database, stackName, snapshot: `${stackName}-e${epoch}` };
  return registry.transaction(async (transaction) => {
    await boundTransaction(transaction);
    await findMovingTenant(transaction, tenantId, { lock: true });
    const uses = await usesOf(transaction, { tenantId, stackName, region, epoch });
    if (uses.lives_there || uses.later_stay) return 'kept';
    if (uses.moves_there) return 'later';
    const [decided] = await transaction.query<{ deletion: string }>(
      `UPDATE tenant_move_hops SET updated_at = now(),
              result = CASE WHEN result -> 'deletion' IS NULL
                            THEN result || jsonb_build_object('deletion', :deletion::jsonb) ELSE result END
       WHERE move_id = :moveId::uuid AND hop_index = :index::int AND state = 'settled'
       RETURNING (result -> 'deletion')::text AS deletion`,
      { moveId: hop.moveId, index: hop.index, deletion: JSON.stringify(deletion) },
    );
    if (!decided) return 'kept';
    await recordAudit(transaction, {
      ...{ actor: { id: executionArn, type: 'workflow' }, action: 'database.delete', tenantId },
      ...{ resource: { type: 'move', id: hop.moveId }, data: { stackName, cluster: deletion.cluster } },
    });
    return JSON.parse(decided.deletion) as Deletion;
  });
}

interface Uses {
  /** The tenant's routing row points there. */
  readonly lives_there: boolean;
  /** It has come back since, and left again: the clean-up of that later stay deletes the database. */
  readonly later_stay: boolean;
  /** A move towards it is under way, or has left both sides for a person to look at. */
  readonly moves_there: boolean;
}

async function usesOf(
  transaction: RegistryExecutor,
  place: { tenantId: string; stackName: string; region: string; epoch: number },
): Promise<Uses> {
  const [uses] = await transaction.query<Uses & Record<string, unknown>>(
    `SELECT EXISTS (SELECT FROM tenant_database_routing r
                    WHERE r.tenant_id = :tenantId::uuid AND r.stack_name = :stackName AND r.region = :region
                      AND EXISTS (SELECT FROM tenants t
                                  WHERE t.tenant_id = r.tenant_id AND t.status NOT IN ('arriving', 'elsewhere'))) AS lives_there,
            EXISTS (SELECT FROM tenant_move_hops h
                    WHERE h.tenant_id = :tenantId::uuid AND h.state IN ('settled', 'cleaned')
                      AND h.source ->> 'stackName' = :stackName AND h.source ->> 'region' = :region
                      AND (h.source ->> 'epoch')::bigint > :epoch::bigint) AS later_stay,
            EXISTS (SELECT FROM tenants t WHERE t.tenant_id = :tenantId::uuid AND t.status = 'arriving')
            OR EXISTS (SELECT FROM tenant_moves m, jsonb_array_elements(m.plan) AS each (hop)
                       WHERE m.tenant_id = :tenantId::uuid AND m.status = 'running'
                         AND hop -> 'to' ->> 'isolationModel' = 'dedicated' AND hop -> 'to' ->> 'region' = :region)
            OR EXISTS (SELECT FROM tenant_move_hops h
                       WHERE h.tenant_id = :tenantId::uuid
                         AND h.state IN ('working', 'committed', 'rolling-back', 'mismatch')
                         AND (h.target ->> 'stackName' = :stackName AND h.target ->> 'region' = :region
                              OR h.source ->> 'stackName' = :stackName AND h.source ->> 'region' = :region)) AS moves_there`,
    place,
  );
  return uses!;
}

/**
 * Whether the tenant's dedicated database in a region is being deleted: a launch has to wait for its end.
 * @param registry the region's.
 */
export async function isBeingDeleted(
  registry: RegistryExecutor,
  tenantId: string,
  region: string,
): Promise<boolean> {
  const [found] = await registry.query(
    `SELECT 1 AS deleting FROM tenant_move_hops
     WHERE tenant_id = :tenantId::uuid AND state = 'settled' AND result -> 'deletion' IS NOT NULL
       AND source ->> 'region' = :region
     LIMIT 1`,
    { tenantId, region },
  );
  return found !== undefined;
}

/** With the hop, and in the report of its move, which may have ended before or may end later. */
function recordDeletion(
  registry: Registry,
  { moveId, index, attempt: { tenantId } }: HopRecord,
  { deletion, snapshot, executionArn }: { deletion: Deletion; snapshot: string | null; executionArn: string },
): Promise<void> {
  const { stackName, cluster } = deletion;
  const deleted: DeletedDatabase = { stackName, cluster, snapshot, deletedAt: new Date().toISOString() };
  return registry.transaction(async (transaction) => {
    await boundTransaction(transaction);
    // The tenant first, as the end of its move does: of report and hop, one sees the other.
    await findMovingTenant(transaction, tenantId, { lock: true });
    const changed = await transaction.query(
      `UPDATE tenant_move_hops SET state = 'cleaned', updated_at = now(),
              result = result || jsonb_build_object('deletedDatabase', :deleted::jsonb)
       WHERE move_id = :moveId::uuid AND hop_index = :index::int AND state = 'settled' RETURNING move_id`,
      { moveId, index, deleted: JSON.stringify(deleted) },
    );
    if (changed.length === 0) return;
    await transaction.query(
      `UPDATE tenant_moves SET updated_at = now(),
              report = report || jsonb_build_object('deletedDatabase', :deleted::jsonb)
       WHERE move_id = :moveId::uuid`,
      { moveId, deleted: JSON.stringify(deleted) },
    );
    await recordAudit(transaction, {
      ...{ actor: { id: executionArn, type: 'workflow' }, action: 'database.deleted', tenantId },
      ...{ resource: { type: 'move', id: moveId }, data: { ...deleted } },
    });
  });
}
