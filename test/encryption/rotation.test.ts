import { randomUUID } from 'node:crypto';
import { CreateKeyCommand, DescribeKeyCommand, DisableKeyCommand, KMSClient } from '@aws-sdk/client-kms';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { generateDataKey, unwrapDataKey } from '../../functions/aws/data-keys.ts';
import { KeyUnavailable, WrappedKeyInvalid } from '../../functions/aws/errors.ts';
import { copyIn, copyKey, isMultiRegion } from '../../functions/aws/key-copies.ts';
import { deleteTenantKey, provideTenantKey } from '../../functions/aws/tenant-keys.ts';
import { keysOf } from '../../functions/offboarding/erase-place.ts';
import type { TenantAccess } from '../../functions/placement/tenant-router.ts';
import { findTenantKey } from '../../functions/registry/field-keys.ts';
import { getRotation } from '../../functions/registry/field-rotations.ts';
import { copyKeys } from '../../functions/rotations/copy-keys.ts';
import { RotationInProgress } from '../../functions/rotations/errors.ts';
import { requestRotation } from '../../functions/rotations/request-rotation.ts';
import { rotatePage } from '../../functions/rotations/rotate-values.ts';
import { type RunRotationsOptions, runRotations } from '../../functions/rotations/run-rotations.ts';
import type { Actor } from '../../functions/tenant-data/audit-log.ts';
import { employees } from '../../functions/tenant-data/employees.ts';
import { readValue } from '../../functions/tenant-data/encrypted-value.ts';
import { FieldCipher } from '../../functions/tenant-data/field-cipher.ts';
import { AlertRuns, overdueAtOnce } from '../alerts/alert-runs.ts';
import {
  type Container,
  createWorld,
  type Model,
  type World,
  type WorldTenant,
} from '../isolation/tenant-world.ts';
import type { RegistryOverPostgres } from '../registry-over-postgres.ts';
import { newEmployee } from '../request/tenant-requests.ts';
import { type LocalKeys, startLocalKeys } from './local-keys.ts';

const MODELS: readonly Model[] = ['shared', 'schema', 'dedicated'];
const ADMIN: Actor = {
  kind: 'user',
  userId: randomUUID(),
  name: 'admin@tenant.test',
  role: 'admin',
  ipAddress: undefined,
  userAgent: undefined,
};
const OPERATOR = { id: 'operator@strata.test', type: 'operator' } as const;

let keys: LocalKeys;
let world: World;
let registry: RegistryOverPostgres;
/** Another container than the one of the tenants' requests; it looks tenants up each time. */
let worker: Container;
beforeAll(async () => {
  keys = await startLocalKeys();
  world = await createWorld(1, { pooled: false });
  registry = await world.ownRegistry();
  worker = world.container({ freshForMs: 0 });
});
afterAll(async () => {
  await world?.end();
  await keys?.stop();
});

const tenantOf = (model: Model) => world.tenants.find((one) => one.isolationModel === model) as WorldTenant;

/** What the task runs, for one tenant. */
function run(tenantId: string, options: Partial<RunRotationsOptions> = {}) {
  return runRotations(registry, {
    region: 'us',
    regionKeyArn: keys.regionKeyArn,
    access: (id) => worker.access({ tenantId: id }),
    cipher: new FieldCipher(),
    deadline: performance.now() + 30_000,
    settleSeconds: 0,
    tenantId,
    onFailure: (_tenantId, error) => {
      throw error;
    },
    ...options,
  });
}

async function addEmployees(tenant: TenantAccess, count: number): Promise<string[]> {
  const ids: string[] = [];
  for (let n = 0; n < count; n++) {
    const { answer } = await employees.create(tenant, ADMIN, {
      values: { email: newEmployee().email, first_name: 'A', last_name: 'B', ssn: `ssn ${n}`, salary: n },
      parents: {},
      locate: (id) => `/employees/${id}`,
      idempotency: undefined,
    });
    ids.push((answer.body as { employeeId: string }).employeeId);
  }
  return ids;
}

