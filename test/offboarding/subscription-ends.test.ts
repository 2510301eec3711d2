import { randomUUID } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import type { OffboardingPolicy } from '../../functions/contracts/offboarding-policy.ts';
import {
  endSubscriptions,
  noticeOf,
  SUBSCRIPTION_ENDED,
  type SubscriptionRunOptions,
  stepOf,
} from '../../functions/offboarding/subscription-ends.ts';
import { updateTenant } from '../../functions/registry/tenants.ts';
import { ownRegistry } from '../own-registry.ts';
import type { RegistryOverPostgres } from '../registry-over-postgres.ts';

const policy: OffboardingPolicy = {
  graceMinutes: 60,
  noticeDays: [30, 7, 1],
  subscriptionGraceDays: 14,
  suspendedDays: 30,
};
const ACTIVE = { status: 'active', isSuspendedByUs: false, announcedFor: null, isHeld: false };

test.each([
  [31, 'none'],
  [30, 'notice'],
  [0, 'notice'],
  [-13, 'notice'],
  [-14, 'suspend'],
  [-44, 'suspend'],
  [-100_000, 'suspend'],
])('%i days before the end of its subscription, the step of an active tenant is %s', (left, step) => {
  expect(stepOf(policy, left, ACTIVE)).toBe(step);
});

test('a suspended tenant waits, is offboarded, or is served again when its end lies ahead', () => {
  const suspended = { status: 'suspended', isSuspendedByUs: true, announcedFor: 29, isHeld: false };
  expect(stepOf(policy, -100_000, suspended)).toBe('none');
  expect(stepOf(policy, -44, { ...suspended, announcedFor: 30 })).toBe('offboard');
  expect(stepOf(policy, 5, suspended)).toBe('resume');
  // An operator has suspended it for another reason.
  const byOperator = { status: 'suspended', isSuspendedByUs: false, announcedFor: null, isHeld: false };
  expect(stepOf(policy, 5, byOperator)).toBe('notice');
  expect(stepOf(policy, -14, byOperator)).toBe('announce');
  expect(stepOf(policy, -100, byOperator)).toBe('announce');
});

test('under a legal hold a tenant is suspended, and neither offboarded nor announced to be', () => {
  const held = { status: 'active', isSuspendedByUs: false, announcedFor: null, isHeld: true };
  expect(stepOf(policy, 30, held)).toBe('notice');
  expect(stepOf(policy, -14, held)).toBe('suspend');
  expect(stepOf(policy, -14, { ...held, status: 'suspended' })).toBe('none');
  const suspended = { ...held, status: 'suspended', isSuspendedByUs: true, announcedFor: 100 };
  expect(stepOf(policy, -200, suspended)).toBe('none');
  expect(stepOf(policy, 5, suspended)).toBe('resume');
});

test('the notice is the smallest one that is due', () => {
  expect([30, 8, 7, 2, 1, 0, -5].map((left) => noticeOf(policy, left))).toEqual([
    '30 days',
    '30 days',
    '7 days',
    '7 days',
    '1 days',
    'ended',
    'ended',
  ]);
});

