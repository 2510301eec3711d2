/**
 * Transactions of the owner that enter one tenant while no move works on it, as the sealing of audit entries needs them.
 */
import type pg from 'pg';
import { qualified } from '../database/ddl/identifier.ts';
import { auditSeals } from '../database/tables/operations-tables.ts';
import { exclusively, inTransaction } from '../database/transfer/claim.ts';
import { AttemptBusy } from '../database/transfer/errors.ts';
import { type PlacementRow, readPlacement } from '../database/transfer/fence.ts';

/**
 * Why a tenant is left alone. `moving`: a move has it, or its writes are paused. `elsewhere`: it is not in this database.
 * `lagging`: its tables are older than seals.
 */
export type LeftAlone = 'moving' | 'elsewhere' | 'lagging';

/** Nothing was done with the tenant. The next run looks again. */
export class TenantLeftAlone extends Error {
  override readonly name = 'TenantLeftAlone';
  readonly reason: LeftAlone;
  constructor(reason: LeftAlone, options?: ErrorOptions) {
    super(`the tenant was left alone: ${reason}`, options);
    this.reason = reason;
  }
}

/** Of one transaction. A function that is frozen in it must not keep a move waiting. */
const SECONDS = 30;

/**
 * Runs `work` in a transaction that has entered the tenant and may write. The transaction holds the tenant's attempts'
 * lock exclusively, so no attempt works on the tenant or claims it meanwhile. Requests do not use that lock.
 * @throws {TenantLeftAlone} and the driver's errors, and what `work` throws.
 */
export async function inUnmovedTenant<Result>(
  owner: pg.ClientBase,
  tenantId: string,
  work: (place: PlacementRow) => Promise<Result>,
): Promise<Result> {
  // Checked before the lock too, so that a running move does not have to wait for this session.
  await requireUnmoved(owner, tenantId);
  try {
    return await exclusively(owner, { tenantId }, () => entered(owner, tenantId, work), { seconds: SECONDS });
  } catch (error) {
    if (error instanceof AttemptBusy) throw new TenantLeftAlone('moving', { cause: error });
    throw error;
  }
}

/**
 * Runs `work` in a transaction that has entered the tenant and only reads, in one snapshot and without locks.
 * @throws {TenantLeftAlone} and the driver's errors, and what `work` throws.
 */
export function readTenant<Result>(
  owner: pg.ClientBase,
  tenantId: string,
  work: (place: PlacementRow) => Promise<Result>,
): Promise<Result> {
  return inTransaction(owner, 'repeatable read', SECONDS, () => entered(owner, tenantId, work));
}

async function entered<Result>(
  owner: pg.ClientBase,
  tenantId: string,
  work: (place: PlacementRow) => Promise<Result>,
): Promise<Result> {
  const place = await requireUnmoved(owner, tenantId);
  await owner.query('select tenancy.enter_move($1, null)', [tenantId]);
  return work(place);
}

/** @throws {TenantLeftAlone} */
async function requireUnmoved(owner: pg.ClientBase, tenantId: string): Promise<PlacementRow> {
  const place = await readPlacement(owner, tenantId);
  if (!place || place.state === 'moved') throw new TenantLeftAlone('elsewhere');
  if (place.mover !== null || place.state === 'fenced') throw new TenantLeftAlone('moving');
  const { rows } = await owner.query<{ has: boolean }>(
    'select pg_catalog.to_regclass($1) is not null as has',
    [qualified(place.schema_name, auditSeals.name)],
  );
  if (!rows[0]?.has) throw new TenantLeftAlone('lagging');
  return place;
}
