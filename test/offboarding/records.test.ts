import { randomUUID } from 'node:crypto';
import { describe, expect, test, vi } from 'vitest';
import type { AlertChanges } from '../../functions/alerts/plan-changes.ts';
import { recordChanges } from '../../functions/alerts/record-alerts.ts';
import { followQueries } from '../../functions/alerts/slow-queries.ts';
import type { DatabaseObservation } from '../../functions/alerts/survey-database.ts';
import { THRESHOLDS } from '../../functions/alerts/thresholds.ts';
import { cancelOffboarding } from '../../functions/offboarding/cancel-offboarding.ts';
import { eraseRegistry } from '../../functions/offboarding/certify.ts';
import { countAccountRequests, eraseAccountRequests } from '../../functions/offboarding/erase-accounts.ts';
import {
  ErasureIncomplete,
  FinalExportFailed,
  InvalidOffboardingInput,
  OffboardingInProgress,
  OffboardingNotCancellable,
  OffboardingNotStarted,
  OffboardingOvertaken,
  TenantBusy,
  TenantHeld,
  TenantNotOffboardable,
} from '../../functions/offboarding/errors.ts';
import {
  beginErasure,
  beginGrace,
  beginOffboarding,
  exportFinally,
  failOffboarding,
} from '../../functions/offboarding/offboarding-phases.ts';
import { findOffboarding, keepFound, mergeFact } from '../../functions/offboarding/offboarding-records.ts';
import { recoverOffboardings } from '../../functions/offboarding/recover-offboardings.ts';
import { requestOffboarding } from '../../functions/offboarding/request-offboarding.ts';
import { tenantRoleName } from '../../functions/placement/tenant-names.ts';
import { requestAccount } from '../../functions/registry/account-requests.ts';
import type { ControlIdempotencyUse } from '../../functions/registry/control-idempotency.ts';
import { countExports, type ExportView } from '../../functions/registry/exports.ts';
import { createUser, deleteUser, updateUser } from '../../functions/registry/tenant-users.ts';
import { updateTenant } from '../../functions/registry/tenants.ts';
import { ResourceConflict } from '../../functions/resources/errors.ts';
import { AlertRuns, overdueAtOnce } from '../alerts/alert-runs.ts';
import { ownRegistry } from '../own-registry.ts';
import type { RegistryOverPostgres } from '../registry-over-postgres.ts';
import type { TestDatabase } from '../test-database.ts';

const ACTOR = { id: 'operator@strata.test', type: 'operator' } as const;
const MACHINE = 'arn:aws:states:us-east-1:1:stateMachine:tenant-offboarding';

let database: TestDatabase;
let registry: RegistryOverPostgres;
let master: RegistryOverPostgres;
ownRegistry(async (own) => {
  database = own;
  registry = await database.registry();
  master = await database.registry('master');
});

async function addTenant(status = 'active', cloneOf: string | null = null): Promise<string> {
  const tenantId = randomUUID();
  const slug = `t-${tenantId.slice(0, 13)}`;
  await registry.query(
    `INSERT INTO tenants (tenant_id, tenant_name, tenant_slug, isolation_model, subscription_tier, status, home_region,
                          data_residency, admin_email, clone_of)
     VALUES (:tenantId::uuid, :slug, :slug, 'shared', 'starter', :status, 'us', 'us', :email, :cloneOf::uuid)`,
    { tenantId, slug, status, email: `admin@${slug}.test`, cloneOf },
  );
  await registry.query(
    `INSERT INTO tenant_users (tenant_id, email, role) VALUES (:tenantId::uuid, :email, 'admin')`,
    { tenantId, email: `admin@${slug}.test` },
  );
  return tenantId;
}

const started: { name: string; input: object }[] = [];
const request = (
  tenantId: string,
  start = async (name: string, input: object) => void started.push({ name, input }),
) =>
  requestOffboarding(registry, tenantId, {
    actor: ACTOR,
    cause: 'request',
    executionArnOf: (name) => `${MACHINE.replace('stateMachine', 'execution')}:${name}`,
    start,
  });
const failure = (reason: string, error = 'OffboardingStepFailed') => ({ error, reason });
/** Sets a legal hold, or releases it. */
const hold = (tenantId: string, legalHold: string | null) =>
  updateTenant(registry, tenantId, { legalHold }, { actor: ACTOR.id, ifMatch: undefined });
const statusOf = async (tenantId: string) => {
  const [row] = await registry.query<{ status: string }>(
    'SELECT status FROM tenants WHERE tenant_id = :tenantId::uuid',
    { tenantId },
  );
  return row?.status;
};

