import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { switchSecret } from '../../functions/credentials/switch-secret.ts';
import { activateTenant } from '../../functions/onboarding/activate-tenant.ts';
import {
  CloneSourceLeaving,
  InvalidOnboardingInput,
  NoCellCapacity,
  TenantExists,
  TenantInputMismatch,
  TenantNameTaken,
  TenantNotProvisioning,
} from '../../functions/onboarding/errors.ts';
import { failTenant, findUnclaimed } from '../../functions/onboarding/fail-tenant.ts';
import {
  type OnboardingInput,
  validateOnboardingInput,
} from '../../functions/onboarding/onboarding-input.ts';
import { registerTenant } from '../../functions/onboarding/register-tenant.ts';
import type { RegistryExecutor } from '../../functions/registry/data-api.ts';
import { type ControlPlane, startControlPlane } from './control-plane.ts';

const actor = { id: 'operator@strata.test', type: 'operator' } as const;
let plane: ControlPlane;
let counter = 0;

beforeAll(async () => {
  plane = await startControlPlane();
  await plane.addCell();
});
afterAll(() => plane?.stop());

function input(overrides: Record<string, unknown> = {}): OnboardingInput {
  counter += 1;
  return validateOnboardingInput({
    name: `Tenant ${counter}`,
    slug: `tenant-${counter}`,
    adminEmail: `admin${counter}@tenant.test`,
    ...overrides,
  });
}

const register = (tenant: OnboardingInput, executionArn?: string) =>
  registerTenant(plane.registry, tenant, { actor, ...(executionArn ? { executionArn } : {}) });

/** What the registry holds under a slug. */
async function rows(slug: string) {
  const [counts] = await plane.master.query<Record<string, unknown>>(
    `SELECT (SELECT count(*) FROM tenants WHERE tenant_slug = :slug)::int AS tenants,
            (SELECT count(*) FROM tenant_users JOIN tenants USING (tenant_id) WHERE tenant_slug = :slug)::int AS users,
            (SELECT count(*) FROM tenant_database_routing JOIN tenants USING (tenant_id)
             WHERE tenant_slug = :slug)::int AS places,
            (SELECT string_agg(a.action, ',' ORDER BY a.created_at, a.action) FROM control_audit_log a
             JOIN tenants USING (tenant_id) WHERE tenant_slug = :slug) AS audit,
            (SELECT status FROM tenants WHERE tenant_slug = :slug) AS status`,
    { slug },
  );
  return counts;
}

test.each([
  ['starter', 'shared', { maxUsers: 50, maxStorageGb: 5 }],
  ['business', 'schema', { maxUsers: 500, maxStorageGb: 100 }],
  ['enterprise', 'dedicated', { maxUsers: null, maxStorageGb: null }],
])(
  'a %s tenant appears with its administrator and its planned place (%s)',
  async (tier, isolationModel, limits) => {
    const complianceRequirements = tier === 'starter' ? [] : ['soc2'];
    const tenant = input({ tier, complianceRequirements, billingEmail: 'bill@tenant.test' });
    const record = await register(tenant);
    const dedicated = tier === 'enterprise';
    expect(record).toMatchObject({
      name: tenant.name,
      slug: tenant.slug,
      tier,
      isolationModel,
      status: 'provisioning',
      reason: null,
      dataResidency: 'us',
      region: 'us',
      complianceRequirements,
      billingEmail: 'bill@tenant.test',
      ...limits,
      features: {},
      monthlyRevenue: null,
      executionArn: null,
      epoch: dedicated ? null : 1,
      cellId: dedicated ? null : expect.stringMatching(/^cell-/),
      createdAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
    });
    expect(await rows(tenant.slug)).toEqual({
      tenants: 1,
      users: 1,
      places: dedicated ? 0 : 1,
      audit: 'tenant.register',
      status: 'provisioning',
    });
  },
);

test('registering again with the same input is the same tenant, however the input is written', async () => {
  const first = await register(
    input({ slug: 'again', name: 'Again', tier: 'business', complianceRequirements: ['gdpr', 'soc2'] }),
  );
  const same = {
    slug: 'again',
    name: 'Again',
    tier: 'business',
    complianceRequirements: ['soc2', 'gdpr'],
    dataResidency: 'us',
  };
  const second = await register(input({ ...same, adminEmail: `ADMIN${counter}@tenant.test` }), 'execution-1');
  expect(second).toEqual({ ...first, executionArn: 'execution-1', updatedAt: second.updatedAt });
  expect(await rows('again')).toMatchObject({ tenants: 1, users: 1, places: 1, audit: 'tenant.register' });
});

