import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  InvalidOnboardingInput,
  NoCellCapacity,
  TenantExists,
  TenantInputMismatch,
  TenantNameTaken,
} from '../../functions/onboarding/errors.ts';
import {
  type OnboardingInput,
  validateOnboardingInput,
} from '../../functions/onboarding/onboarding-input.ts';
import { registerTenant } from '../../functions/onboarding/register-tenant.ts';
import { lockSlug } from '../../functions/onboarding/reserved-slug.ts';
import type { RegionalRegistries } from '../../functions/registry/regional-registries.ts';
import { startTwoRegistries, type TwoRegistries } from './two-registries.ts';

const actor = { id: 'operator@strata.test', type: 'operator' } as const;
let two: TwoRegistries;
let regions: RegionalRegistries;
let counter = 0;
beforeAll(async () => {
  two = await startTwoRegistries();
  regions = two.registries('us');
});
afterAll(() => two?.plane.stop());

function input(overrides: Record<string, unknown> = {}): OnboardingInput {
  counter += 1;
  return validateOnboardingInput({
    name: `Tenant ${counter}`,
    slug: `tenant-${counter}`,
    adminEmail: `admin${counter}@tenant.test`,
    ...overrides,
  });
}

const register = (key: 'us' | 'eu', tenant: OnboardingInput) =>
  registerTenant(two[key], tenant, { actor, region: { key, registries: regions } });

async function row(key: 'us' | 'eu', slug: string) {
  const [found] = await two.masters[key].query<Record<string, unknown>>(
    `SELECT t.tenant_id::text AS id, t.status, t.tenant_name AS name, t.home_region AS region, t.admin_email AS email,
            t.billing_email AS billing, t.compliance_requirements::text AS compliance,
            (SELECT count(*) FROM tenant_users u WHERE u.tenant_id = t.tenant_id)::int AS users,
            (SELECT count(*) FROM tenant_database_routing r WHERE r.tenant_id = t.tenant_id)::int AS places
     FROM tenants t WHERE t.tenant_slug = :slug`,
    { slug },
  );
  return found;
}

/** What a registration in that region leaves that died before its tenant was committed. */
async function reservedByTheDead(slug: string, region: string): Promise<string> {
  const tenantId = randomUUID();
  await two.us.query(
    `INSERT INTO tenants (tenant_id, tenant_name, tenant_slug, isolation_model, subscription_tier, status,
                          data_residency, compliance_requirements, home_region)
     VALUES (:tenantId::uuid, :tenantId, :slug, 'shared', 'starter', 'elsewhere', :region, '[]', :region)`,
    { tenantId, slug, region },
  );
  return tenantId;
}

