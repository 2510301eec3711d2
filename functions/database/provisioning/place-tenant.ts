import type pg from 'pg';
import type { IsolationModel } from '../../contracts/tenant.ts';
import { PlacementConflict } from '../errors.ts';
import { endForeignSessions } from './end-foreign-sessions.ts';

export interface TenantPlacement {
  readonly tenantId: string;
  /** 1 for a new tenant; grows with every move. */
  readonly epoch: number;
  readonly isolationModel: IsolationModel;
  readonly schemaName: string;
  readonly roleName: string;
}

/**
 * Records a tenant's placement, so that the tenant may be entered here. Repeating it changes nothing; a tenant that had
 * moved away gets a newer epoch. `owner` is a connection as the owner role.
 * @throws {PlacementConflict} it has another placement, a newer epoch, or is still active under an older one.
 */
export async function placeTenant(owner: pg.ClientBase, placement: TenantPlacement): Promise<void> {
  const { tenantId, epoch, isolationModel, schemaName, roleName } = placement;
  const values = [tenantId, epoch, isolationModel, schemaName, roleName];
  await owner.query(
    `insert into tenancy.placement as p (tenant_id, epoch, isolation_model, schema_name, role_name)
     values ($1, $2, $3, $4, $5)
     on conflict (tenant_id) do update
       set epoch = excluded.epoch, state = 'active', capture = false, isolation_model = excluded.isolation_model,
           schema_name = excluded.schema_name, role_name = excluded.role_name,
           fence_token = null, fence_expires_at = null, forward = null, previous_role_name = null
       where p.state = 'moved' and p.epoch < excluded.epoch`,
    values,
  );
  // A separate statement, so that it sees what a concurrent call has committed.
  const { rows } = await owner.query(
    `select from tenancy.placement where state <> 'moved' and tenant_id = $1 and epoch = $2
       and isolation_model = $3 and schema_name = $4 and role_name = $5`,
    values,
  );
  if (rows.length === 0) throw new PlacementConflict('the tenant is placed differently already');
}

/** Removes a placement that never served (a failed onboarding) or serves no longer (an offboarded tenant). */
export async function removePlacement(
  owner: pg.ClientBase,
  { tenantId, epoch }: Pick<TenantPlacement, 'tenantId' | 'epoch'>,
): Promise<void> {
  await endForeignSessions(owner, tenantId);
  // Waits for open write transactions; later ones are refused (TN004).
  await owner.query(
    `with lock as materialized (select pg_catalog.pg_advisory_xact_lock(tenancy.lock_key($1)))
     delete from tenancy.placement using lock where tenant_id = $1 and epoch = $2`,
    [tenantId, epoch],
  );
}
