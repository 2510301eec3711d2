import { createPublicKey, verify } from 'node:crypto';
import { SFNClient } from '@aws-sdk/client-sfn';
import { beforeAll, describe, expect, test, vi } from 'vitest';
import {
  type ErasureCertificate,
  forgeryOf,
  type SignedCertificate,
} from '../../functions/contracts/erasure-certificate.ts';
import { strata } from '../infra/cli/run-command.ts';
import { ended, executionOf, inRegistry } from './backup-runs.ts';
import {
  type LeavingTenant,
  offboard,
  offboarded,
  offboardOnceIdle,
  plant,
  userPoolId,
} from './leaving-tenant.ts';
import { administrator } from './platform-databases.ts';
import { searchEverything } from './remaining-traces.ts';
import { backUp, restore } from './restore-runs.ts';
import { call, onboardOwnTenant, operatorToken, platform, userToken } from './running-platform.ts';

const states = new SFNClient(administrator(platform().awsUrl));
let token: string;
beforeAll(async () => {
  token = await operatorToken();
});

const removed = ({ erased }: ErasureCertificate) =>
  Object.fromEntries(
    erased.map(({ store, removed: kinds }) => [
      store.replace(/^bucket .*/, 'bucket'),
      Object.fromEntries(kinds.map(({ what, count }) => [what, count])),
    ]),
  );