describe('a tenant of another region', () => {
  test('is there with all it has, and at home with its id, slug and region only', async () => {
    const tenant = input({
      billingEmail: 'bill@tenant.test',
      tier: 'business',
      complianceRequirements: ['gdpr'],
      dataResidency: 'eu',
    });
    const record = await register('eu', tenant);
    expect(record).toMatchObject({ status: 'provisioning', region: 'eu', apiUrl: 'https://eu.api.test' });
    expect(await row('eu', tenant.slug)).toMatchObject({
      id: record.tenantId,
      status: 'provisioning',
      name: tenant.name,
      users: 1,
      places: 1,
    });
    expect(await row('us', tenant.slug)).toEqual({
      id: record.tenantId,
      status: 'elsewhere',
      name: record.tenantId,
      region: 'eu',
      compliance: '[]',
      email: null,
      billing: null,
      users: 0,
      places: 0,
    });
  });

  test('is taken up again by the same input', async () => {
    const tenant = input({ dataResidency: 'eu' });
    const { tenantId } = await register('eu', tenant);
    expect((await register('eu', tenant)).tenantId).toBe(tenantId);
    await expect(register('eu', { ...tenant, name: 'Another' })).rejects.toThrow(TenantInputMismatch);
  });

  test('has its slug in all regions: unfinished it is another input, later it exists', async () => {
    const { dataResidency: _, ...tenant } = input({ dataResidency: 'eu' });
    await register('eu', { ...tenant, dataResidency: 'eu' });
    const atHome = { ...input(), slug: tenant.slug };
    await expect(register('us', atHome)).rejects.toThrow(TenantInputMismatch);
    await two.eu.query(`UPDATE tenants SET status = 'active' WHERE tenant_slug = :slug`, {
      slug: tenant.slug,
    });
    await expect(register('us', atHome)).rejects.toThrow(new TenantExists(tenant.slug));
    await expect(register('eu', { ...tenant, dataResidency: 'eu' })).rejects.toThrow(TenantExists);
  });

  test.each(['active', 'arriving'])('cannot have the slug of one that is %s at home', async (status) => {
    const tenant = input();
    await register('us', tenant);
    await two.us.query('UPDATE tenants SET status = :status WHERE tenant_slug = :slug', {
      status,
      slug: tenant.slug,
    });
    await expect(register('eu', { ...tenant, dataResidency: 'eu' })).rejects.toThrow(TenantExists);
    expect(await row('eu', tenant.slug)).toBeUndefined();
  });

  test('cannot be started in the wrong region, and is told where', async () => {
    const refused = register('us', input({ dataResidency: 'eu' }));
    await expect(refused).rejects.toThrow(InvalidOnboardingInput);
    await expect(refused).rejects.toThrow(/served by another region: start tenant-onboarding in eu-west-1/);
    await expect(register('eu', input({ dataResidency: 'apac' }))).rejects.toThrow(
      /not a region that is served/,
    );
  });
});

describe('a registration that is refused', () => {
  test('leaves the slug to others: the name was taken', async () => {
    const other = input({ dataResidency: 'eu' });
    await register('eu', other);
    const tenant = input({ name: other.name, dataResidency: 'eu' });
    await expect(register('eu', tenant)).rejects.toThrow(TenantNameTaken);
    expect(await row('us', tenant.slug)).toBeUndefined();
  });

  test('leaves the slug to others: no cell had room', async () => {
    await two.masters.eu.query('UPDATE cells SET max_business_tenants = 0');
    const tenant = input({ tier: 'business', dataResidency: 'eu' });
    await expect(register('eu', tenant)).rejects.toThrow(NoCellCapacity);
    expect(await row('us', tenant.slug)).toBeUndefined();
    await two.masters.eu.query('UPDATE cells SET max_business_tenants = 190');
  });
});