interface Stored {
  readonly employee_id: string;
  readonly ssn_encrypted: Buffer | null;
  readonly salary_encrypted: Buffer | null;
  readonly updated_at: unknown;
}

async function storedRows(tenant: WorldTenant): Promise<Stored[]> {
  const superuser = await tenant.database.connect('superuser');
  const { rows } = await superuser.query<Stored>(
    `SELECT employee_id, ssn_encrypted, salary_encrypted, updated_at FROM ${tenant.schemaName}.employees
     WHERE ssn_encrypted IS NOT NULL ORDER BY employee_id`,
  );
  await superuser.end();
  return rows;
}

async function keysInUse(tenant: WorldTenant): Promise<Set<string>> {
  const rows = await storedRows(tenant);
  const values = rows.flatMap((row) => [row.ssn_encrypted, row.salary_encrypted]);
  return new Set(values.flatMap((value) => (value ? [readValue(value).keyArn] : [])));
}

/** As a move from a place with another key leaves them. */
async function encryptUnder(tenant: WorldTenant, keyArn: string): Promise<void> {
  const cipher = new FieldCipher();
  for (let after: string | undefined; ; ) {
    const page = await rotatePage(tenant.access, { cipher, after, keyArn, staleBefore: 0 });
    after = page.last;
    if (after === undefined) return;
  }
}

const shown = async (tenant: WorldTenant) =>
  new Map(
    (await employees.list(tenant.access, { equals: {} }, { limit: 200, cursor: undefined }, ADMIN)).items.map(
      ({ employeeId, ssn, salary, updatedAt }) => [employeeId, { ssn, salary, updatedAt }],
    ),
  );