describe('tenants of all three models that leave', () => {
  let tenants: Record<'starter' | 'business' | 'enterprise', LeavingTenant>;
  let certificates: Record<'starter' | 'business' | 'enterprise', SignedCertificate>;
  /** Where the search found the planted words before. */
  let planted: string[];

  beforeAll(async () => {
    const [starter, business, enterprise] = await Promise.all([
      plant(),
      plant({ tier: 'business' }),
      plant({ tier: 'enterprise', databaseSize: 'small' }),
    ]);
    tenants = { starter, business, enterprise };
    // What a restore has replaced is kept beside the rows; what a move has left is not cleaned up yet.
    await restore(starter.slug, { backupId: (await backUp(starter.slug)).backupId, mode: 'replace' });
    const { body: before } = await call('GET', `/tenants/${business.slug}`, { token });
    const targetCell = before.cellId === 'us-1' ? 'us-2' : 'us-1';
    const moved = await call('POST', `/tenants/${business.slug}/moves`, { token, body: { targetCell } });
    expect((await ended(String(moved.headers.get('location')))).status).toBe('succeeded');
    await backUp(enterprise.slug);
    const words = Object.values(tenants).flatMap(({ word, tenantId }) => [word, tenantId]);
    planted = await searchEverything(platform(), words, userPoolId());
    const [one, two, three] = await Promise.all([
      offboarded(starter),
      offboarded(business),
      offboarded(enterprise),
    ]);
    certificates = { starter: one, business: two, enterprise: three };
  }, 300_000);

  test('leave nothing that their certificates do not list', { timeout: 120_000 }, async () => {
    expect(planted.map((trace) => trace.replace(/^(\S+) .*?(public\.\w+|shared\.\w+)?$/, '$1 $2'))).toEqual(
      expect.arrayContaining(['account ', 'cluster ', 'object ', 'secret ', 'stack ']),
    );
    const places = planted.join('\n');
    for (const place of ['public.tenant_users', 'shared.employees', '.idempotency_keys', 'pg_description'])
      expect(places).toContain(place);
    const all = Object.values(tenants);
    const hex = all.map(({ tenantId }) => tenantId.replaceAll('-', ''));
    const listed = Object.values(certificates).flatMap(({ certificate }) => certificate.kept);
    // PostgreSQL keeps the samples of a table that has become empty, and the certificate says so.
    const emptied = listed
      .filter(({ what }) => what.startsWith('samples of columns in the planner’s statistics'))
      .map(({ store }) => `${store.replace('database ', 'strata-')}: pg_stats`);
    // Personal and other data of the tenant: nothing else stays.
    const data = [...all.map(({ word }) => word), ...all.map(({ slug }) => `@${slug}.test`)];
    const found = await searchEverything(platform(), data, userPoolId());
    expect(found.filter((trace) => !emptied.includes(trace))).toEqual([]);
    const names = [...all.map(({ tenantId }) => tenantId), ...hex, ...all.map(({ slug }) => slug)];
    const left = await searchEverything(platform(), names, userPoolId());
    expect(listed.map(({ store, what }) => `${store}: ${what}`)).toEqual(
      expect.arrayContaining([
        'registry: one row of tenants: id, slug, tier, region, status',
        'registry: figures of usage by hour and day (counts, bytes, durations, revenue)',
        'registry: events of the tenant in the outbox (event_outbox): ids, slug, figures',
        'registry: the number of the tenant’s last event (event_sequences)',
        'registry: the operators’ audit log: who did what with the tenant, by ids',
        'registry: the record of this offboarding, with this certificate',
      ]),
    );
    const allowed = [
      'tenants',
      'usage_samples',
      'usage_hours',
      'usage_days',
      'control_audit_log',
      'tenant_offboardings',
      'event_outbox',
      'event_sequences',
    ];
    // The planner's statistics quote the ids and slugs of rows that are kept; personal data was looked for above.
    const keepers = [...allowed.map((table) => `public.${table}`), 'pg_stats'].map(
      (place) => `strata-registry: ${place}`,
    );
    expect(left.filter((trace) => ![...keepers, ...emptied].includes(trace))).toEqual([]);
  });

  test('have signed certificates, which are verified without the platform', () => {
    for (const [model, signed] of Object.entries(certificates)) {
      expect(forgeryOf(signed), model).toBeUndefined();
      expect(signed.signature.keyId).toMatch(/^arn:aws:kms:us-east-1:\d{12}:key\//);
      const changed = structuredClone(signed) as unknown as { certificate: { erased: unknown[] } };
      changed.certificate.erased.pop();
      expect(forgeryOf(changed as unknown as SignedCertificate), model).toContain('signature');
    }
    const { certificate, signature, publicKey } = certificates.starter;
    // As any other program does it: sorted members, RSASSA-PSS over SHA-256.
    const sorted = (value: unknown): unknown =>
      Array.isArray(value)
        ? value.map(sorted)
        : value && typeof value === 'object'
          ? Object.fromEntries(
              Object.entries(value)
                .sort()
                .map(([name, member]) => [name, sorted(member)]),
            )
          : value;
    const key = createPublicKey({ key: Buffer.from(publicKey, 'base64'), format: 'der', type: 'spki' });
    const text = Buffer.from(JSON.stringify(sorted(certificate)));
    const bytes = Buffer.from(signature.value, 'base64');
    expect(verify('sha256', text, { key, padding: 6, saltLength: 32 }, bytes)).toBe(true);
  });

  test('have certificates that say what was where', () => {
    const { starter, business, enterprise } = certificates;
    const rows = { 'rows of employees': 1, 'rows of teams': 1, 'rows of skills': 1 };
    expect(removed(starter.certificate)['database us-1'] ?? {}).toBeTypeOf('object');
    const cells = (all: Record<string, object>) => ({ ...all['database us-1'], ...all['database us-2'] });
    // The undo schema of the restore is there too.
    expect(cells(removed(starter.certificate))).toMatchObject({ ...rows, schemas: 1, placements: 1 });
    expect(cells(removed(business.certificate))).toMatchObject({ schemas: 1, roles: 1, placements: 1 });
    expect(removed(business.certificate).secrets).toMatchObject({ secrets: expect.any(Number) });
    expect(removed(enterprise.certificate)['database dedicated']).toMatchObject(rows);
    expect(removed(enterprise.certificate)['dedicated database']).toEqual({
      'clusters with their automated backups, proxies and stacks': 1,
    });
    expect(removed(enterprise.certificate).keys).toEqual({ 'KMS keys of the tenant’s own': 1 });
    const key = enterprise.certificate.kept.find(({ store }) => store === 'keys');
    const days = (Date.parse(String(key?.until)) - Date.parse(enterprise.certificate.issuedAt)) / 86_400_000;
    expect(Math.round(days)).toBe(7);
    for (const { certificate } of Object.values(certificates)) {
      expect(certificate.finalExport).toMatchObject({ rows: expect.any(Number), sha256: expect.any(String) });
      expect(removed(certificate).bucket).toMatchObject({ 'objects of exports': 1 });
      expect(removed(certificate)['user pool']).toEqual({ accounts: 3 });
      expect(certificate.erased.every(({ verifiedAt, foundAt }) => verifiedAt >= foundAt)).toBe(true);
      const backups = certificate.kept.filter(({ what }) => what.startsWith('continuous backups'));
      expect(backups.every(({ until }) => Date.parse(String(until)) > Date.now())).toBe(true);
    }
  });

  test('are offboarded for good: no second time, no way back, and their slugs stay theirs', async () => {
    const { slug, tenantId } = tenants.starter;
    const { body } = await call('GET', `/tenants/${slug}`, { token });
    expect(body).toMatchObject({ tenantId, slug, status: 'offboarded', billingEmail: null, features: {} });
    expect((await offboard(slug)).status).toBe(409);
    expect((await call('POST', `/tenants/${slug}/offboarding/cancel`, { token })).status).toBe(409);
    const again = { name: 'Another one', slug, adminEmail: 'admin@another.test' };
    expect((await call('POST', '/tenants', { token, body: again })).status).toBe(409);
    const audit = await inRegistry(
      `select action from control_audit_log where tenant_id = $1 and action like 'offboarding.%' order by created_at`,
      [tenantId],
    );
    expect(audit.map(({ action }) => action)).toEqual([
      'offboarding.start',
      'offboarding.erase',
      'offboarding.finish',
    ]);
  });
});

describe('a tenant that stays', () => {
  test('is served again after a cancellation, with nothing lost', async () => {
    const { slug, tenantId } = await plant();
    const admin = await userToken(slug);
    const before = (await call('GET', '/employees', { token: admin })).body;
    expect((await call('GET', `/tenants/${slug}/offboarding`, { token })).status).toBe(404);
    expect((await call('POST', `/tenants/${slug}/offboarding/cancel`, { token })).status).toBe(409);
    const hold = async (legalHold: unknown) => {
      const { status, body } = await call('PATCH', `/tenants/${slug}`, { token, body: { legalHold } });
      return [status, body.legalHold];
    };
    expect(await hold('Doe v. Initech')).toEqual([200, 'Doe v. Initech']);
    expect((await call('GET', `/tenants/${slug}`, { token })).body.legalHold).toBe('Doe v. Initech');
    for (const wrong of ['', ' ', 5, 'x'.repeat(501)]) expect((await hold(wrong))[0]).toBe(400);
    const held = await offboard(slug);
    expect([held.status, held.body.type]).toEqual([409, 'urn:strata:problem:conflict']);
    expect(held.body.detail).toMatch(/has a legal hold/);
    expect(JSON.stringify(held.body)).not.toContain('Doe');
    expect((await call('GET', '/employees', { token: admin })).status).toBe(200);
    expect(await hold(null)).toEqual([200, null]);
    const asked = await offboardOnceIdle(slug);
    expect(asked.status).toBe(202);
    expect((await offboard(slug)).status).toBe(409);
    const refused = async () => (await call('GET', '/employees', { token: admin })).status === 403;
    await vi.waitUntil(refused, { timeout: 10_000, interval: 50 });
    for (const [path, body] of [
      ['moves', { targetTier: 'business' }],
      ['restores', { backupId: tenantId, mode: 'replace' }],
      ['key-rotations', {}],
    ] as const) {
      const { status } = await call('POST', `/tenants/${slug}/${path}`, { token, body });
      expect([404, 409], path).toContain(status);
    }
    expect((await call('GET', `/tenants/${slug}/erasure-certificate`, { token })).status).toBe(404);
    const cancelled = await call('POST', `/tenants/${slug}/offboarding/cancel`, { token });
    expect([cancelled.status, cancelled.body.status]).toEqual([200, 'aborted']);
    const execution = await executionOf(states, asked.body.executionArn);
    expect(execution.status).toBe('SUCCEEDED');
    // Each container learns of it by itself, so that one may answer before another does.
    await vi.waitFor(
      async () => expect((await call('GET', '/employees', { token: admin })).body).toEqual(before),
      { timeout: 10_000, interval: 50 },
    );
    const { body: tenant } = await call('GET', `/tenants/${slug}`, { token });
    expect(tenant.status).toBe('active');
  });
});

test('the daily run suspends a tenant whose subscription has ended, and serves it again when it is renewed', async () => {
  const slug = await onboardOwnTenant();
  const day = (days: number) => new Date(Date.now() + days * 86_400_000).toISOString().slice(0, 10);
  const end = async (subscriptionEndDate: string | null) => {
    const { status, body } = await call('PATCH', `/tenants/${slug}`, {
      token,
      body: { subscriptionEndDate },
    });
    expect([status, body.subscriptionEndDate]).toEqual([200, subscriptionEndDate]);
    const { code, out, error } = await strata(['tick', 'subscriptions'], {
      AWS_ENDPOINT_URL: platform().awsUrl,
    });
    expect([code, out.includes('"failures":0')], error + out).toEqual([0, true]);
    return (await call('GET', `/tenants/${slug}`, { token })).body;
  };
  expect((await end(day(3))).status).toBe('active');
  expect(await end(day(-20))).toMatchObject({ status: 'suspended', reason: 'The subscription has ended.' });
  expect(await end(day(300))).toMatchObject({ status: 'active', reason: null });
  expect((await end(null)).status).toBe('active');
  const wrong = { subscriptionEndDate: '2026-13-01' };
  expect((await call('PATCH', `/tenants/${slug}`, { token, body: wrong })).status).toBe(400);
});

test('bad input is refused, and changes nothing', async () => {
  const status = async (answer: Promise<{ status: number }>) => (await answer).status;
  expect(await status(offboard('nobody-at-all'))).toBe(404);
  expect(await status(call('GET', '/tenants/nobody-at-all/offboarding', { token }))).toBe(404);
  expect(await status(call('GET', '/tenants/nobody-at-all/erasure-certificate', { token }))).toBe(404);
  const headers = { 'if-match': '"other"' };
  expect(await status(call('DELETE', '/tenants/initech', { token, headers }))).toBe(412);
  const admin = await userToken('initech');
  expect(await status(call('DELETE', '/tenants/initech', { token: admin }))).toBe(403);
  const { body } = await call('GET', '/tenants/initech', { token });
  expect(body.status).toBe('active');
});
