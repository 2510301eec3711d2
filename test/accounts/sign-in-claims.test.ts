import { randomUUID } from 'node:crypto';
import { beforeEach, describe, expect, test } from 'vitest';
import { type SignIn, signInClaims } from '../../functions/accounts/sign-in-claims.ts';
import { chooseTenant } from '../../functions/registry/sign-ins.ts';
import { ownRegistry } from '../own-registry.ts';
import type { RegistryOverPostgres } from '../registry-over-postgres.ts';
import type { TestDatabase } from '../test-database.ts';

let database: TestDatabase;
let writer: RegistryOverPostgres;
/** With the rights that the trigger has. */
let registry: RegistryOverPostgres;
ownRegistry(async (own) => {
  database = own;
  writer = await database.registry();
  registry = await database.registry('registryUsers');
});

let email: string;
beforeEach(() => {
  email = `${randomUUID()}@people.test`;
});

interface Tenant {
  readonly tenantId: string;
  readonly slug: string;
}

async function addTenant(status = 'active'): Promise<Tenant> {
  const tenantId = randomUUID();
  const slug = `t-${tenantId.slice(0, 8)}`;
  await writer.query(
    `INSERT INTO tenants (tenant_id, tenant_name, tenant_slug, isolation_model, subscription_tier, status, home_region)
     VALUES (:tenantId::uuid, :slug, :slug, 'shared', 'starter', :status, 'us')`,
    { tenantId, slug, status },
  );
  return { tenantId, slug };
}

async function addUser({ tenantId }: Tenant, address = email, role = 'member'): Promise<void> {
  await writer.query(
    'INSERT INTO tenant_users (tenant_id, email, role) VALUES (:tenantId::uuid, :address, :role)',
    { tenantId, address, role },
  );
}

const native = (change: Record<string, string> = {}, more: Partial<SignIn> = {}): SignIn => ({
  attributes: { sub: `sub of ${email}`, email, email_verified: 'true', ...change },
  groups: [],
  wish: undefined,
  ...more,
});

/** Somebody whom an identity provider has signed in. */
const external = (providerName: string, userId = 'jane', change: Record<string, string> = {}): SignIn => ({
  attributes: {
    sub: `${providerName} ${userId}`,
    email,
    // It may state that, too.
    email_verified: 'true',
    'cognito:user_status': 'EXTERNAL_PROVIDER',
    identities: JSON.stringify([{ providerName, userId, providerType: 'OIDC', primary: 'true' }]),
    ...change,
  },
  groups: [],
  wish: undefined,
});

const userRow = async ({ tenantId }: Tenant) => {
  const [row] = await writer.query<{ external: string | null; login: string | null }>(
    `SELECT external_auth_id AS external, last_login_at::text AS login FROM tenant_users
      WHERE tenant_id = :tenantId::uuid AND email = :email`,
    { tenantId, email },
  );
  return row;
};

describe('a person with an account of the user pool', () => {
  test('who belongs to several tenants gets the chosen one, and can choose another', async () => {
    const [one, two, other] = [await addTenant(), await addTenant(), await addTenant()];
    for (const tenant of [one, two]) await addUser(tenant);
    expect((await signInClaims(registry, native(), {})).claims).toEqual({ email });
    for (const { tenantId } of [one, two, one]) {
      await chooseTenant(registry, { subject: `sub of ${email}`, tenantId });
      expect((await signInClaims(registry, native(), {})).claims).toEqual({
        email,
        tenant_id: tenantId,
        role: 'member',
      });
    }
    // A choice is no membership.
    await chooseTenant(registry, { subject: `sub of ${email}`, tenantId: other.tenantId });
    expect((await signInClaims(registry, native(), {})).claims).toEqual({ email });
    // Nor is it that of another person with the address.
    await chooseTenant(registry, { subject: 'another', tenantId: one.tenantId });
    expect((await signInClaims(registry, native(), {})).claims).toEqual({ email });
  });

  test('has the time of the sign-in noted, at most once an hour', async () => {
    const tenant = await addTenant();
    await addUser(tenant);
    await signInClaims(registry, native(), {});
    const first = (await userRow(tenant))?.login;
    expect(first).not.toBeNull();
    await signInClaims(registry, native(), {});
    expect((await userRow(tenant))?.login).toBe(first);
    await writer.query(
      `UPDATE tenant_users SET last_login_at = now() - interval '61 minutes' WHERE email = :email`,
      {
        email,
      },
    );
    await signInClaims(registry, native(), {});
    expect(((await userRow(tenant))?.login ?? '') > (first ?? '')).toBe(true);
  });

  test('is signed in also when that time cannot be noted', async () => {
    const tenant = await addTenant();
    await addUser(tenant);
    // The reader may not note it.
    const reader = await database.registry('registryReader');
    const lookingOnly = {
      query: (sql: string, parameters?: object) =>
        (/^\s*update/i.test(sql) ? reader : registry).query(sql, parameters as never),
    } as typeof registry;
    const { claims } = await signInClaims(lookingOnly, native(), {});
    expect(claims).toMatchObject({ tenant_id: tenant.tenantId });
    expect((await userRow(tenant))?.login).toBeNull();
  });

  test('gets no tenant that has an identity provider', async () => {
    const [federated, other] = [await addTenant(), await addTenant()];
    await addUser(federated);
    const providers = { Corp: federated.slug };
    expect((await signInClaims(registry, native(), providers)).claims).toEqual({ email });
    const wish = federated.slug;
    expect((await signInClaims(registry, native({}, { wish }), providers)).claims).toEqual({ email });
    await addUser(other);
    expect((await signInClaims(registry, native(), providers)).claims).toMatchObject({
      tenant_id: other.tenantId,
    });
  });
});

