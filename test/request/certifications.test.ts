import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { asTenant } from '../enter-tenant.ts';
import { MODELS, TenantRequests } from './tenant-requests.ts';

let api: TenantRequests;
beforeAll(async () => {
  api = await TenantRequests.start();
});
afterAll(() => api?.world.end());

const ITEM = '/certifications/{certificationId}';

describe.each(MODELS)('a certification in %s', (model) => {
  const add = (body: object) => api.call(model, 'POST /certifications', { body });
  const patch = (certificationId: string, body: object) =>
    api.call(model, `PATCH ${ITEM}`, { pathParameters: { certificationId }, body });
  const names = async (query: Record<string, string>) =>
    (await api.call(model, 'GET /certifications', { query })).body.items.map(
      (item: { certificationName: string }) => item.certificationName,
    );

  test('is created, read, changed and deleted', async () => {
    const body = {
      employeeId: await api.addEmployee(model),
      certificationName: 'Chartered Engineer',
      issuingOrganization: 'Council',
      issueDate: '2024-02-29',
      expiryDate: '2026-02-28',
      credentialId: 'C-1',
      credentialUrl: 'https://council.test/C-1?a=b',
      verificationStatus: 'pending',
    };
    const created = await add(body);
    expect([created.status, created.body]).toEqual([201, expect.objectContaining(body)]);
    const { certificationId } = created.body;
    const changed = await patch(certificationId, { verificationStatus: 'verified', credentialUrl: null });
    expect(changed.body).toEqual({
      ...created.body,
      verificationStatus: 'verified',
      credentialUrl: null,
    });
    expect((await patch(certificationId, { employeeId: randomUUID() })).status).toBe(400);
    const item = { pathParameters: { certificationId } };
    expect((await api.call(model, `GET ${ITEM}`, item)).body).toEqual(changed.body);
    expect((await api.call(model, `DELETE ${ITEM}`, item)).status).toBe(204);
    expect((await api.call(model, `GET ${ITEM}`, item)).status).toBe(404);
  });

  test('does not expire before its issue', async () => {
    const employeeId = await api.addEmployee(model);
    const base = { employeeId, certificationName: 'C' };
    const refused = await add({ ...base, issueDate: '2025-01-02', expiryDate: '2025-01-01' });
    expect([refused.status, refused.body.errors]).toEqual([
      400,
      [{ pointer: '/expiryDate', detail: 'must not be before the issue date' }],
    ]);
    const { certificationId } = (await add({ ...base, issueDate: '2025-01-01' })).body;
    expect((await patch(certificationId, { expiryDate: '2024-12-31' })).status).toBe(400);
    expect((await patch(certificationId, { expiryDate: '2025-01-01' })).status).toBe(200);
    expect((await patch(certificationId, { issueDate: '2025-01-02' })).status).toBe(400);
    expect((await patch(certificationId, { issueDate: '2026-01-02', expiryDate: '2026-01-02' })).status).toBe(
      200,
    );
    // The table holds the rule as well.
    const tenant = api.tenant(model);
    const client = await tenant.database.connect(tenant.login);
    const behindTheApi = asTenant(client, tenant, 'write', () =>
      client.query(`UPDATE certifications SET expiry_date = '2000-01-01' WHERE certification_id = $1`, [
        certificationId,
      ]),
    );
    await expect(behindTheApi).rejects.toMatchObject({
      code: '23514',
      constraint: 'certifications_dates_check',
    });
    await client.end();
  });

  test('is listed by employee, state, text and expiry', async () => {
    const employeeId = await api.addEmployee(model);
    const days = ['2026-01-01', '2026-06-01', null];
    for (const [n, expiryDate] of days.entries()) {
      const verificationStatus = n === 0 ? 'verified' : 'unverified';
      await add({ employeeId, certificationName: `Certificate ${n}`, expiryDate, verificationStatus });
    }
    expect(await names({ employeeId })).toHaveLength(3);
    expect(await names({ employeeId, expiringBefore: '2026-06-01' })).toEqual(['Certificate 0']);
    expect(await names({ employeeId, expiringBefore: '2026-06-02', sort: '-expiryDate' })).toEqual([
      'Certificate 1',
      'Certificate 0',
    ]);
    expect(await names({ employeeId, verificationStatus: 'verified' })).toEqual(['Certificate 0']);
    expect(await names({ employeeId, q: 'CATE 2' })).toEqual(['Certificate 2']);
    expect(await names({ employeeId: randomUUID() })).toEqual([]);
    const answer = await api.call(model, 'GET /certifications', { query: { expiringBefore: '2026-02-30' } });
    expect([answer.status, answer.body.errors[0].parameter]).toEqual([400, 'expiringBefore']);
  });

  test.each(['javascript:alert(1)', 'ftp://a.test', 'https://', 'http://a b', 'council.test', 7])(
    'links to no %s',
    async (credentialUrl) => {
      const employeeId = await api.addEmployee(model);
      const answer = await add({ employeeId, certificationName: 'C', credentialUrl });
      expect([answer.status, answer.body.errors[0].pointer]).toEqual([400, '/credentialUrl']);
    },
  );
});
