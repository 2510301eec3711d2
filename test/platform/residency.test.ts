import { expect, test } from 'vitest';
import { MovingTenant } from './moving-tenant.ts';
import { call, operatorToken, userToken } from './running-platform.ts';

const reportOf = async (slug: string) =>
  call('GET', `/tenants/${slug}/residency`, { token: await operatorToken() });
// biome-ignore lint/suspicious/noExplicitAny: tests look into answers of any shape.
const whereIs = (body: any, kind: string): string[] =>
  body.data
    .filter((each: { kind: string }) => each.kind === kind)
    .map(({ where }: { where: string }) => where);

test.each([
  ['initech', /^the shared tables of cell us-\d/],
  ['globex', /^a schema of cell us-\d/],
  ['acme', /^a dedicated database \(medium\) in region us/],
])('the report of %s has its place, its readers, and the region’s services', async (slug, place) => {
  const { status, body } = await reportOf(slug);
  expect(status).toBe(200);
  expect(whereIs(body, 'database')).toEqual([expect.stringMatching(place)]);
  expect(whereIs(body, 'read-replicas')).toHaveLength(1);
  for (const kind of ['cluster-backups', 'registry', 'user-accounts', 'secrets', 'field-keys', 'logs'])
    expect(whereIs(body, kind).length, kind).toBeGreaterThan(0);
  for (const each of body.data) expect(each).toMatchObject({ region: 'us', awsRegion: 'us-east-1' });
  // The default configuration has no second region, which Enterprise is promised.
  expect(body.violations.map(({ rule }: { rule: string }) => rule)).toEqual(slug === 'acme' ? ['tier'] : []);
});

test('it follows a move: what was left, and what a requirement forbids', async () => {
  const tenant = await MovingTenant.create({ tier: 'business', complianceRequirements: ['soc2'] });
  await tenant.move({ targetTier: 'enterprise', targetSize: 'small' });
  const { body } = await reportOf(tenant.slug);
  expect(whereIs(body, 'database')).toEqual([expect.stringContaining('(small)')]);
  expect(whereIs(body, 'read-replicas')).toEqual([]);
  expect(whereIs(body, 'cluster-backups')).toEqual([
    "continuous backup of the tenant's own cluster",
    expect.stringMatching(/^continuous backup of the cluster of cell us-\d, which the tenant has left$/),
  ]);
  expect(whereIs(body, 'field-keys')).toEqual([expect.stringContaining(':key/')]);
  expect(body.wouldViolate).toContainEqual({
    change: 'a move to the starter tier',
    rule: 'compliance',
    detail: 'The requirement "soc2" does not allow shared tables.',
  });
}, 180_000);

test('only operators read it', async () => {
  expect((await call('GET', '/tenants/acme/residency', { token: await userToken('acme') })).status).toBe(403);
  expect((await reportOf('no-such-tenant')).status).toBe(404);
});