describe.each(MODELS)('in %s', (model) => {
  let tenant: WorldTenant;
  let ids: string[];
  beforeAll(async () => {
    tenant = tenantOf(model);
    ids = await addEmployees(tenant.access, 7);
    await run(tenant.tenantId);
  });
  beforeEach(async () => {
    await run(tenant.tenantId);
  });

  test('values go under the key of the place; an Enterprise tenant gets one of its own', async () => {
    const own = await findTenantKey(registry, tenant.tenantId);
    expect(own !== undefined).toBe(model === 'dedicated');
    expect(await keysInUse(tenant)).toEqual(new Set([own ?? keys.regionKeyArn]));
    // New values too, as soon as the directory knows the key.
    const [id] = await addEmployees(worker.access(tenant), 1);
    const row = (await storedRows(tenant)).find(({ employee_id }) => employee_id === id);
    expect(readValue(row?.ssn_encrypted as Buffer).keyArn).toBe(own ?? keys.regionKeyArn);
  });

  test('nothing is due again until the place, the key or the age changes', async () => {
    const count = async () => {
      const [row] = await registry.query<{ n: number }>(
        'SELECT count(*)::int AS n FROM field_rotations WHERE tenant_id = :id::uuid',
        { id: tenant.tenantId },
      );
      return row?.n;
    };
    const before = await count();
    await run(tenant.tenantId);
    expect(await count()).toBe(before);
    await registry.query(
      `UPDATE field_rotations SET finished_at = now() - interval '91 days', started_at = started_at - interval '91 days'
       WHERE tenant_id = :id::uuid`,
      { id: tenant.tenantId },
    );
    await run(tenant.tenantId);
    expect(await count()).toBe((before ?? 0) + 1);
  });

  test('a rotation that is cut off after each page goes on behind it, and both keys serve meanwhile', async () => {
    await encryptUnder(tenant, await keys.newKey());
    const before = await shown(tenant);
    // The move that has brought the tenant here, as the registry shows it.
    await registry.query('UPDATE field_rotations SET epoch = epoch - 1 WHERE tenant_id = :id::uuid', {
      id: tenant.tenantId,
    });
    let pages = 0;
    for (;;) {
      const { completed, continued } = await run(tenant.tenantId, {
        deadline: performance.now() + 1,
        rowsPerPage: 2,
      });
      expect(await shown(tenant)).toEqual(before);
      if (completed > 0) break;
      expect(continued).toBeLessThanOrEqual(1);
      expect(++pages).toBeLessThan(30);
    }
    expect(pages).toBeGreaterThan(2);
    const own = (await findTenantKey(registry, tenant.tenantId)) ?? keys.regionKeyArn;
    expect(await keysInUse(tenant)).toEqual(new Set([own]));
  });

  test('on request all values get fresh data keys, their tags and times stay, and no write in between is lost', async () => {
    const before = await storedRows(tenant);
    const tags = new Map<string, string>();
    for (const id of ids) tags.set(id, (await employees.get(tenant.access, { employee_id: id })).etag);
    const rotationId = await requestRotation(registry, tenant.tenantId, { actor: OPERATOR, region: 'us' });
    await expect(
      requestRotation(registry, tenant.tenantId, { actor: OPERATOR, region: 'us' }),
    ).rejects.toThrow(RotationInProgress);
    const [raised, ...others] = ids as [string, ...string[]];
    let writes = 0;
    let stop = false;
    const writer = (async () => {
      const access = worker.access(tenant);
      while (!stop) {
        writes += 1;
        await employees.update(access, ADMIN, { employee_id: raised }, { salary: writes }, undefined);
      }
    })();
    for (;;) {
      const { completed } = await run(tenant.tenantId, { deadline: performance.now() + 1, rowsPerPage: 1 });
      if (completed > 0) break;
    }
    stop = true;
    await writer;
    const { item } = await employees.get(tenant.access, { employee_id: raised }, ADMIN);
    expect(item.salary).toBe(writes);
    expect(writes).toBeGreaterThan(1);
    const after = await storedRows(tenant);
    for (const id of others) {
      const [old, fresh] = [before, after].map((rows) => rows.find(({ employee_id }) => employee_id === id));
      const wrapped = (row: Stored | undefined) => readValue(row?.ssn_encrypted as Buffer).wrappedKey;
      expect(wrapped(fresh).equals(wrapped(old))).toBe(false);
      expect(fresh?.updated_at).toEqual(old?.updated_at);
      expect((await employees.get(tenant.access, { employee_id: id })).etag).toBe(tags.get(id));
    }
    const view = await getRotation(registry, tenant.tenantId, rotationId);
    expect(view).toMatchObject({ cause: 'request', status: 'succeeded', valuesDamaged: 0 });
    expect(view.valuesDone).toBeGreaterThanOrEqual(2 * others.length);
  });

  test('a value that is replaced between the read and the write of a page is kept', async () => {
    const otherKey = await keys.newKey();
    const cipher = new FieldCipher();
    const [id] = ids as [string];
    // The write comes when the page has been read and its values are being encrypted.
    const racing = Object.assign(Object.create(cipher) as FieldCipher, {
      reseal: async (...parameters: Parameters<FieldCipher['reseal']>) => {
        const fresh = await cipher.reseal(...parameters);
        if (parameters[0].row === id && parameters[0].column === 'salary_encrypted') {
          await employees.update(tenant.access, ADMIN, { employee_id: id }, { salary: 77.77 }, undefined);
        }
        return fresh;
      },
    });
    const page = await rotatePage(tenant.access, {
      cipher: racing,
      after: undefined,
      keyArn: otherKey,
      staleBefore: 0,
      rows: 200,
    });
    expect(page.done).toBeGreaterThan(0);
    expect((await employees.get(tenant.access, { employee_id: id }, ADMIN)).item.salary).toBe(77.77);
    await encryptUnder(tenant, (await findTenantKey(registry, tenant.tenantId)) ?? keys.regionKeyArn);
  });

  test('a value that cannot be opened is counted and left, and the others are done', async () => {
    const [id] = await addEmployees(tenant.access, 1);
    const superuser = await tenant.database.connect('superuser');
    const garbage = Buffer.from('not a value');
    await superuser.query(
      `UPDATE ${tenant.schemaName}.employees SET ssn_encrypted = $2 WHERE employee_id = $1`,
      [id, garbage],
    );
    const rotationId = await requestRotation(registry, tenant.tenantId, { actor: OPERATOR, region: 'us' });
    const damaged: string[] = [];
    await run(tenant.tenantId, { onDamaged: (_tenantId, { message }) => damaged.push(message) });
    expect(await getRotation(registry, tenant.tenantId, rotationId)).toMatchObject({
      status: 'succeeded',
      valuesDamaged: 1,
    });
    expect(damaged).toHaveLength(1);
    const rows = await storedRows(tenant);
    expect(rows.find(({ employee_id }) => employee_id === id)?.ssn_encrypted).toEqual(garbage);
    await superuser.query(`DELETE FROM ${tenant.schemaName}.employees WHERE employee_id = $1`, [id]);
  });

  test('alert work-overdue: while KMS refuses the key, a rotation fails without a change and goes on later', async () => {
    const own = (await findTenantKey(registry, tenant.tenantId)) ?? keys.regionKeyArn;
    const rotationId = await requestRotation(registry, tenant.tenantId, { actor: OPERATOR, region: 'us' });
    // Also data keys of this second are older.
    await registry.query(
      `UPDATE field_rotations SET stale_before = now() + interval '5 seconds' WHERE rotation_id = :id::uuid`,
      { id: rotationId },
    );
    const before = await storedRows(tenant);
    await keys.disable(own);
    const failures: unknown[] = [];
    try {
      await run(tenant.tenantId, { onFailure: (_tenantId, error) => failures.push(error) });
    } finally {
      await keys.enable(own);
    }
    expect(failures).toHaveLength(1);
    expect(await storedRows(tenant)).toEqual(before);
    const alert = await new AlertRuns(registry).opensOnceAndEnds({
      about: tenant.tenantId,
      kind: 'work-overdue',
      run: overdueAtOnce('key-rotation'),
      end: () => run(tenant.tenantId),
    });
    expect(alert.details).toEqual({ work: 'key-rotation', id: rotationId });
    expect(await getRotation(registry, tenant.tenantId, rotationId)).toMatchObject({ status: 'succeeded' });
  });
});