describe('the daily run', () => {
  let registry: RegistryOverPostgres;
  ownRegistry(async (database) => {
    registry = await database.registry();
  });

  async function addTenant(endDate: string | null, status = 'active', reason: string | null = null) {
    const tenantId = randomUUID();
    await registry.query(
      `INSERT INTO tenants (tenant_id, tenant_name, tenant_slug, isolation_model, subscription_tier, status,
                            status_reason, home_region, data_residency, subscription_end_date)
       VALUES (:tenantId::uuid, :tenantId, :slug, 'shared', 'starter', :status, :reason, 'us', 'us', :endDate::date)`,
      { tenantId, slug: `s-${tenantId.slice(0, 8)}`, status, reason, endDate },
    );
    return tenantId;
  }
  const statusOf = async (tenantId: string) => {
    const [row] = await registry.query<{ status: string; reason: string | null }>(
      'SELECT status, status_reason AS reason FROM tenants WHERE tenant_id = :tenantId::uuid',
      { tenantId },
    );
    return row;
  };
  const run = async (today: string, options: Partial<SubscriptionRunOptions> = {}) => {
    const messages: string[] = [];
    const offboarded: string[] = [];
    const failures: string[] = [];
    const figures = await endSubscriptions(registry, {
      policy,
      today,
      actor: { id: 'subscriptions', type: 'system' },
      offboard: async (tenantId) => offboarded.push(tenantId),
      publish: async ({ subject }) => void messages.push(subject),
      onFailure: (tenantId) => void failures.push(tenantId),
      ...options,
    });
    return { figures, messages, offboarded, failures };
  };

  test('announces, suspends, offboards; each once, and never a tenant without an end', async () => {
    const endless = await addTenant(null);
    const ending = await addTenant('2026-06-30');
    expect((await run('2026-05-30')).figures).toMatchObject({ notices: 0, suspended: 0, offboarded: 0 });
    const first = await run('2026-05-31');
    expect(first.messages).toEqual([expect.stringContaining('ends soon')]);
    expect((await run('2026-05-31')).figures.notices).toBe(0);
    expect((await run('2026-06-10')).figures.notices).toBe(0);
    expect((await run('2026-06-23')).figures.notices).toBe(1);
    expect((await run('2026-06-29')).figures.notices).toBe(1);
    expect((await run('2026-07-01')).messages).toEqual([expect.stringContaining('has ended')]);
    expect((await run('2026-07-02')).figures.notices).toBe(0);
    expect((await statusOf(ending))?.status).toBe('active');
    const suspension = await run('2026-07-14');
    expect([suspension.figures.suspended, suspension.messages]).toEqual([
      1,
      [expect.stringContaining('is suspended')],
    ]);
    expect(await statusOf(ending)).toEqual({ status: 'suspended', reason: SUBSCRIPTION_ENDED });
    expect((await run('2026-08-12')).figures).toMatchObject({ suspended: 0, offboarded: 0 });
    expect((await run('2026-08-13')).offboarded).toEqual([ending]);
    expect((await statusOf(endless))?.status).toBe('active');
    const audit = await registry.query<{ action: string }>(
      'SELECT action FROM control_audit_log WHERE tenant_id = :ending::uuid',
      { ending },
    );
    expect(audit.map(({ action }) => action)).toEqual(['subscription.suspend']);
    await registry.query(`UPDATE tenants SET status = 'offboarding' WHERE tenant_id = :ending::uuid`, {
      ending,
    });
  });

  test('serves a tenant again whose subscription was renewed, and announces the new end anew', async () => {
    const renewed = await addTenant('2027-06-30', 'suspended', SUBSCRIPTION_ENDED);
    const byOperator = await addTenant('2027-06-30', 'suspended', 'unpaid');
    expect((await run('2027-01-01')).figures.resumed).toBe(1);
    expect(await statusOf(renewed)).toEqual({ status: 'active', reason: null });
    expect((await statusOf(byOperator))?.status).toBe('suspended');
    expect((await run('2027-06-01')).figures.notices).toBe(2);
    for (const tenantId of [renewed, byOperator])
      await registry.query(
        'UPDATE tenants SET subscription_end_date = NULL WHERE tenant_id = :tenantId::uuid',
        {
          tenantId,
        },
      );
  });

  test('leaves a tenant suspended that an operator has suspended as well, after its subscription was renewed', async () => {
    const tenantId = await addTenant('2027-12-31', 'suspended', SUBSCRIPTION_ENDED);
    await updateTenant(registry, tenantId, { status: 'suspended' }, { actor: 'o', ifMatch: undefined });
    expect((await run('2027-01-01')).figures.resumed).toBe(0);
    expect(await statusOf(tenantId)).toEqual({ status: 'suspended', reason: null });
    // The reason of a tenant without its rows says how it is served again.
    const lost = await addTenant(null, 'suspended', 'restore it');
    await registry.query(`UPDATE tenants SET lost = '{"epoch": 1}' WHERE tenant_id = :lost::uuid`, { lost });
    await updateTenant(registry, lost, { status: 'suspended' }, { actor: 'o', ifMatch: undefined });
    expect((await statusOf(lost))?.reason).toBe('restore it');
    await registry.query(
      'UPDATE tenants SET subscription_end_date = NULL WHERE tenant_id = :tenantId::uuid',
      {
        tenantId,
      },
    );
  });

  test('one that fails does not stop the others; a notice that was not accepted is sent again', async () => {
    const [one, two] = [await addTenant('2028-01-10'), await addTenant('2028-01-10')].sort();
    let refused = true;
    const publish = async () => {
      if (refused) {
        refused = false;
        throw new Error('the topic does not answer');
      }
    };
    const failing = await run('2028-01-09', { publish });
    expect([failing.failures, failing.figures.notices]).toEqual([[one], 1]);
    expect((await run('2028-01-09')).figures.notices).toBe(1);
    expect((await run('2028-01-31')).figures.suspended).toBe(2);
    const refusing = await run('2028-03-01', {
      offboard: (tenantId) =>
        tenantId === one ? Promise.reject(new Error('a move runs')) : Promise.resolve(),
    });
    expect([refusing.failures, refusing.figures.offboarded]).toEqual([[one], 1]);
    await registry.query(
      `UPDATE tenants SET status = 'offboarding' WHERE tenant_id IN (:one::uuid, :two::uuid)`,
      { one, two },
    );
  });

  test('a served tenant whose end is long ago is suspended, not offboarded: its date may be wrong', async () => {
    const mistyped = await addTenant('2019-02-28');
    const byOperator = await addTenant('2019-02-28', 'suspended', null);
    const first = await run('2029-01-01');
    expect(first).toMatchObject({ figures: { suspended: 1, notices: 1 }, offboarded: [], failures: [] });
    expect(first.messages.map((subject) => subject.replace(/s-\w+/, 'it')).sort()).toEqual([
      'Strata: it is suspended',
      'Strata: it will be offboarded',
    ]);
    expect((await run('2029-01-01')).figures).toMatchObject({ suspended: 0, notices: 0, offboarded: 0 });
    // An operator serves it again and forgets the date: it is suspended again, and the days begin anew.
    await registry.query(`UPDATE tenants SET status = 'active' WHERE tenant_id = :mistyped::uuid`, {
      mistyped,
    });
    expect((await run('2029-01-20')).figures).toMatchObject({ suspended: 1, offboarded: 0 });
    expect((await run('2029-01-31')).offboarded).toEqual([byOperator]);
    await registry.query(`UPDATE tenants SET status = 'offboarding' WHERE tenant_id = :byOperator::uuid`, {
      byOperator,
    });
    expect((await run('2029-02-18')).offboarded).toEqual([]);
    expect((await run('2029-02-19')).offboarded).toEqual([mistyped]);
    await registry.query(`UPDATE tenants SET status = 'offboarding' WHERE tenant_id = :mistyped::uuid`, {
      mistyped,
    });
  });

  test('a tenant with a legal hold is suspended, and offboarded after the hold is released', async () => {
    const tenantId = await addTenant('2029-06-01');
    const hold = (legalHold: string | null) =>
      updateTenant(registry, tenantId, { legalHold }, { actor: 'o', ifMatch: undefined });
    await hold('A court');
    const texts: string[] = [];
    const publish = async ({ message }: { message: string }) => void texts.push(message);
    expect((await run('2029-06-15', { publish })).figures).toMatchObject({ suspended: 1, failures: 0 });
    expect(texts).toEqual([expect.stringMatching(/It has a legal hold, so it is not offboarded/)]);
    expect((await statusOf(tenantId))?.status).toBe('suspended');
    expect(await run('2029-12-01')).toMatchObject({ offboarded: [], messages: [], failures: [] });
    await hold(null);
    expect((await run('2029-12-02')).offboarded).toEqual([tenantId]);
    await registry.query(`UPDATE tenants SET status = 'offboarding' WHERE tenant_id = :tenantId::uuid`, {
      tenantId,
    });
  });

  test('a tenant whose suspension could not be announced stays served until the next run', async () => {
    const tenantId = await addTenant('2030-01-01');
    const publish = () => Promise.reject(new Error('the topic does not answer'));
    expect((await run('2030-01-15', { publish })).failures).toEqual([tenantId]);
    expect((await statusOf(tenantId))?.status).toBe('active');
    expect((await run('2030-01-16')).figures.suspended).toBe(1);
    expect((await run('2030-02-14')).offboarded).toEqual([]);
    expect((await run('2030-02-15')).offboarded).toEqual([tenantId]);
  });
});