describe('a request', () => {
  test('suspends the tenant and starts an execution of its own; a second one is refused', async () => {
    const tenantId = await addTenant();
    const offboardingId = await request(tenantId);
    expect(await statusOf(tenantId)).toBe('offboarding');
    expect(started.at(-1)).toEqual({
      name: `offboarding-${offboardingId}`,
      input: { tenantId, offboardingId },
    });
    await expect(request(tenantId)).rejects.toThrow(OffboardingInProgress);
  });

  test('whose execution does not start leaves the tenant as it was', async () => {
    const tenantId = await addTenant('suspended');
    await expect(request(tenantId, () => Promise.reject(new Error('throttled')))).rejects.toThrow(
      OffboardingNotStarted,
    );
    expect(await statusOf(tenantId)).toBe('suspended');
    expect(typeof (await request(tenantId))).toBe('string');
  });

  test.each(['provisioning', 'offboarded'])('for a tenant that is %s is refused', async (status) => {
    const tenantId = await addTenant(status);
    await expect(request(tenantId)).rejects.toThrow(TenantNotOffboardable);
    expect(await statusOf(tenantId)).toBe(status);
  });

  const WORK: Readonly<Record<string, string>> = {
    'A move of the tenant': `INSERT INTO tenant_moves (tenant_id, input, plan, started_by)
      VALUES (:tenantId::uuid, '{}', '[]', 'x')`,
    'A restore of the tenant': `INSERT INTO tenant_moves (tenant_id, input, plan, started_by, restore)
      VALUES (:tenantId::uuid, '{}', '[]', 'x', '{"mode": "replace"}')`,
    'A backup of the tenant': `INSERT INTO tenant_backups (tenant_id, region, tier, isolation_model, epoch,
        schema_version, prefix, started_by, expires_at)
      VALUES (:tenantId::uuid, 'us', 'starter', 'shared', 1, 6, 'x/', 'x', now() + interval '1 day')`,
    'An export of the tenant': `INSERT INTO tenant_exports (tenant_id, region, prefix, started_by, expires_at)
      VALUES (:tenantId::uuid, 'us', 'x/', 'x', now() + interval '1 day')`,
    'A key rotation of the tenant': `INSERT INTO field_rotations (tenant_id, region, cause, epoch, stale_before, started_by)
      VALUES (:tenantId::uuid, 'us', 'request', 1, now(), 'x')`,
    'A credential rotation of the tenant': `INSERT INTO credential_rotations (kind, subject, tenant_id, region,
        role_name, secret, started_by)
      VALUES ('tenant', 'tenant ' || :tenantId, :tenantId::uuid, 'us', 'x', 'x', 'x')`,
    'A schema rollout of the tenant': `WITH begun AS (
        INSERT INTO schema_rollouts (schema_version, tenancy_version, started_by)
        SELECT 7, 2, 'x' WHERE NOT EXISTS (SELECT FROM schema_rollouts WHERE status = 'running') RETURNING rollout_id)
      INSERT INTO schema_rollout_targets (rollout_id, target, isolation_model, tenant_id)
      SELECT rollout_id, 'tenant ' || :tenantId, 'schema', :tenantId::uuid
      FROM (SELECT rollout_id FROM begun UNION ALL SELECT rollout_id FROM schema_rollouts WHERE status = 'running') r`,
  };
  test.each(Object.entries(WORK))(
    'while %s runs is refused, and so is the erasure',
    async (what, statement) => {
      const [before, later] = [await addTenant(), await addTenant()];
      const offboardingId = await request(later);
      for (const tenantId of [before, later]) await registry.query(statement, { tenantId });
      await expect(request(before)).rejects.toThrow(`${what} is running.`);
      expect(await statusOf(before)).toBe('active');
      await expect(beginErasure(registry, offboardingId, ACTOR)).rejects.toThrow(TenantBusy);
      expect((await findOffboarding(registry, offboardingId))?.erasingSince).toBeNull();
      await master.query(
        `UPDATE schema_rollouts SET status = 'succeeded', finished_at = now() WHERE status = 'running'`,
      );
    },
  );

  test('while a rotation runs that began by itself is accepted: its worker leaves the tenant alone', async () => {
    const tenantId = await addTenant();
    await registry.query(
      `INSERT INTO field_rotations (tenant_id, region, cause, epoch, stale_before, started_by)
       VALUES (:tenantId::uuid, 'us', 'key', 1, now(), 'field-rotation')`,
      { tenantId },
    );
    await beginErasure(registry, await request(tenantId), ACTOR);
    expect(await statusOf(tenantId)).toBe('offboarded');
  });

  test('for a tenant with a clone is refused until the clone is offboarded', async () => {
    const tenantId = await addTenant();
    const clone = await addTenant('active', tenantId);
    await expect(request(tenantId)).rejects.toThrow(/has the clone "t-/);
    await registry.query(`UPDATE tenants SET status = 'offboarded' WHERE tenant_id = :clone::uuid`, {
      clone,
    });
    expect(typeof (await request(tenantId))).toBe('string');
  });
});

describe('an offboarding', () => {
  test('is cancelled, or its erasure begins: whichever comes first', async () => {
    const [cancelled, erased] = [await addTenant('suspended'), await addTenant()];
    const [one, two] = [await request(cancelled), await request(erased)];
    await cancelOffboarding(registry, cancelled, ACTOR);
    expect(await statusOf(cancelled)).toBe('suspended');
    await expect(cancelOffboarding(registry, cancelled, ACTOR)).rejects.toThrow(OffboardingNotCancellable);
    await expect(beginErasure(registry, one, ACTOR)).rejects.toThrow(OffboardingOvertaken);
    await beginErasure(registry, two, ACTOR);
    await beginErasure(registry, two, ACTOR);
    expect(await statusOf(erased)).toBe('offboarded');
    await expect(cancelOffboarding(registry, erased, ACTOR)).rejects.toThrow(OffboardingNotCancellable);
  });

  test('keeps what it found first, also when it searches again', async () => {
    const offboardingId = await request(await addTenant());
    const found = await keepFound(registry, offboardingId, 'bucket x', async () => ({ objects: 3 }));
    expect(found.found).toEqual({ objects: 3 });
    const again = await keepFound(registry, offboardingId, 'bucket x', () =>
      Promise.reject(new Error('searched twice')),
    );
    expect(again).toEqual(found);
    const merged = await mergeFact(registry, offboardingId, 'bucket x', {
      verifiedAt: '2026-01-01T00:00:00.000Z',
    });
    expect(merged).toEqual({ ...found, verifiedAt: '2026-01-01T00:00:00.000Z' });
  });

  test('alert work-failed: exports once, and ends when the export fails', async () => {
    const tenantId = await addTenant();
    const offboardingId = await request(tenantId);
    const exportId = randomUUID();
    const requests: string[] = [];
    let status = 'running';
    const exports = {
      request: async (id: string) => {
        requests.push(id);
        return exportId;
      },
      read: async () => ({ status, reason: 'the bucket is gone' }) as ExportView,
      count: async () => requests.length,
    };
    expect(await exportFinally(registry, offboardingId, exports)).toEqual({ done: false });
    expect(await exportFinally(registry, offboardingId, exports)).toEqual({ done: false });
    expect(requests).toEqual([tenantId]);
    status = 'failed';
    await expect(exportFinally(registry, offboardingId, exports)).rejects.toThrow(FinalExportFailed);
    const arn = `${MACHINE.replace('stateMachine', 'execution')}:offboarding-${offboardingId}`;
    expect(await failOffboarding(registry, arn, failure('the export failed'), ACTOR)).toEqual({
      outcome: 'failed',
    });
    expect(await statusOf(tenantId)).toBe('active');
    expect(await failOffboarding(registry, arn, failure('the export failed'), ACTOR)).toEqual({
      outcome: 'cancelled',
    });
    const alert = await new AlertRuns(registry).opensOnceAndEnds({
      about: tenantId,
      kind: 'work-failed',
      end: () => request(tenantId),
    });
    expect(alert.details).toEqual({ work: 'offboarding', id: offboardingId, reason: 'the export failed' });
  });

  test('exports again when the export was stopped, three times in all', async () => {
    const tenantId = await addTenant();
    const offboardingId = await request(tenantId);
    let made = 0;
    let status = 'running';
    const exports = {
      request: async () => {
        const exportId = randomUUID();
        await registry.query(
          `INSERT INTO tenant_exports (export_id, tenant_id, region, prefix, started_by, expires_at)
           VALUES (:exportId::uuid, :tenantId::uuid, 'us', :exportId, 'test', now() + interval '1 day')
           ON CONFLICT DO NOTHING`,
          { exportId, tenantId },
        );
        // Only one may run.
        await registry.query(
          `UPDATE tenant_exports SET status = 'aborted', finished_at = now()
                              WHERE export_id = :exportId::uuid`,
          { exportId },
        );
        made += 1;
        return exportId;
      },
      read: async () => ({ status, reason: 'it was stopped' }) as ExportView,
      count: (id: string, since: string) => countExports(registry, id, since),
    };
    // One from before the offboarding does not count.
    const former = await exports.request();
    await registry.query(
      `UPDATE tenant_exports SET started_at = started_at - interval '1 day' WHERE export_id = :former::uuid`,
      { former },
    );
    expect(await exportFinally(registry, offboardingId, exports)).toEqual({ done: false });
    status = 'aborted';
    for (const times of [3, 4]) {
      expect(await exportFinally(registry, offboardingId, exports)).toEqual({ done: false });
      expect(made).toBe(times);
    }
    await expect(exportFinally(registry, offboardingId, exports)).rejects.toThrow(FinalExportFailed);
    expect(made).toBe(4);
  });

  test('alert work-overdue: is overdue until it ends, but not in its grace period', async () => {
    const [tenantId, other] = [await addTenant(), await addTenant()];
    const [id, inGrace] = [await request(tenantId), await request(other)];
    await beginGrace(registry, inGrace, 60);
    const alerts = new AlertRuns(registry);
    await alerts.opensOnceAndEnds({
      // It names no tenant.
      about: '',
      id,
      kind: 'work-overdue',
      run: overdueAtOnce('offboarding'),
      end: () => cancelOffboarding(registry, tenantId, ACTOR),
    });
    const overdue = await alerts.alerts('', 'work-overdue');
    expect(overdue.map(({ details }) => details.id)).not.toContain(inGrace);
  });

  test('has one grace period, however often it is begun', async () => {
    const offboardingId = await request(await addTenant());
    const first = await beginGrace(registry, offboardingId, 60);
    expect(await beginGrace(registry, offboardingId, 90)).toEqual(first);
    const minutes = (Date.parse(first.graceUntil) - Date.now()) / 60_000;
    expect(Math.round(minutes)).toBe(60);
  });

  test('that has begun to erase does not fail: recovery gives it another execution', async () => {
    const offboardingId = await request(await addTenant());
    await beginErasure(registry, offboardingId, ACTOR);
    const { executionArn } = (await findOffboarding(registry, offboardingId))!;
    const failed = await failOffboarding(registry, executionArn!, failure('x'), ACTOR);
    expect(failed).toEqual({ outcome: 'erasing' });
    const runs: string[] = [];
    const start = async (_machine: string, name: string) => void runs.push(name);
    const recover = (status: 'running' | 'failed') =>
      recoverOffboardings(registry, {
        ended: { executionArn: executionArn! },
        stateMachineArn: MACHINE,
        statusOf: async () => status,
        start,
      });
    expect(await recover('running')).toEqual([]);
    expect(await recover('failed')).toEqual([offboardingId]);
    const next = (await findOffboarding(registry, offboardingId))!.executionArn!;
    expect(next.split(':').at(-1)).toBe(runs[0]);
    // The execution that was overtaken does nothing more; the next one begins where the record is.
    await expect(beginOffboarding(registry, { tenantId: 'x', offboardingId }, executionArn!)).rejects.toThrow(
      OffboardingOvertaken,
    );
    expect(await beginOffboarding(registry, { tenantId: 'x', offboardingId }, next)).toMatchObject({
      erasing: true,
      ended: false,
    });
    // Of a request that has just recorded it, the execution may not exist yet.
    const fresh = await request(await addTenant());
    const { executionArn: planned } = (await findOffboarding(registry, fresh))!;
    const options = { ended: { executionArn: planned! }, stateMachineArn: MACHINE, start };
    expect(await recoverOffboardings(registry, { ...options, statusOf: async () => 'none' })).toEqual([]);
  });

  test.each([
    null,
    'x',
    {},
    { tenantId: 'a', slug: 'b' },
    { tenantId: 'a', other: 1 },
    { offboardingId: randomUUID() },
  ])('does not begin with the input %j', async (input) => {
    await expect(beginOffboarding(registry, input, 'arn')).rejects.toThrow(InvalidOffboardingInput);
  });

  test('may be started by hand: the execution records it under its own name, once', async () => {
    const tenantId = await addTenant();
    const begun = await beginOffboarding(registry, { tenantId }, 'arn:by-hand');
    expect(begun).toMatchObject({ tenantId, erasing: false, ended: false });
    expect(await beginOffboarding(registry, { tenantId }, 'arn:by-hand')).toEqual(begun);
  });
});

describe('a legal hold', () => {
  test('refuses an offboarding until it is released; the audit log says who set it, without the reason', async () => {
    const tenantId = await addTenant();
    expect(await hold(tenantId, 'Doe v. Initech')).toMatchObject({
      legalHold: 'Doe v. Initech',
      status: 'active',
    });
    await expect(request(tenantId)).rejects.toThrow(TenantHeld);
    expect(await statusOf(tenantId)).toBe('active');
    await hold(tenantId, null);
    expect(typeof (await request(tenantId))).toBe('string');
    const audit = await registry.query<{ actor: string; data: string }>(
      `SELECT actor, request_data::text AS data FROM control_audit_log
       WHERE tenant_id = :tenantId::uuid AND action = 'tenant.update' ORDER BY created_at`,
      { tenantId },
    );
    expect(audit.map(({ actor, data }) => [actor, JSON.parse(data)])).toEqual([
      [ACTOR.id, { fields: ['legalHold'], legalHold: 'set' }],
      [ACTOR.id, { fields: ['legalHold'], legalHold: 'released' }],
    ]);
  });

  test('that is set in the grace period stops the erasure; the release continues it, without another export', async () => {
    const tenantId = await addTenant();
    const offboardingId = await request(tenantId);
    await beginGrace(registry, offboardingId, 0);
    await hold(tenantId, 'A court');
    await expect(beginErasure(registry, offboardingId, ACTOR)).rejects.toThrow(TenantHeld);
    const { executionArn } = (await findOffboarding(registry, offboardingId))!;
    expect(await failOffboarding(registry, executionArn!, failure('held', 'TenantHeld'), ACTOR)).toEqual({
      outcome: 'held',
    });
    // It is not served, and not erased.
    expect(await statusOf(tenantId)).toBe('offboarding');
    const recover = () =>
      recoverOffboardings(registry, {
        ended: { executionArn: executionArn! },
        stateMachineArn: MACHINE,
        statusOf: async () => 'ended',
        start: async () => {},
      });
    expect(await recover()).toEqual([]);
    await hold(tenantId, null);
    expect(await recover()).toEqual([offboardingId]);
    const next = (await findOffboarding(registry, offboardingId))!.executionArn!;
    expect(await beginOffboarding(registry, { tenantId, offboardingId }, next)).toMatchObject({
      erasing: false,
    });
    const none = () => Promise.reject(new Error('it has been exported, and the export may have expired'));
    const exports = { request: none, read: none, count: none };
    expect(await exportFinally(registry, offboardingId, exports)).toEqual({ done: true });
    await beginErasure(registry, offboardingId, ACTOR);
    expect(await statusOf(tenantId)).toBe('offboarded');
    await expect(hold(tenantId, 'too late')).rejects.toThrow(ResourceConflict);
  });

  test('does not prevent the cancellation of the offboarding that it has stopped', async () => {
    const tenantId = await addTenant();
    const offboardingId = await request(tenantId);
    await beginGrace(registry, offboardingId, 0);
    await hold(tenantId, 'A court');
    await expect(beginErasure(registry, offboardingId, ACTOR)).rejects.toThrow(TenantHeld);
    await cancelOffboarding(registry, tenantId, ACTOR);
    expect(await statusOf(tenantId)).toBe('active');
  });

  test('alert work-overdue: an offboarding that waits for its release is not overdue', async () => {
    const [held, free] = [await addTenant(), await addTenant()];
    const overdue: string[] = [];
    for (const tenantId of [held, free]) {
      const id = await request(tenantId);
      await beginGrace(registry, id, 0);
      overdue.push(id);
    }
    await hold(held, 'A court');
    await registry.query(
      `UPDATE tenant_offboardings SET grace_until = now() - interval '9 days' WHERE tenant_id IN (:held::uuid, :free::uuid)`,
      { held, free },
    );
    const alerts = new AlertRuns(registry);
    await alerts.run(overdueAtOnce('offboarding'));
    const open = async () =>
      (await alerts.alerts('', 'work-overdue'))
        .filter(({ status }) => status === 'open')
        .map(({ details }) => details.id);
    expect(await open()).toContain(overdue[1]);
    expect(await open()).not.toContain(overdue[0]);
    // The wait does not count after the release either.
    await hold(held, null);
    const overdueSeconds = { ...THRESHOLDS.overdueSeconds, offboarding: 3_600 };
    await alerts.run({ thresholds: { overdueSeconds } });
    expect(await open()).not.toContain(overdue[0]);
    for (const tenantId of [held, free]) await cancelOffboarding(registry, tenantId, ACTOR);
    await alerts.run(overdueAtOnce('offboarding'));
  });

  test('is kept by the registry itself, so that an earlier release does not erase the tenant either', async () => {
    const tenantId = await addTenant();
    await hold(tenantId, 'A court');
    await expect(
      registry.query(`UPDATE tenants SET status = 'offboarded' WHERE tenant_id = :tenantId::uuid`, {
        tenantId,
      }),
    ).rejects.toThrow('no_erasure_under_legal_hold');
  });
});

test('no request makes an account after the accounts are erased: requests go first, and one in work is waited for', async () => {
  const [tenantId, neighbour] = [await addTenant(), await addTenant()];
  const address = (name: string) => `${name}@${tenantId}.test`;
  for (const name of ['new', 'leased', 'shared']) {
    const email = address(name);
    await registry.query(
      `INSERT INTO tenant_users (tenant_id, email, role) VALUES (:tenantId::uuid, :email, 'member')`,
      { tenantId, email },
    );
    await requestAccount(registry, email);
  }
  await registry.query(
    `INSERT INTO tenant_users (tenant_id, email, role) VALUES (:neighbour::uuid, :email, 'member')`,
    { neighbour, email: address('shared') },
  );
  const lease = randomUUID();
  await registry.query(
    `UPDATE account_requests SET lease = :lease::uuid, lease_expires_at = now() + interval '1 minute'
      WHERE email = :email`,
    { lease, email: address('leased') },
  );
  const left = async () => {
    const rows = await registry.query<{ email: string }>(
      `SELECT email FROM account_requests WHERE email LIKE '%' || :tenantId || '%' ORDER BY email`,
      { tenantId },
    );
    return rows.map(({ email }) => email);
  };
  expect(await countAccountRequests(registry, tenantId)).toBe(2);
  expect(await eraseAccountRequests(registry, tenantId)).toBe(false);
  expect(await left()).toEqual([address('leased'), address('shared')]);
  // The run died.
  await registry.query(`UPDATE account_requests SET lease_expires_at = now() WHERE lease = :lease::uuid`, {
    lease,
  });
  expect(await eraseAccountRequests(registry, tenantId)).toBe(true);
  expect(await left()).toEqual([address('shared')]);
});

describe('the registry', () => {
  const erase = (tenantId: string, as = registry) =>
    as.query<{ counts: string }>('SELECT erase_tenant(:tenantId::uuid) AS counts', { tenantId });

  test('erases no tenant whose offboarding has not come to that, and lets no function delete one otherwise', async () => {
    const tenantId = await addTenant();
    await expect(erase(tenantId)).rejects.toThrow('the tenant is not being erased');
    const offboardingId = await request(tenantId);
    await expect(erase(tenantId)).rejects.toThrow('the tenant is not being erased');
    await beginErasure(registry, offboardingId, ACTOR);
    for (const role of ['registryReader', 'registryUsers'] as const) {
      await expect(erase(tenantId, await database.registry(role)), role).rejects.toThrow('permission denied');
    }
    await expect(registry.query('DELETE FROM tenants')).rejects.toThrow('permission denied');
    await expect(registry.query('DELETE FROM tenant_moves')).rejects.toThrow('permission denied');
    await expect(registry.query('DELETE FROM tenant_offboardings')).rejects.toThrow('permission denied');
  });

  test('takes nothing up about a tenant whose erasure has begun: neither users nor other data', async () => {
    const tenantId = await addTenant();
    const change = { actor: ACTOR };
    const email = 'late@x.test';
    const add = (idempotency?: ControlIdempotencyUse) =>
      createUser(registry, tenantId, { email, role: 'viewer' }, { ...change, idempotency });
    const key = { key: 'late', actor: ACTOR.id, path: '/users', body: {} };
    const { user } = await add(key);
    const how = { ...change, ifMatch: undefined };
    await updateUser(registry, tenantId, user.userId, { isActive: false }, how);
    const offboardingId = await request(tenantId);
    // It can still be cancelled.
    await updateTenant(registry, tenantId, { name: `Kept ${tenantId}` }, { ...how, actor: ACTOR.id });
    await beginErasure(registry, offboardingId, ACTOR);

    await expect(
      createUser(
        registry,
        tenantId,
        { email: 'new@x.test', role: 'admin' },
        { ...change, idempotency: undefined },
      ),
    ).rejects.toThrow('The tenant is offboarded, and its data is erased.');
    await expect(updateUser(registry, tenantId, user.userId, { isActive: true }, how)).rejects.toThrow(
      ResourceConflict,
    );
    await expect(
      updateTenant(registry, tenantId, { billingEmail: 'new@x.test' }, { ...how, actor: ACTOR.id }),
    ).rejects.toThrow(ResourceConflict);
    await expect(deleteUser(registry, tenantId, user.userId, how)).rejects.toThrow(ResourceConflict);
    // A repetition gets the first answer, which changes nothing.
    expect((await add(key)).replayed).toBe(true);
    await eraseRegistry(registry, offboardingId);
    await expect(add(key)).rejects.toThrow(ResourceConflict);
    await expect(
      updateTenant(registry, tenantId, { name: 'Back again' }, { ...how, actor: ACTOR.id }),
    ).rejects.toThrow(ResourceConflict);
    const users = await registry.query(
      'SELECT email FROM tenant_users WHERE tenant_id = :tenantId::uuid UNION SELECT email FROM account_requests WHERE email = :email',
      { tenantId, email: 'new@x.test' },
    );
    expect(users).toEqual([]);
  });

  test('keeps of an erased tenant a row without personal data, and nothing of it in any other table', async () => {
    const [tenantId, neighbour] = [await addTenant(), await addTenant()];
    const shared = `shared@${randomUUID()}.test`;
    for (const each of [tenantId, neighbour])
      await registry.query(
        `INSERT INTO tenant_users (tenant_id, email, role) VALUES (:each::uuid, :shared, 'member')`,
        { each, shared },
      );
    await registry.query(
      `INSERT INTO account_requests (email) SELECT email FROM tenant_users WHERE tenant_id = :tenantId::uuid`,
      { tenantId },
    );
    await registry.query(
      `WITH m AS (INSERT INTO tenant_moves (tenant_id, input, plan, started_by, status, finished_at)
         VALUES (:tenantId::uuid, '{}', '[]', 'x', 'succeeded', now()) RETURNING move_id)
       INSERT INTO tenant_move_hops (move_id, hop_index, tenant_id, kind, source, target, suffix, state)
       SELECT move_id, 0, :tenantId::uuid, 'reshape', '{}', '{}', '1a1', 'settled' FROM m`,
      { tenantId },
    );
    await registry.query(
      `INSERT INTO control_idempotency_keys (idempotency_key, actor, request_hash, response_status, response_body, resource_id)
       VALUES ('k', :tenantId, 'h', 202, jsonb_build_object('tenantId', cast(:tenantId as text)), 'other')`,
      { tenantId },
    );
    await registry.query(
      `INSERT INTO usage_samples (tenant_id, sampled_on, active_users, active_employees)
       VALUES (:tenantId::uuid, current_date, 1, 1)`,
      { tenantId },
    );
    const hex = tenantId.replaceAll('-', '');
    await registry.query(
      `INSERT INTO query_baselines (database_key, role_name, query_id, calls, total_ms, baseline_calls, baseline_ms)
       VALUES (:tenantId, 'strata_starter', '1', 1, 1, 1, 1), ('us-1', 'tenant_' || :hex, '1', 1, 1, 1, 1),
              ('us-1', 'tenant_other', '1', 1, 1, 1, 1)`,
      { tenantId, hex },
    );
    await registry.query(
      `INSERT INTO alerts (alert_key, kind, severity, region, tenant_id, summary, details)
       VALUES ('move-failed tenant ' || :tenantId, 'move-failed', 'critical', 'us', :tenantId::uuid, 'x', '{}'),
              ('replication-slot database us-1 slot move_' || :hex, 'replication-slot', 'warning', 'us', NULL, 'x', '{}'),
              ('proxy-secrets cell us-1', 'proxy-secrets', 'critical', 'us', NULL, 'x',
               jsonb_build_object('missing', jsonb_build_array('strata/tenant/' || :tenantId || '/x', 'other')))`,
      { tenantId, hex },
    );
    const only = `only@${randomUUID()}.test`;
    await registry.query(
      `INSERT INTO tenant_users (tenant_id, email, role) VALUES (:tenantId::uuid, :only, 'member')`,
      { tenantId, only },
    );
    await master.query('ANALYZE');
    // Of its roles, and of people: those are never quoted.
    const quoted = async (word: string) =>
      (
        await master.query(
          `SELECT tablename FROM pg_stats WHERE schemaname = 'public'
             AND concat(most_common_vals::text, histogram_bounds::text) LIKE '%' || :word || '%'`,
          { word },
        )
      ).length;
    expect(await quoted(hex)).toBeGreaterThan(0);
    expect(await quoted(only)).toBe(0);
    const offboardingId = await request(tenantId);
    await beginErasure(registry, offboardingId, ACTOR);
    const [hop] = await registry.query<{ state: string }>(
      'SELECT state FROM tenant_move_hops WHERE tenant_id = :tenantId::uuid',
      { tenantId },
    );
    expect(hop?.state).toBe('cleaned');

    await eraseRegistry(registry, offboardingId);
    await eraseRegistry(registry, offboardingId);

    const { facts } = (await findOffboarding(registry, offboardingId))!;
    expect(facts.registry).toMatchObject({
      found: {
        'rows of tenant_users': 3,
        'rows of tenant_moves': 1,
        'rows of tenant_move_hops': 1,
        'rows of account_requests': 1,
        'rows of control_idempotency_keys': 1,
        'rows of query_baselines': 2,
        'rows of alerts': 3,
      },
      verifiedAt: expect.any(String),
    });
    expect(await quoted(hex)).toBe(0);
    const [tables] = await master.query<{ names: string }>(
      `SELECT string_agg(relname, ' ' ORDER BY relname) AS names FROM pg_class
       WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'`,
    );
    const left: string[] = [];
    for (const name of tables!.names.split(' ')) {
      const [row] = await master.query<{ count: number }>(
        `SELECT count(*)::int AS count FROM ${name} t WHERE t::text LIKE '%' || :tenantId || '%'`,
        { tenantId },
      );
      if (row!.count > 0) left.push(name);
    }
    expect(left).toEqual([
      'control_audit_log',
      'event_outbox',
      'event_sequences',
      'tenant_offboardings',
      'tenants',
      'usage_samples',
    ]);
    const alerts = await registry.query<{ details: string }>(
      `SELECT details::text AS details FROM alerts WHERE kind = 'proxy-secrets'`,
    );
    expect(alerts.map(({ details }) => JSON.parse(details))).toEqual([
      { missing: ['strata/tenant/erased/x', 'other'] },
    ]);
    const baselines = await registry.query('SELECT role_name FROM query_baselines');
    expect(baselines).toEqual([{ role_name: 'tenant_other' }]);
    const [row] = await registry.query<Record<string, unknown>>(
      `SELECT tenant_name, status, admin_email, billing_email, features FROM tenants WHERE tenant_id = :tenantId::uuid`,
      { tenantId },
    );
    expect(row).toEqual({
      tenant_name: `offboarded ${tenantId}`,
      status: 'offboarded',
      admin_email: null,
      billing_email: null,
      features: null,
    });
    const others = await registry.query('SELECT 1 FROM tenant_users WHERE tenant_id = :neighbour::uuid', {
      neighbour,
    });
    expect(others).toHaveLength(2);
    const requests = await registry.query<{ email: string }>('SELECT email FROM account_requests');
    expect(requests.map(({ email }) => email)).toContain(shared);
  });

  test('an erasure that a row of a later table resists is not certified', async () => {
    const tenantId = await addTenant();
    const offboardingId = await request(tenantId);
    await beginErasure(registry, offboardingId, ACTOR);
    await master.query('CREATE TABLE later (tenant_id uuid NOT NULL)');
    await master.query('INSERT INTO later VALUES (:tenantId::uuid)', { tenantId });
    await master.query(
      `CREATE FUNCTION resist() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
         INSERT INTO later VALUES (OLD.tenant_id); RETURN OLD; END $$`,
    );
    await master.query('CREATE TRIGGER resists AFTER DELETE ON later FOR EACH ROW EXECUTE FUNCTION resist()');
    await expect(eraseRegistry(registry, offboardingId)).rejects.toThrow(ErasureIncomplete);
    expect((await findOffboarding(registry, offboardingId))?.phase).toBe('erase');
    await master.query('DROP TABLE later');
  });
});

describe('an evaluation of alerts that runs while a tenant is erased', () => {
  /** What a survey has found of the tenant, in its cell and in a database of its own, and of a neighbour. */
  const writesOf = (tenantId: string, neighbour: string): (() => Promise<unknown>)[] => {
    const found = (key: string, roles: readonly string[]) => ({
      key,
      observation: {
        statements: {
          totalMs: 1,
          top: roles.map((role) => ({ role, queryId: '1', text: 'select', calls: 1, totalMs: 1 })),
        },
      } as unknown as DatabaseObservation,
    });
    const alert = (of: string) => ({
      kind: 'database-size',
      severity: 'warning',
      key: `database-size tenant ${of}`,
      tenantId: of,
      summary: 'x',
      details: {},
    });
    const changes = {
      raise: [tenantId, neighbour].map(alert),
      keep: [],
      resolve: [],
    } as unknown as AlertChanges;
    const roles = [tenantId, neighbour].map((of) => tenantRoleName(of, 1));
    return [
      () => followQueries(registry, found('us-1', [...roles, 'strata_starter']), THRESHOLDS),
      () => followQueries(registry, found(tenantId, ['strata_owner']), THRESHOLDS),
      () => recordChanges(registry, 'us', changes),
    ];
  };
  const written = async (tenantId: string) => {
    const rows = await master.query<{ written: string }>(
      `SELECT concat(database_key, ' ', role_name) AS written FROM query_baselines
       UNION ALL SELECT alert_key FROM alerts`,
    );
    const hex = tenantId.replaceAll('-', '');
    return rows.map((row) => row.written).filter((text) => text.includes(tenantId) || text.includes(hex));
  };

  test('writes nothing of it once the erasure has begun, and everything of its neighbours', async () => {
    const [tenantId, neighbour] = [await addTenant(), await addTenant()];
    await beginErasure(registry, await request(tenantId), ACTOR);
    for (const write of writesOf(tenantId, neighbour)) await write();
    expect(await written(tenantId)).toEqual([]);
    expect(await written(neighbour)).toHaveLength(2);
  });

  test.each([0, 1, 2])(
    'waits for an erasure that is beginning, and then writes nothing of it (%i)',
    async (which) => {
      const [tenantId, neighbour] = [await addTenant(), await addTenant()];
      const offboardingId = await request(tenantId);
      const eraser = await database.registry('master');
      let writing: Promise<unknown> | undefined;
      await eraser.transaction(async (transaction) => {
        await beginErasure(
          {
            query: (...call) => transaction.query(...call),
            transaction: (work) => work(transaction),
          } as typeof registry,
          offboardingId,
          ACTOR,
        );
        writing = writesOf(tenantId, neighbour)[which]?.();
        await vi.waitUntil(
          async () =>
            (
              await master.query(
                `SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()`,
              )
            ).length > 0,
        );
      });
      await writing;
      expect(await written(tenantId)).toEqual([]);
    },
  );
});