test('a rotation under another key looks once more when requests of the former place have ended', async () => {
  const tenant = tenantOf('schema');
  await run(tenant.tenantId);
  await registry.query('UPDATE field_rotations SET epoch = epoch - 1 WHERE tenant_id = :id::uuid', {
    id: tenant.tenantId,
  });
  expect(await run(tenant.tenantId, { settleSeconds: 60 })).toMatchObject({ completed: 0, continued: 1 });
  // It was encrypted under the former key by a request that began before the move.
  await encryptUnder(tenant, await keys.newKey());
  expect(await run(tenant.tenantId, { settleSeconds: 0 })).toMatchObject({ completed: 1 });
  expect(await keysInUse(tenant)).toEqual(new Set([keys.regionKeyArn]));
});

describe('a region whose keys are copied to a second AWS region', () => {
  const copiedTo = 'us-west-2';
  const copy = (regionKeyArn: string, onFailure: (tenantId: string | undefined) => void = () => {}) =>
    copyKeys(registry, {
      region: 'us',
      regionKeyArn,
      copiedTo,
      deadline: performance.now() + 30_000,
      onFailure,
    });
  const there = () => new KMSClient({ region: copiedTo });
  const stateThere = async (keyArn: string) => {
    const { KeyMetadata } = await there().send(new DescribeKeyCommand({ KeyId: copyIn(copiedTo, keyArn) }));
    return KeyMetadata?.KeyState;
  };
  const multiRegionKey = async (region = 'us-east-1') => {
    const { KeyMetadata } = await new KMSClient({ region }).send(new CreateKeyCommand({ MultiRegion: true }));
    return KeyMetadata?.Arn as string;
  };

  test('replaces a tenant’s key that cannot be copied, encrypts again under the new one, and copies it', async () => {
    const tenant = tenantOf('dedicated');
    // As an earlier release has made it.
    const former = await keys.newKey();
    await registry.query(
      'UPDATE tenant_field_keys SET key_arn = :former WHERE tenant_id = :id::uuid AND retired_at IS NULL',
      { former, id: tenant.tenantId },
    );
    await encryptUnder(tenant, former);
    const before = await shown(tenant);
    const regionKeyArn = await multiRegionKey();
    await run(tenant.tenantId, { regionKeyArn, copiedTo });
    const own = (await findTenantKey(registry, tenant.tenantId)) as string;
    expect([isMultiRegion(former), isMultiRegion(own)]).toEqual([false, true]);
    expect(await keysInUse(tenant)).toEqual(new Set([own]));
    expect(await shown(tenant)).toEqual(before);
    // The former one is still the tenant's, for its backups, and is deleted with it.
    expect(await keysOf(registry, tenant.tenantId)).toEqual(expect.arrayContaining([former, own]));

    expect(await copy(regionKeyArn)).toBe(1);
    expect(await Promise.all([stateThere(regionKeyArn), stateThere(own)])).toEqual(['Enabled', 'Enabled']);
    expect(await copy(regionKeyArn)).toBe(0);
    // The record of a copy was lost with a container, or was not written by an earlier release.
    await registry.query('UPDATE tenant_field_keys SET copied_to = NULL');
    expect(await copy(regionKeyArn)).toBe(1);
    expect(await run(tenant.tenantId, { regionKeyArn, copiedTo })).toMatchObject({ values: 0 });
  });

  test('reports a key that cannot be copied, and copies the others', async () => {
    const tenant = tenantOf('dedicated');
    const own = (await findTenantKey(registry, tenant.tenantId)) as string;
    await registry.query('UPDATE tenant_field_keys SET copied_to = NULL');
    const failed: (string | undefined)[] = [];
    await keys.disable(own);
    try {
      expect(await copy(keys.regionKeyArn, (tenantId) => failed.push(tenantId))).toBe(0);
    } finally {
      await keys.enable(own);
    }
    // The region's key is of one region: no deployment gives such a one to be copied.
    expect(failed).toEqual([undefined, tenant.tenantId]);
  });

  test('is read where its copies are, while nothing of the region itself answers', async () => {
    // The lost region is the other one here: this process is in the region of the copies.
    const lost = await multiRegionKey(copiedTo);
    const { plaintext, wrapped } = await generateDataKey(lost, 'a tenant');
    await copyKey(lost, 'us-east-1', undefined);
    await there().send(new DisableKeyCommand({ KeyId: lost }));
    expect((await unwrapDataKey(lost, wrapped, 'a tenant')).equals(plaintext)).toBe(true);
    await expect(unwrapDataKey(lost, wrapped, 'another tenant')).rejects.toThrow(WrappedKeyInvalid);
    // Without a copy, the region itself is asked.
    const elsewhere = await multiRegionKey(copiedTo);
    const other = await generateDataKey(elsewhere, 'a tenant');
    expect((await unwrapDataKey(elsewhere, other.wrapped, 'a tenant')).equals(other.plaintext)).toBe(true);
  });

  test('an erasure deletes a tenant’s key with its copies: neither decrypts from then on', async () => {
    const keyArn = await provideTenantKey('11111111-1111-4111-8111-111111111111');
    const { wrapped } = await generateDataKey(keyArn, 'a tenant');
    await copyKey(keyArn, copiedTo, '11111111-1111-4111-8111-111111111111');
    const erase = () => deleteTenantKey(keyArn, '11111111-1111-4111-8111-111111111111', 7);
    const leaving = await erase();
    expect(leaving.map((key) => key.keyArn)).toEqual([keyArn, copyIn(copiedTo, keyArn)]);
    const [own, copied] = leaving.map(({ deletedAt }) => deletedAt?.getTime() ?? 0) as [number, number];
    // KMS counts the days of a key when its copies are gone.
    expect(own - copied).toBe(7 * 86_400_000);
    expect(await erase()).toEqual(leaving);
    expect(await stateThere(keyArn)).toBe('PendingDeletion');
    await expect(unwrapDataKey(keyArn, wrapped, 'a tenant')).rejects.toThrow(KeyUnavailable);
    await expect(copyKey(keyArn, 'eu-west-1', undefined)).rejects.toMatchObject({
      name: 'KMSInvalidStateException',
    });
  });
});