test.each([
  { name: 'Another' },
  { adminEmail: 'other@tenant.test' },
  { tier: 'starter' },
  { complianceRequirements: ['hipaa'] },
  { billingEmail: 'bill@tenant.test' },
])('an unfinished slug refuses another input and stays as it is: %j', async (change) => {
  const original = input({ tier: 'enterprise' });
  const before = await register(original, 'execution-1');
  await expect(register({ ...original, ...change } as OnboardingInput, 'execution-2')).rejects.toThrow(
    TenantInputMismatch,
  );
  expect(await register(original)).toEqual({ ...before, updatedAt: expect.any(String) });
});

test.each([
  ['starter', ['soc2'], 'business'],
  ['starter', ['gdpr', 'pci'], 'enterprise'],
  ['starter', ['iso27001'], 'business'],
  ['business', ['hipaa'], 'enterprise'],
  ['business', ['soc2', 'pci'], 'enterprise'],
])(
  'a %s tenant that requires %j is refused, and nothing is registered',
  async (tier, required, sufficient) => {
    const tenant = input({ tier, complianceRequirements: required });
    const refused = await register(tenant).catch((error: unknown) => error);
    expect(refused).toMatchObject({
      name: 'ComplianceUnsatisfied',
      message: expect.stringContaining(`The tier ${sufficient} does.`),
      issues: expect.arrayContaining([{ rule: 'compliance', detail: expect.any(String) }]),
    });
    expect(await rows(tenant.slug)).toMatchObject({ tenants: 0 });
    expect(await register({ ...tenant, tier: sufficient as OnboardingInput['tier'] })).toMatchObject({
      status: 'provisioning',
    });
  },
);

test('an active slug is taken, except for the execution that activated it', async () => {
  const tenant = input();
  const { tenantId } = await register(tenant, 'execution-1');
  await activateTenant(plane.registry, tenantId, actor);
  await expect(register(tenant)).rejects.toThrow(TenantExists);
  await expect(register(tenant, 'execution-2')).rejects.toThrow(TenantExists);
  expect(await register(tenant, 'execution-1')).toMatchObject({ tenantId, status: 'active' });
  expect((await rows(tenant.slug))?.audit).toBe('tenant.register,tenant.activate');
});

test('a name belongs to one slug', async () => {
  const tenant = input();
  await register(tenant);
  const thief = input({ name: tenant.name });
  await expect(register(thief)).rejects.toThrow(TenantNameTaken);
  expect(await rows(thief.slug)).toMatchObject({ tenants: 0 });
});

test('a failed tenant keeps its place and goes on with the same input', async () => {
  const tenant = input({ tier: 'business' });
  const { tenantId, cellId } = await register(tenant, 'execution-1');
  const failure = { reason: 'No luck.', executionArn: 'execution-1', actor };
  expect(await failTenant(plane.registry, tenantId, failure)).toBe(true);
  expect(await failTenant(plane.registry, tenantId, failure)).toBe(false);
  await expect(activateTenant(plane.registry, tenantId, actor)).rejects.toThrow(TenantNotProvisioning);
  await expect(register({ ...tenant, tier: 'starter' })).rejects.toThrow(TenantInputMismatch);
  expect(await register(tenant, 'execution-2')).toMatchObject({
    tenantId,
    cellId,
    status: 'provisioning',
    reason: null,
    executionArn: 'execution-2',
  });
  expect((await rows(tenant.slug))?.audit).toBe('tenant.register,tenant.fail,tenant.resume');
});

test('only the execution in charge can mark a tenant failed', async () => {
  const tenant = input();
  const { tenantId } = await register(tenant, 'execution-1');
  await register(tenant, 'execution-2');
  expect(
    await failTenant(plane.registry, tenantId, { reason: 'x', executionArn: 'execution-1', actor }),
  ).toBe(false);
  await activateTenant(plane.registry, tenantId, actor);
  expect(
    await failTenant(plane.registry, tenantId, { reason: 'x', executionArn: 'execution-2', actor }),
  ).toBe(false);
  expect(await rows(tenant.slug)).toMatchObject({ status: 'active' });
});

test('a register step that breaks down finds what the API registered, and nothing that others are at work on', async () => {
  const tenant = input();
  expect(await findUnclaimed(plane.registry, tenant)).toBeUndefined();
  const { tenantId } = await register(tenant);
  expect(await findUnclaimed(plane.registry, { ...tenant, tier: 'business' })).toBeUndefined();
  expect(await findUnclaimed(plane.registry, tenant)).toBe(tenantId);
  await register(tenant, 'execution-1');
  expect(await findUnclaimed(plane.registry, tenant)).toBeUndefined();
  expect(await findUnclaimed(plane.registry, tenant, 'execution-1')).toBe(tenantId);
});

