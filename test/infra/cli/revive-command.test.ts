import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { type ApiPeer, startApiPeer } from './api-peer.ts';
import { strata } from './run-command.ts';

let peer: ApiPeer;
beforeAll(async () => {
  peer = await startApiPeer();
});
beforeEach(() => {
  peer.requests.length = 0;
});
afterAll(() => peer.close());

const run = (...args: string[]) => strata(args, { STRATA_API_URL: peer.url, STRATA_TOKEN: 'a.b.c' });

const tenant = (slug: string, fields: object = {}) => ({
  tenantId: `id-of-${slug}`,
  slug,
  name: `Tenant ${slug}`,
  tier: 'business',
  status: 'failed',
  reason: 'The database of the tenant is lost.',
  dataResidency: 'us',
  complianceRequirements: ['gdpr'],
  billingEmail: null,
  restoreFrom: `backup-of-${slug}`,
  ...fields,
});

const asked = () => peer.requests.filter(({ method }) => method === 'POST');

/** A tenant that comes back without trouble. */
function comesBack(slug: string): void {
  const { restoreFrom: _, ...whole } = tenant(slug, { status: 'active', reason: null });
  peer.on(
    `GET /tenants/id-of-${slug}`,
    { body: tenant(slug, { status: 'provisioning' }) },
    { body: tenant(slug, { status: 'suspended' }) },
    { body: whole },
  );
  const users = [
    { email: `viewer@${slug}.test`, role: 'viewer' },
    { email: `boss@${slug}.test`, role: 'admin' },
  ];
  peer.on(`GET /tenants/id-of-${slug}/users`, { body: { items: users } });
  peer.on(`GET /tenants/id-of-${slug}/restores`, { body: { items: [] } });
  peer.on(`POST /tenants/id-of-${slug}/restores`, { status: 202, body: { restoreId: 'r-1' } });
  peer.on(
    `GET /tenants/id-of-${slug}/restores/r-1`,
    { body: { status: 'running' } },
    { body: { status: 'succeeded' } },
  );
}

test('a tenant is onboarded with its own input and restored from its latest backup', async () => {
  comesBack('globex');
  peer.on('GET /tenants/globex', { body: tenant('globex') });
  peer.on('POST /tenants', { status: 202, body: tenant('globex') });
  const { code, out } = await run('revive', 'globex');
  expect(out.trimEnd().split('\n')).toEqual([
    'globex: onboarding',
    'globex: restoring backup backup-of-globex',
    '✔ globex has its rows again, and is active',
  ]);
  expect(code).toBe(0);
  expect(asked().map(({ path, body }) => [path, body])).toEqual([
    [
      '/tenants',
      {
        name: 'Tenant globex',
        slug: 'globex',
        adminEmail: 'boss@globex.test',
        tier: 'business',
        dataResidency: 'us',
        complianceRequirements: ['gdpr'],
        billingEmail: null,
      },
    ],
    ['/tenants/id-of-globex/restores', { backupId: 'backup-of-globex', mode: 'replace' }],
  ]);
});

test('a tenant that is on its way is followed, and one that fails stops no other', async () => {
  comesBack('slow');
  peer.on(
    'GET /tenants/id-of-slow',
    { body: tenant('slow', { status: 'suspended' }) },
    { body: tenant('slow', { status: 'suspended' }) },
  );
  peer.on('GET /tenants/id-of-slow/restores', {
    body: { items: [{ restoreId: 'r-1', status: 'running', backupId: 'backup-of-slow' }] },
  });
  peer.on('GET /tenants/id-of-broken', { body: tenant('broken', { reason: 'no\u001b[2J room' }) });
  peer.on('GET /tenants/id-of-broken/users', { body: { items: [{ email: 'a@b.test', role: 'admin' }] } });
  peer.on('GET /tenants/id-of-busy', { body: tenant('busy', { status: 'suspended' }) });
  peer.on('GET /tenants/id-of-busy/restores', { body: { items: [] } });
  peer.on('POST /tenants/id-of-busy/restores', {
    status: 409,
    body: { status: 409, detail: 'A schema rollout is running.' },
  });
  peer.on('POST /tenants', { status: 202, body: tenant('broken') });
  const { restoreFrom: _, ...whole } = tenant('whole', { status: 'active' });
  const items = [
    tenant('broken'),
    tenant('slow', { status: 'suspended' }),
    whole,
    tenant('busy', { status: 'suspended' }),
  ];
  peer.on('GET /tenants', { body: { items, nextCursor: null } });
  const { code, out } = await run('revive');
  expect(code).toBe(1);
  const lines = out.trimEnd().split('\n');
  expect(lines).toContain('slow: restoring backup backup-of-slow');
  expect(lines).toContain('✘ broken: no\\u001b[2J room');
  expect(lines).toContain('✘ busy: A schema rollout is running.');
  expect(lines.slice(-2)).toEqual(['1 of 3 tenants brought back', 'run it again for the others']);
  expect(
    asked()
      .map(({ path }) => path)
      .sort(),
  ).toEqual(['/tenants', '/tenants/id-of-busy/restores']);
});

test('where no tenant has lost its rows, nothing is asked', async () => {
  const { restoreFrom: _, ...whole } = tenant('globex', { status: 'active' });
  peer.on('GET /tenants', { body: { items: [whole] } });
  peer.on('GET /tenants/globex', { body: whole });
  expect(await run('revive')).toMatchObject({ code: 0, out: 'all tenants have their rows\n' });
  expect(await run('revive', 'globex')).toMatchObject({ code: 0, out: 'globex has its rows\n' });
  expect(asked()).toEqual([]);
});
