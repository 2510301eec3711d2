import { beforeAll, describe, expect, test, vi } from 'vitest';
import { sampled } from '../full-run.ts';
import { addCountedSkill, COUNTED, summaryOf } from './counted-skill.ts';
import { MovingTenant } from './moving-tenant.ts';
import { askRestore, backUp, restore, rowsOf, undo } from './restore-runs.ts';
import { call, newEmployee, operatorToken, userToken } from './running-platform.ts';

let token: string;
beforeAll(async () => {
  token = await operatorToken();
});

/** A tenant with two employees. */
async function withEmployees(tier: string) {
  const tenant = await MovingTenant.create({ tier });
  const user = await userToken(tenant.slug);
  const hire = async () => {
    const { status, body } = await call('POST', '/employees', { token: user, body: newEmployee() });
    expect(status).toBe(201);
    return String(body.employeeId);
  };
  const [kept, removed] = [await hire(), await hire()];
  const read = async (id: string) => (await call('GET', `/employees/${id}`, { token: user })).status;
  const remove = async (id: string) => (await call('DELETE', `/employees/${id}`, { token: user })).status;
  return { tenant, user, kept, removed, hire, read, remove };
}

const TIERS = [
  ['starter', 'shared'],
  ['business', 'schema'],
  ['enterprise', 'dedicated'],
] as const;

/**
 * Reads of a cached row all the while, and no other request: containers have looked the tenant up at most two seconds ago, and
 * only the cache can tell them that the value is not current any more.
 */
async function whileReading<Result>(read: () => Promise<unknown>, work: () => Promise<Result>) {
  let isOver = false;
  const result = work().finally(() => {
    isOver = true;
  });
  const reading = vi.waitUntil(async () => (await read()) && isOver, { timeout: 90_000, interval: 100 });
  const [value] = await Promise.all([result, reading]);
  return value;
}

// test/restore has every pair of models, without a platform; restores-under-load.test.ts restores a Starter tenant.
describe.each(sampled(TIERS.slice(1, 2), [...TIERS]))('a tenant of tier %s', (tier, model) => {
  test('gets its rows back from a backup, and what was replaced back by an undo', async () => {
    const { tenant, user, kept, removed, hire, read, remove } = await withEmployees(tier);
    const skillId = await addCountedSkill(user);
    const before = await rowsOf(tenant.tenantId);
    const backup = await backUp(tenant.slug);
    expect(await remove(removed)).toBe(204);
    const later = await hire();
    const damaged = await rowsOf(tenant.tenantId);

    const restored = await whileReading(
      () => read(later),
      () => restore(tenant.slug, { backupId: backup.backupId, mode: 'replace' }),
    );

    expect([await read(later), await read(kept), await read(removed)]).toEqual([404, 200, 200]);
    expect(restored).toMatchObject({
      reason: null,
      status: 'succeeded',
      mode: 'replace',
      backupId: backup.backupId,
    });
    expect(await rowsOf(tenant.tenantId)).toEqual(before);
    expect(await tenant.tenant()).toMatchObject({ tier, isolationModel: model, status: 'active' });
    expect(restored.discarded).toMatchObject({
      writes: 2,
      latest: [{ action: 'employee.create' }, { action: 'employee.delete' }],
    });
    expect(restored.canBeUndone).toBe(true);
    // The summary is in no backup; it is computed from the restored rows.
    expect((await summaryOf(user, skillId)).items).toMatchObject(COUNTED);

    const lost = await hire();
    const undone = await whileReading(
      () => read(removed),
      () => undo(tenant.slug, restored.restoreId),
    );

    expect([await read(removed), await read(later), await read(lost)]).toEqual([404, 200, 404]);
    expect(undone).toMatchObject({
      reason: null,
      status: 'succeeded',
      mode: 'undo',
      undoes: restored.restoreId,
    });
    expect(await rowsOf(tenant.tenantId)).toEqual(damaged);
    expect(undone.discarded).toMatchObject({
      writes: 1,
      latest: [{ action: 'employee.create', resourceId: lost }],
    });
    const moves = await call('GET', `/tenants/${tenant.slug}/moves`, { token });
    expect(moves.body.items).toEqual([]);
    const restores = await call('GET', `/tenants/${tenant.slug}/restores`, { token });
    expect(restores.body.items.map(({ mode }: { mode: string }) => mode)).toEqual(['replace', 'undo']);
  });
});

describe('a restore to a point in time', () => {
  test('is refused with the window outside of it, which a restore in place does not change and a move does', async () => {
    const tenant = await MovingTenant.create({ tier: 'business' });
    const windowOf = async () =>
      (await call('GET', `/tenants/${tenant.slug}/backups`, { token })).body.window as {
        from: string;
        to: string;
      };
    const { from, to } = await windowOf();
    const early = new Date(Date.parse(from) - 1_000).toISOString();
    const late = new Date(Date.parse(to) + 3_600_000).toISOString();
    for (const at of [early, late]) {
      const { status, body } = await askRestore(tenant.slug, { at });
      expect(status).toBe(400);
      expect(body).toMatchObject({ type: 'urn:strata:problem:time-outside-window', window: { from } });
    }
    const { backupId } = await backUp(tenant.slug);
    expect(await restore(tenant.slug, { backupId })).toMatchObject({ status: 'succeeded' });
    expect((await windowOf()).from).toBe(from);
    expect(await tenant.move({ targetTier: 'enterprise' })).toMatchObject({
      status: 'succeeded',
      reason: null,
    });
    expect(Date.parse((await windowOf()).from)).toBeGreaterThan(Date.parse(from));
  });

  test('is refused for a Starter tenant, and unless it names either a backup or a time', async () => {
    const tenant = await MovingTenant.create({ tier: 'starter' });
    const at = new Date().toISOString();
    expect(await askRestore(tenant.slug, { at })).toMatchObject({
      status: 409,
      body: { detail: 'Tenants of tier starter have daily backups only: give a backupId.' },
    });
    const backupId = '00000000-0000-4000-8000-000000000000';
    for (const body of [{}, { at, backupId }, { at: 'yesterday' }])
      expect(await askRestore(tenant.slug, body)).toMatchObject({ status: 400 });
  });

  test('fails by name where the cluster cannot be restored, and leaves the tenant as it was', async () => {
    const tenant = await MovingTenant.create({ tier: 'business' });
    const { body } = await call('GET', `/tenants/${tenant.slug}/backups`, { token });
    expect(await restore(tenant.slug, { at: body.window.to })).toMatchObject({
      status: 'failed',
      backupId: null,
      reason: expect.stringMatching(/^The database cannot be restored to that time\./),
    });
    expect(await tenant.tenant()).toMatchObject({ status: 'active', tier: 'business' });
  });
});
