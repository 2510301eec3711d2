/** Encrypted fields on the running platform: its functions, their rights, KMS, moves and backups together. */
import { zstdDecompressSync } from 'node:zlib';
import { InvokeCommand, LambdaClient, ListFunctionsCommand } from '@aws-sdk/client-lambda';
import { GetObjectCommand } from '@aws-sdk/client-s3';
import { beforeAll, expect, test, vi } from 'vitest';
import { readValue } from '../../functions/tenant-data/encrypted-value.ts';
import { BackupBucketView, databaseOf, inRegistry } from './backup-runs.ts';
import { MovingTenant } from './moving-tenant.ts';
import { administrator } from './platform-databases.ts';
import { backUp } from './restore-runs.ts';
import { ASK_EVERY_MS, call, newEmployee, operatorToken, platform, userToken } from './running-platform.ts';

const SSN = '078-05-1120';
const SALARY = 91_234.56;
const CLEAR = [SSN, '91234.56'];

let lambda: LambdaClient;
let worker: string;
beforeAll(async () => {
  lambda = new LambdaClient(administrator(platform().awsUrl));
  const { Functions = [] } = await lambda.send(new ListFunctionsCommand({}));
  worker =
    Functions.find(({ FunctionName = '' }) => FunctionName.includes('FieldRotation'))?.FunctionName ?? '';
});

/** What the schedule does each minute, for one tenant. */
async function rotate(tenantId: string): Promise<{ completed: number; values: number; failures: number }> {
  const { Payload, FunctionError } = await lambda.send(
    new InvokeCommand({
      FunctionName: worker,
      Payload: Buffer.from(JSON.stringify({ tenantId, settleSeconds: 0 })),
    }),
  );
  const result = JSON.parse(Buffer.from(Payload ?? []).toString());
  expect(FunctionError, JSON.stringify(result)).toBeUndefined();
  return result;
}

/** ARNs of the KMS keys of the tenant's stored values, and the bytes. */
async function storedValues(tenantId: string) {
  const { client, schema } = await databaseOf(tenantId);
  try {
    const { rows } = await client.query<{ ssn_encrypted: Buffer; salary_encrypted: Buffer }>(
      `SELECT ssn_encrypted, salary_encrypted FROM ${schema}.employees WHERE ssn_encrypted IS NOT NULL
         ${schema === 'shared' ? 'AND tenant_id = $1' : ''}`,
      schema === 'shared' ? [tenantId] : [],
    );
    const values = rows.flatMap((row) => [row.ssn_encrypted, row.salary_encrypted]);
    return { values, keys: [...new Set(values.map((value) => readValue(value).keyArn))] };
  } finally {
    await client.end();
  }
}

test('a tenant’s values can be read at every moment of its moves up and down, and end under the key of its place', async () => {
  const tenant = await MovingTenant.create();
  const { tenantId, slug } = tenant;
  const admin = await userToken(slug);
  const viewer = await userToken(slug, 'viewer');
  const ids: string[] = [];
  for (let n = 0; n < 3; n++) {
    const { status, body } = await call('POST', '/employees', {
      token: admin,
      body: newEmployee({ ssn: SSN, salary: SALARY }),
    });
    expect(status, JSON.stringify(body)).toBe(201);
    ids.push(body.employeeId);
  }
  const tagOf = async () =>
    (await call('GET', `/employees/${ids[0]}`, { token: viewer })).headers.get('etag');
  const tag = await tagOf();
  const readable = async () => {
    const { status, body } = await call('GET', '/employees', { token: admin });
    expect(status, JSON.stringify(body)).toBe(200);
    for (const item of body.items) expect(item).toMatchObject({ ssn: SSN, salary: SALARY });
    const seen = await call('GET', '/employees', { token: viewer });
    expect(Object.keys(seen.body.items[0])).not.toContain('ssn');
  };
  await readable();
  const { keys: shared } = await storedValues(tenantId);
  expect(shared).toHaveLength(1);

  const up = await tenant.move({ targetTier: 'enterprise' });
  expect(up, JSON.stringify(up)).toMatchObject({ status: 'succeeded' });
  await readable();
  await rotate(tenantId);
  const { keys: own } = await storedValues(tenantId);
  expect(own).toEqual([
    (await inRegistry('SELECT key_arn FROM tenant_field_keys WHERE tenant_id = $1', [tenantId]))[0]?.key_arn,
  ]);
  expect(own).not.toEqual(shared);
  await readable();
  expect(await tagOf()).toBe(tag);

  // A backup has the ciphertexts, and nothing of the texts.
  const { backupId } = await backUp(slug);
  const bucket = new BackupBucketView();
  const objects = await bucket.objects(`tenant-backups/enterprise/${tenantId}/${backupId}/`);
  const { values } = await storedValues(tenantId);
  let found = false;
  for (const Key of objects) {
    const { Body } = await bucket.client.send(new GetObjectCommand({ Bucket: await bucket.name(), Key }));
    const stored = Buffer.from((await Body?.transformToByteArray()) ?? []);
    const bytes = Key.endsWith('.json') ? stored : zstdDecompressSync(stored);
    for (const text of CLEAR) expect(bytes.includes(text), Key).toBe(false);
    found ||= bytes.includes(values[0] as Buffer);
  }
  expect(found).toBe(true);

  const down = await tenant.move({ targetTier: 'starter' });
  expect(down, JSON.stringify(down)).toMatchObject({ status: 'succeeded' });
  await readable();
  await rotate(tenantId);
  expect((await storedValues(tenantId)).keys).toEqual(shared);
  await readable();
  expect(await tagOf()).toBe(tag);
});

test('an operator has all values encrypted again, and follows that', async () => {
  const tenant = await MovingTenant.create({ tier: 'business' });
  const { tenantId, slug } = tenant;
  const admin = await userToken(slug);
  const token = await operatorToken();
  await call('POST', '/employees', { token: admin, body: newEmployee({ ssn: SSN, salary: SALARY }) });
  await rotate(tenantId);
  const before = await storedValues(tenantId);
  const path = `/tenants/${slug}/key-rotations`;
  const asked = await call('POST', path, { token, headers: { 'idempotency-key': slug } });
  expect(asked.status, JSON.stringify(asked.body)).toBe(202);
  expect(asked.body).toMatchObject({
    tenantId,
    cause: 'request',
    status: 'running',
    startedBy: expect.any(String),
  });
  const again = await call('POST', path, { token, headers: { 'idempotency-key': slug } });
  expect([again.status, again.body.rotationId]).toEqual([202, asked.body.rotationId]);
  const location = String(asked.headers.get('location'));
  expect(location).toBe(`/tenants/${tenantId}/key-rotations/${asked.body.rotationId}`);
  const ended = await vi.waitUntil(
    async () => {
      await rotate(tenantId);
      const { body } = await call('GET', location, { token });
      return body.status === 'running' ? undefined : body;
    },
    { timeout: 60_000, interval: ASK_EVERY_MS },
  );
  expect(ended).toMatchObject({ status: 'succeeded', valuesDone: 2, valuesDamaged: 0 });
  const after = await storedValues(tenantId);
  expect(after.values.some((value) => before.values.some((old) => old.equals(value)))).toBe(false);
  const list = await call('GET', path, { token });
  expect(list.body.items.at(-1)).toEqual(ended);
  expect((await call('GET', path, { token: admin })).status).toBe(403);
  expect((await call('POST', path, { token, body: { extra: 1 } })).status).toBe(400);
  const unknown = `${path}/00000000-0000-4000-8000-000000000000`;
  expect((await call('GET', unknown, { token })).status).toBe(404);
});