describe('an identity provider', () => {
  test('signs in users of its own tenant, and binds each to the account that comes first', async () => {
    const tenant = await addTenant();
    await addUser(tenant);
    const providers = { Corp: tenant.slug };
    const claims = { email, identity_provider: 'Corp', tenant_id: tenant.tenantId, role: 'member' };
    for (const _ of [1, 2]) {
      expect(await signInClaims(registry, external('Corp'), providers)).toEqual({ claims, scopes: [] });
    }
    expect(await userRow(tenant)).toMatchObject({ external: 'Corp:jane', login: expect.any(String) });
    // The provider gives the address to somebody else.
    expect((await signInClaims(registry, external('Corp', 'joe'), providers)).claims).toEqual({});
    expect(await userRow(tenant)).toMatchObject({ external: 'Corp:jane' });
  });

  test('signs in nobody under two addresses of its tenant', async () => {
    const tenant = await addTenant();
    const providers = { Corp: tenant.slug };
    await addUser(tenant);
    await signInClaims(registry, external('Corp'), providers);
    email = `${randomUUID()}@people.test`;
    await addUser(tenant, email, 'admin');
    expect((await signInClaims(registry, external('Corp'), providers)).claims).toEqual({});
  });

  test('gets no token of another tenant, whatever address it states', async () => {
    const [own, victim, free] = [await addTenant(), await addTenant(), await addTenant()];
    const providers = { Corp: own.slug, Victims: victim.slug };
    // An admin of two other tenants, one of them with a provider of its own.
    for (const tenant of [victim, free]) await addUser(tenant, email, 'admin');
    const nothing = { claims: {}, scopes: [] };
    for (const wish of [undefined, victim.slug, victim.tenantId, free.slug]) {
      const forged = { ...external('Corp'), wish };
      expect(await signInClaims(registry, forged, providers)).toEqual(nothing);
    }
    await chooseTenant(registry, { subject: 'Corp jane', tenantId: free.tenantId });
    expect(await signInClaims(registry, external('Corp'), providers)).toEqual(nothing);
    // Also as the user of its own tenant that the same address is.
    await addUser(own);
    expect(
      (await signInClaims(registry, { ...external('Corp'), wish: free.slug }, providers)).claims,
    ).toMatchObject({ tenant_id: own.tenantId });
    for (const tenant of [victim, free])
      expect(await userRow(tenant)).toEqual({ external: null, login: null });
  });

  test.each([
    ['an unknown provider', () => external('Stranger')],
    ['a name of every object', () => external('constructor')],
    [
      'two providers',
      () =>
        external('Corp', 'jane', {
          identities: JSON.stringify([
            { providerName: 'Corp', userId: 'jane' },
            { providerName: 'Stranger', userId: 'jane' },
          ]),
        }),
    ],
    ['a provider that is not named', () => external('Corp', 'jane', { identities: '' })],
    ['identities that are no list', () => external('Corp', 'jane', { identities: '{}' })],
    ['identities that are damaged', () => external('Corp', 'jane', { identities: '[' })],
    ['no address', () => external('Corp', 'jane', { email: '' })],
  ])('%s gets nothing', async (_name, signIn) => {
    const tenant = await addTenant();
    await addUser(tenant);
    const { claims } = await signInClaims(registry, signIn(), { Corp: tenant.slug });
    expect(claims).toEqual({});
  });

  test('has no operators, also where its user is in their group', async () => {
    const tenant = await addTenant();
    await addUser(tenant);
    const providers = { Corp: tenant.slug };
    const groups = ['operators'];
    expect((await signInClaims(registry, native({}, { groups }), providers)).scopes).toEqual([
      'strata/operator',
    ]);
    expect((await signInClaims(registry, { ...external('Corp'), groups }, providers)).scopes).toEqual([]);
  });

  test('may name a person by more than the registry has room for', async () => {
    const tenant = await addTenant();
    await addUser(tenant);
    const providers = { Corp: tenant.slug };
    const long = 'x'.repeat(300);
    expect((await signInClaims(registry, external('Corp', long), providers)).claims).toHaveProperty(
      'tenant_id',
    );
    expect((await signInClaims(registry, external('Corp', `${long}y`), providers)).claims).toEqual({});
  });
});
