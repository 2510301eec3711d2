import { beforeAll, expect, test, vi } from 'vitest';
import { databaseOf } from './backup-runs.ts';
import { MovingTenant } from './moving-tenant.ts';
import { askRestore, backUp, restoreEnded, rowsOf } from './restore-runs.ts';
import {
  call,
  newEmployee,
  operatorToken,
  token as printedToken,
  unique,
  userToken,
} from './running-platform.ts';

let token: string;
beforeAll(async () => {
  token = await operatorToken();
});

const named = /Lovelace|@example\.test/;
const SSN = '078-05-1120';

/** Without what is encrypted: in a clone it is encrypted again. */
const plain = (rows: Record<string, unknown[]>) => ({
  ...rows,
  employees: (rows.employees as Record<string, unknown>[]).map(
    ({ ssn_encrypted: _, salary_encrypted: __, ...row }) => row,
  ),
});
const fieldsOf = (items: { ssn: unknown; salary: unknown }[]) =>
  items.map(({ ssn, salary }) => `${ssn} ${salary}`).sort();

test.each([
  ['starter', false],
  ['business', true],
] as const)('a %s tenant is cloned for support, masked: %s', async (tier, mask) => {
  const source = await MovingTenant.create({ tier });
  const user = await userToken(source.slug);
  for (let n = 0; n < 3; n++) {
    await call('POST', '/employees', { token: user, body: newEmployee({ ssn: SSN, salary: 1000.5 + n }) });
  }
  const { backupId } = await backUp(source.slug);
  const before = await rowsOf(source.tenantId);
  const slug = unique('clone');
  const body = { backupId, mode: 'clone', slug, adminEmail: `admin@${slug}.test`, mask };
  const headers = { 'idempotency-key': unique('clone') };
  if (mask) await stopClone(source.slug, body);

  const asked = await askRestore(source.slug, body, { headers });
  expect(asked.status, JSON.stringify(asked.body)).toBe(202);
  const repeated = await askRestore(source.slug, body, { headers });
  expect([repeated.status, repeated.body.restoreId, repeated.headers.get('location')]).toEqual([
    202,
    asked.body.restoreId,
    asked.headers.get('location'),
  ]);
  const restored = await restoreEnded(String(asked.headers.get('location')));

  expect(restored).toMatchObject({
    status: 'succeeded',
    reason: null,
    mode: 'clone',
    cloneOf: source.tenantId,
    mask,
    discarded: null,
    canBeUndone: false,
  });
  const clone = (await call('GET', `/tenants/${slug}`, { token })).body;
  expect(clone).toMatchObject({ status: 'active', tier, cloneOf: source.tenantId });
  expect(await rowsOf(source.tenantId)).toEqual(before);
  const rows = await rowsOf(clone.tenantId);
  const admin = await printedToken('--tenant', slug, '--user', `admin@${slug}.test`);
  const seen = await call('GET', '/employees', { token: admin });
  expect([seen.status, seen.body.items.length]).toEqual([200, before.employees!.length]);
  expect((await call('POST', '/employees', { token: admin, body: newEmployee() })).status).toBe(201);
  const log = await auditOf(clone.tenantId);
  if (!mask) {
    expect(plain(rows)).toEqual(plain(before));
    expect(fieldsOf(seen.body.items)).toEqual([0, 1, 2].map((n) => `${SSN} ${1000.5 + n}`));
    const [original] = before.employees as Record<string, unknown>[];
    const [cloned] = rows.employees as Record<string, unknown>[];
    expect(cloned?.ssn_encrypted).not.toBe(original?.ssn_encrypted);
    expect(log.some((action) => action === 'employee.create')).toBe(true);
  } else {
    expect(JSON.stringify(seen.body)).not.toMatch(named);
    expect(JSON.stringify(rows)).not.toMatch(named);
    for (const employee of rows.employees as Record<string, unknown>[]) {
      expect(employee).toMatchObject({
        first_name: 'Masked',
        last_name: 'Masked',
        email: `masked-${employee.employee_id}@masked.invalid`,
        ssn_encrypted: null,
        salary_encrypted: null,
      });
    }
    // Only what was done in the clone, and the scheduled verification of another test.
    expect(log.filter((action) => action !== 'audit.verify')).toEqual(['employee.create']);
  }
  const refused = await askRestore(clone.tenantId, {}, { undoOf: restored.restoreId });
  expect(refused.status).toBe(409);
});

/** The restore of a clone that is stopped leaves a tenant that is not served, because its tables are empty. */
async function stopClone(sourceSlug: string, body: { slug: string; adminEmail: string }): Promise<void> {
  const asked = await askRestore(sourceSlug, body);
  const location = String(asked.headers.get('location'));
  expect((await call('POST', `${location}/abort`, { token })).status).toBe(202);
  expect((await restoreEnded(location)).status).toBe('aborted');
  const clone = async () => (await call('GET', `/tenants/${body.slug}`, { token })).body;
  await vi.waitFor(async () => expect((await clone()).status).not.toBe('provisioning'), {
    timeout: 20_000,
    interval: 100,
  });
  expect(await clone()).toMatchObject({
    status: 'suspended',
    reason: 'The clone is empty. It is served when its restore has succeeded.',
  });
  const admin = await printedToken('--tenant', body.slug, '--user', body.adminEmail);
  expect((await call('GET', '/employees', { token: admin })).body.type).toBe(
    'urn:strata:problem:tenant-suspended',
  );
  // Another administrator is another request.
  expect((await askRestore(sourceSlug, { ...body, adminEmail: 'other@x.test' })).status).toBe(409);
}

async function auditOf(tenantId: string): Promise<string[]> {
  const { client, schema } = await databaseOf(tenantId);
  const { rows } = await client.query<{ action: string }>(
    `SELECT action FROM ${schema}.audit_log ${schema === 'shared' ? 'WHERE tenant_id = $1' : ''}`,
    schema === 'shared' ? [tenantId] : [],
  );
  await client.end();
  return rows.map(({ action }) => action);
}
