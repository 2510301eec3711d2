/**
 * The placement of a tenant in the database to which it is relocated.
 *
 *   none or moved ──placeAtTarget──▶ active, capturing ──endTargetCapture──▶ active
 *                                            └──removeTargetPlacement──▶ none or moved, as before
 *
 * Invariants: it is placed under the next epoch, which no request knows before the commit at the source; it captures from
 * the first moment, so that rows that were written here can be distinguished from rows that were copied. It is removed only
 * after the attempt's claim was revoked at the source: from then on the hop cannot be committed.
 */
import type pg from 'pg';
import { PlacementConflict } from '../errors.ts';
import type { TenantPlacement } from '../provisioning/place-tenant.ts';

/**
 * Part of the caller's transaction. May be repeated.
 * @throws {PlacementConflict} the tenant is placed differently there.
 */
export async function placeAtTarget(target: pg.ClientBase, placement: TenantPlacement): Promise<void> {
  const { tenantId, epoch, isolationModel, schemaName, roleName } = placement;
  const values = [tenantId, epoch, isolationModel, schemaName, roleName];
  await target.query(
    `insert into tenancy.placement as p (tenant_id, epoch, isolation_model, schema_name, role_name, capture)
     values ($1, $2, $3, $4, $5, true)
     on conflict (tenant_id) do update
       set epoch = excluded.epoch, state = 'active', capture = true, isolation_model = excluded.isolation_model,
           schema_name = excluded.schema_name, role_name = excluded.role_name, former = pg_catalog.to_jsonb(p),
           fence_token = null, fence_expires_at = null, forward = null, previous_role_name = null, mover = null
       where p.state = 'moved' and p.epoch < excluded.epoch`,
    values,
  );
  const { rowCount } = await target.query(
    `select from tenancy.placement where state = 'active' and capture and tenant_id = $1 and epoch = $2
       and isolation_model = $3 and schema_name = $4 and role_name = $5`,
    values,
  );
  if (rowCount === 0) throw new PlacementConflict('the tenant is placed differently already');
}

/** Restores the placement that was here before. Part of a transaction that holds the attempts' lock exclusively. */
export async function removeTargetPlacement(
  target: pg.ClientBase,
  { tenantId, epoch, schemaName }: Pick<TenantPlacement, 'tenantId' | 'epoch' | 'schemaName'>,
): Promise<void> {
  const values = [tenantId, epoch, schemaName];
  const restored = await target.query(
    `update tenancy.placement p
     set (epoch, state, capture, isolation_model, schema_name, role_name, forward, previous_role_name, former)
       = (select f.epoch, f.state, f.capture, f.isolation_model, f.schema_name, f.role_name, f.forward,
                 f.previous_role_name, null::jsonb
          from pg_catalog.jsonb_populate_record(null::tenancy.placement, p.former) f)
     where tenant_id = $1 and epoch = $2 and schema_name = $3 and former is not null`,
    values,
  );
  const removed = await target.query(
    'delete from tenancy.placement where tenant_id = $1 and epoch = $2 and schema_name = $3',
    values,
  );
  if (restored.rowCount === 0 && removed.rowCount === 0) return;
  await target.query('delete from tenancy.captured_changes where tenant_id = $1', [tenantId]);
}

/** Ends the capture. Part of a transaction of `withoutWriters`: writers that still note changes have ended by then. */
export async function endTargetCapture(
  target: pg.ClientBase,
  { tenantId, epoch, schemaName }: Pick<TenantPlacement, 'tenantId' | 'epoch' | 'schemaName'>,
): Promise<void> {
  await target.query(
    `update tenancy.placement set capture = false, former = null
     where tenant_id = $1 and epoch = $2 and schema_name = $3 and state <> 'moved'`,
    [tenantId, epoch, schemaName],
  );
}

/**
 * Places the canary of an attempt: a tenant that does not exist, under the attempt's id, in the schema where the real one
 * will be. With it, the path of a request can be verified while no request can enter as the tenant.
 */
export async function placeCanary(
  target: pg.ClientBase,
  attemptId: string,
  { epoch, isolationModel, schemaName, roleName }: Omit<TenantPlacement, 'tenantId'>,
): Promise<void> {
  await target.query(
    `insert into tenancy.placement (tenant_id, epoch, isolation_model, schema_name, role_name, capture)
     values ($1, $2, $3, $4, $5, true) on conflict (tenant_id) do nothing`,
    [attemptId, epoch, isolationModel, schemaName, roleName],
  );
}

export async function removeCanary(target: pg.ClientBase, attemptId: string): Promise<void> {
  await target.query('delete from tenancy.placement where tenant_id = $1', [attemptId]);
}