test('ten registrations of one slug at once make one tenant', async () => {
  const tenant = input({ tier: 'business' });
  const records = await Promise.all(Array.from({ length: 10 }, (_, n) => register(tenant, `execution-${n}`)));
  expect(new Set(records.map((record) => record.tenantId)).size).toBe(1);
  expect(await rows(tenant.slug)).toMatchObject({
    tenants: 1,
    users: 1,
    places: 1,
    audit: 'tenant.register',
  });
});

test('of two different inputs for one slug at once, one wins and the other is told', async () => {
  const one = input({ tier: 'business' });
  const outcomes = await Promise.allSettled([register(one), register({ ...one, tier: 'starter' })]);
  expect(outcomes.map((outcome) => outcome.status).sort()).toEqual(['fulfilled', 'rejected']);
  const rejected = outcomes.find((outcome) => outcome.status === 'rejected');
  expect(rejected?.reason).toBeInstanceOf(TenantInputMismatch);
  expect(await rows(one.slug)).toMatchObject({ tenants: 1, users: 1, places: 1 });
});

test('ten Business tenants at once cannot exceed the caps of two cells, and fill them evenly', async () => {
  const cells = [
    await plane.addCell({ dataResidency: 'eu', maxBusinessTenants: 3 }),
    await plane.addCell({ dataResidency: 'eu', maxBusinessTenants: 3 }),
  ];
  await plane.addCell({ dataResidency: 'eu', status: 'draining' });
  const tenants = Array.from({ length: 10 }, () => input({ tier: 'business', dataResidency: 'eu' }));
  const outcomes = await Promise.allSettled(tenants.map((tenant) => register(tenant)));
  const registered = outcomes.flatMap((each) => (each.status === 'fulfilled' ? [each.value.cellId] : []));
  const refused = outcomes.flatMap((each) => (each.status === 'rejected' ? [each.reason] : []));
  expect(registered.sort()).toEqual([...cells, ...cells, ...cells].sort());
  expect(refused).toHaveLength(4);
  for (const error of refused) expect(error).toBeInstanceOf(NoCellCapacity);
  for (const [n, outcome] of outcomes.entries()) {
    const expected = outcome.status === 'fulfilled' ? 1 : 0;
    expect(await rows(tenants[n]!.slug)).toMatchObject({
      tenants: expected,
      users: expected,
      places: expected,
    });
  }
  // The cap is of Business tenants only; a full cell still takes a Starter tenant.
  expect((await register(input({ dataResidency: 'eu' }))).cellId).toBeOneOf(cells);
});

test('a residency without cells is refused as input, one without an active cell for want of room', async () => {
  await expect(register(input({ dataResidency: 'apac' }))).rejects.toThrow(InvalidOnboardingInput);
  await plane.addCell({ dataResidency: 'apac', status: 'full' });
  for (const tier of ['starter', 'business', 'enterprise']) {
    const tenant = input({ tier, dataResidency: 'apac' });
    await expect(register(tenant)).rejects.toThrow(NoCellCapacity);
    expect(await rows(tenant.slug)).toMatchObject({ tenants: 0 });
  }
});

test('a tenant that a move is bringing takes its room in the cell, one that has left takes none', async () => {
  await plane.master.query(`UPDATE cells SET max_business_tenants = 1 WHERE data_residency = 'apac'`);
  await plane.master.query(`UPDATE cells SET status = 'active' WHERE data_residency = 'apac'`);
  const { tenantId } = await register(input({ tier: 'business', dataResidency: 'apac' }));
  const becomes = (status: string) =>
    plane.master.query('UPDATE tenants SET status = :status WHERE tenant_id = :tenantId::uuid', {
      status,
      tenantId,
    });
  const next = input({ tier: 'business', dataResidency: 'apac' });
  await becomes('arriving');
  await expect(register(next)).rejects.toThrow(NoCellCapacity);
  await becomes('elsewhere');
  expect(await register(next)).toMatchObject({ status: 'provisioning' });
});

