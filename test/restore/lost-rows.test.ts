/** A tenant whose rows are lost is restored whole: what it did before the loss is in its audit log again, too. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { sampled } from '../full-run.ts';
import { RestoreWorld } from './restore-world.ts';
import { damage, setRows } from './tenant-rows.ts';

let world: RestoreWorld;
beforeAll(async () => {
  world = await RestoreWorld.start();
});
afterAll(() => world?.stop());

test.each(sampled(['shared'] as const, ['shared', 'schema', 'dedicated'] as const))(
  'a tenant of the %s model has all its rows again, its audit log among them, and is served again',
  async (model) => {
    const tenant = await world.addTenant(model);
    const { tenantId } = tenant;
    await world.addRows(tenantId, 60);
    // With an entry in the audit log.
    await damage(world, tenant, [{ table: 'employees', kind: 'update', part: 1 }]);
    const { backupId } = await world.backUp(tenant);
    const original = await world.rows(tenantId);
    // As its onboarding leaves it.
    await setRows(world, tenantId, {});
    await world.registry.query(
      `UPDATE tenants SET status = 'suspended', status_reason = 'lost',
              lost = jsonb_build_object('epoch', 1, 'status', 'active', 'backupId', cast(:backupId as text))
       WHERE tenant_id = :tenantId::uuid`,
      { tenantId, backupId },
    );

    const asked = await world.replace(tenantId, { backupId });

    expect(await world.view(asked)).toMatchObject({ status: 'succeeded', discarded: { writes: 0 } });
    expect(await world.rows(tenantId)).toEqual(original);
    expect(original.audit_log).not.toHaveLength(0);
    const rows = await world.registry.query(
      'SELECT status, status_reason AS reason, lost FROM tenants WHERE tenant_id = :tenantId::uuid',
      { tenantId },
    );
    expect(rows).toEqual([{ status: 'active', reason: null, lost: null }]);
  },
);