describe('a registration that died between its reservation and its tenant', () => {
  test('is taken up by the next one of its region, under the id that home knows', async () => {
    const tenant = input({ dataResidency: 'eu' });
    const reserved = await reservedByTheDead(tenant.slug, 'eu');
    expect((await register('eu', tenant)).tenantId).toBe(reserved);
    expect(await row('us', tenant.slug)).toMatchObject({ id: reserved, status: 'elsewhere' });
  });

  test('does not keep the slug from home, whose tenant takes its row', async () => {
    const tenant = input();
    const reserved = await reservedByTheDead(tenant.slug, 'eu');
    const record = await register('us', tenant);
    expect(record).toMatchObject({
      tenantId: reserved,
      name: tenant.name,
      status: 'provisioning',
      region: 'us',
    });
    expect(await row('us', tenant.slug)).toMatchObject({
      region: 'us',
      email: tenant.adminEmail,
      users: 1,
      places: 1,
    });
    // Whoever was slow finds it gone.
    await expect(register('eu', { ...tenant, dataResidency: 'eu' })).rejects.toThrow(TenantInputMismatch);
  });

  test('and at home meets a name that is taken: the reservation waits for the next', async () => {
    const other = input();
    await register('us', other);
    const tenant = input({ name: other.name });
    await reservedByTheDead(tenant.slug, 'eu');
    await expect(register('us', tenant)).rejects.toThrow(TenantNameTaken);
    expect((await register('us', { ...tenant, name: 'Free' })).name).toBe('Free');
  });

  test('and at home is refused: the slug, which home has by then, is free for every region', async () => {
    const other = input();
    await register('us', other);
    const tenant = input({ name: other.name });
    const reserved = await reservedByTheDead(tenant.slug, 'eu');
    await expect(register('us', tenant)).rejects.toThrow(TenantNameTaken);
    expect(await row('us', tenant.slug)).toMatchObject({ status: 'elsewhere', region: 'us' });
    expect((await register('eu', { ...tenant, dataResidency: 'eu' })).tenantId).toBe(reserved);
    expect(await row('us', tenant.slug)).toMatchObject({ status: 'elsewhere', region: 'eu' });
    await expect(register('us', { ...tenant, name: 'Late' })).rejects.toThrow(TenantInputMismatch);
  });

  test('is told from a tenant that has left its region, whose slug nobody takes', async () => {
    const { slug, name } = input();
    await reservedByTheDead(slug, 'eu');
    await two.eu.query(
      `INSERT INTO tenants (tenant_name, tenant_slug, isolation_model, subscription_tier, status, home_region)
       VALUES (:slug, :slug, 'shared', 'starter', 'elsewhere', 'us')`,
      { slug },
    );
    await expect(register('us', { ...input(), name, slug })).rejects.toThrow(TenantExists);
    expect(await row('us', slug)).toMatchObject({ status: 'elsewhere', region: 'eu' });
  });

  test('is not taken for dead while it is still under way', async () => {
    const tenant = input();
    await reservedByTheDead(tenant.slug, 'eu');
    let ended = false;
    let atHome: Promise<unknown> | undefined;
    await two.eu.transaction(async (transaction) => {
      // What the slow registration holds before its tenant is committed.
      await lockSlug(transaction, tenant.slug);
      atHome = register('us', tenant)
        .catch((error) => error)
        .finally(() => {
          ended = true;
        });
      await waiting();
      expect(ended).toBe(false);
      await transaction.query(
        `INSERT INTO tenants (tenant_name, tenant_slug, isolation_model, subscription_tier, status, home_region)
         VALUES (:slug, :slug, 'shared', 'starter', 'active', 'eu')`,
        { slug: tenant.slug },
      );
    });
    expect(await atHome).toBeInstanceOf(TenantExists);
    expect(await row('us', tenant.slug)).toMatchObject({ status: 'elsewhere', region: 'eu' });
  });
});

/** Until somebody waits for a slug in the other region. */
async function waiting(): Promise<void> {
  for (;;) {
    const waiters = await two.masters.eu.query(
      `SELECT 1 AS waits FROM pg_locks l JOIN pg_database d ON d.oid = l.database
       WHERE l.locktype = 'advisory' AND NOT l.granted AND d.datname = 'registry'`,
    );
    if (waiters.length > 0) return;
  }
}

test.each([
  ['a slug that is free', undefined],
  ['a slug that the dead have reserved', 'eu'],
  ['a slug that home has taken over in vain', 'us'],
])('of many registrations in both regions at once of %s, one tenant comes', async (_, reserved) => {
  const tenant = input();
  if (reserved) await reservedByTheDead(tenant.slug, reserved);
  const attempts = Array.from({ length: 8 }, (_, n) =>
    n % 2 === 0 ? register('us', tenant) : register('eu', { ...tenant, dataResidency: 'eu' }),
  );
  const outcomes = await Promise.allSettled(attempts);
  const registered = outcomes.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
  expect(new Set(registered.map(({ tenantId }) => tenantId)).size).toBe(1);
  expect(new Set(registered.map(({ region }) => region)).size).toBe(1);
  for (const each of outcomes) {
    if (each.status === 'rejected') expect(each.reason).toBeInstanceOf(TenantInputMismatch);
  }
  const [us, eu] = [await row('us', tenant.slug), await row('eu', tenant.slug)];
  expect([us?.status, eu?.status]).toEqual(
    registered[0]?.region === 'us' ? ['provisioning', undefined] : ['elsewhere', 'provisioning'],
  );
});