describe('while the password of a cell’s Starter tenants is replaced', () => {
  const residency = 'apac';
  const starter = () => register(input({ dataResidency: residency }));
  let cellId: string;
  let rotation: Parameters<typeof switchSecret>[1];
  const secretOf = async ({ tenantId }: { readonly tenantId: string }) => {
    const [row] = await plane.master.query<{ secret: string }>(
      'SELECT secret_arn AS secret FROM tenant_database_routing WHERE tenant_id = cast(:tenantId as uuid)',
      { tenantId },
    );
    return row?.secret;
  };
  const isWaiting = async () =>
    (await plane.master.query("SELECT 1 AS one FROM pg_stat_activity WHERE wait_event_type = 'Lock'"))
      .length > 0;

  beforeAll(async () => {
    await plane.master.query("UPDATE cells SET status = 'draining' WHERE data_residency = :residency", {
      residency,
    });
    cellId = await plane.addCell({ dataResidency: residency });
    const [cell] = await plane.master.query<{ secret: string }>(
      'SELECT starter_secret_arn AS secret FROM cells WHERE cell_id = :cellId',
      { cellId },
    );
    rotation = { kind: 'starter', cellId, secret: cell?.secret ?? '', standInSecretArn: 'the-stand-in' };
    await starter();
    await plane.master.query(
      `INSERT INTO credential_rotations (kind, subject, cell_id, region, role_name, secret, stand_in_role,
                                         stand_in_secret_arn, execution_arn, started_by, phase)
       VALUES ('starter', :cellId, :cellId, 'us', 'strata_starter', :secret, 'strata_starter_s1', 'the-stand-in', 'x',
               'test', 'switch')`,
      { cellId, secret: rotation.secret },
    );
  });

  test('a tenant begins with the login of the others: the stand-in’s between the switches, else the role’s', async () => {
    expect(await secretOf(await starter())).toBe(rotation.secret);
    await switchSecret(plane.registry, rotation, 'stand-in');
    const meanwhile = await starter();
    expect(await secretOf(meanwhile)).toBe('the-stand-in');
    await switchSecret(plane.registry, rotation, 'role');
    expect(await secretOf(meanwhile)).toBe(rotation.secret);
    expect(await secretOf(await starter())).toBe(rotation.secret);
  });

  test.each(['stand-in', 'role'] as const)(
    'a switch to the %s waits for a registration that is under way',
    async (to) => {
      await switchSecret(plane.registry, rotation, to === 'role' ? 'stand-in' : 'role');
      let switching: Promise<unknown> | undefined;
      const registering = {
        query: plane.registry.query.bind(plane.registry),
        transaction: <Result>(work: (transaction: RegistryExecutor) => Promise<Result>) =>
          plane.registry.transaction(async (transaction) => {
            const result = await work(transaction);
            switching = switchSecret(plane.registry, rotation, to);
            await vi.waitUntil(isWaiting);
            return result;
          }),
      } as unknown as typeof plane.registry;
      const tenant = await registerTenant(registering, input({ dataResidency: residency }), { actor });
      await switching;
      expect(await secretOf(tenant)).toBe(to === 'role' ? rotation.secret : 'the-stand-in');
      await switchSecret(plane.registry, rotation, 'role');
    },
  );
});

describe('a clone', () => {
  const setStatus = (tenantId: string, status: string) =>
    plane.master.query('UPDATE tenants SET status = :status WHERE tenant_id = :tenantId::uuid', {
      tenantId,
      status,
    });
  const clone = (cloneOf: string, of = input()) => registerTenant(plane.registry, of, { actor, cloneOf });

  test('of a tenant that is being offboarded or erased is refused, because it would keep what is to be erased', async () => {
    const { tenantId } = await register(input());
    await setStatus(tenantId, 'suspended');
    expect(await clone(tenantId)).toMatchObject({ cloneOf: tenantId, status: 'provisioning' });
    for (const status of ['offboarding', 'offboarded']) {
      await setStatus(tenantId, status);
      const refused = input();
      await expect(clone(tenantId, refused)).rejects.toThrow(CloneSourceLeaving);
      expect(await rows(refused.slug)).toMatchObject({ tenants: 0 });
    }
  });

  test('waits for a transaction that holds the tenant, and sees the offboarding that it requests', async () => {
    const { tenantId } = await register(input());
    await setStatus(tenantId, 'active');
    const asked = Promise.withResolvers<unknown>();
    await plane.registry.transaction(async (transaction) => {
      await transaction.query('SELECT FROM tenants WHERE tenant_id = :tenantId::uuid FOR UPDATE', {
        tenantId,
      });
      asked.resolve(clone(tenantId).catch((error) => error));
      await vi.waitFor(async () => {
        const waiting = await plane.master.query(
          `SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
        );
        expect(waiting).toHaveLength(1);
      });
      await transaction.query(`UPDATE tenants SET status = 'offboarding' WHERE tenant_id = :tenantId::uuid`, {
        tenantId,
      });
    });
    expect(await await asked.promise).toBeInstanceOf(CloneSourceLeaving);
  });
});
