import { text as textOf } from 'node:stream/consumers';
import { to as copyTo } from 'pg-copy-streams';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { FieldCipher } from '../../functions/tenant-data/field-cipher.ts';
import { sampled } from '../full-run.ts';
import type { Model } from '../isolation/tenant-world.ts';
import {
  ADMIN,
  type Answer,
  MODELS,
  newEmployee,
  type RequestParts,
  TenantRequests,
} from '../request/tenant-requests.ts';
import { type LocalKeys, startLocalKeys } from './local-keys.ts';

const SSN = '078-05-1120';
const SALARY = 91_234.56;
/** Texts that must be nowhere but in answers to administrators. */
const CLEAR = [SSN, '91234.56'];

type Role = 'admin' | 'member' | 'viewer';

let keys: LocalKeys;
let api: TenantRequests;
beforeAll(async () => {
  keys = await startLocalKeys();
  api = await TenantRequests.start();
  for (const { tenantId } of api.world.tenants) {
    for (const role of ['member', 'viewer']) {
      await api.world.registry.query(
        `INSERT INTO tenant_users (tenant_id, email, role) VALUES (:tenantId::uuid, :email, :role)`,
        { tenantId, email: emailOf(role as Role), role },
      );
    }
  }
});
afterAll(async () => {
  await api?.world.end();
  await keys?.stop();
});

const emailOf = (role: Role) => (role === 'admin' ? ADMIN : `${role}@tenant.test`);

function call(
  model: Model,
  role: Role | 'operator',
  route: string,
  parts: RequestParts = {},
): Promise<Answer> {
  const { tenantId } = api.tenant(model);
  if (role === 'operator') {
    const claims = { sub: 'o', email: 'o@strata.test', scope: 'strata/operator' };
    return api.call(model, route, {
      claims,
      headers: { 'x-tenant-id': tenantId, ...parts.headers },
      ...parts,
    });
  }
  return api.call(model, route, {
    claims: { sub: 'u', email: emailOf(role), tenant_id: tenantId },
    ...parts,
  });
}

const read = (model: Model, role: Role | 'operator', employeeId: string) =>
  call(model, role, 'GET /employees/{employeeId}', { pathParameters: { employeeId } });

async function create(model: Model, fields: object = { ssn: SSN, salary: SALARY }): Promise<Answer> {
  const answer = await call(model, 'admin', 'POST /employees', { body: { ...newEmployee(), ...fields } });
  expect(answer.status, answer.text).toBe(201);
  return answer;
}

/** The stored columns of one row. */
async function stored(model: Model, employeeId: string) {
  const tenant = api.tenant(model);
  const superuser = await tenant.database.connect('superuser');
  const { rows } = await superuser.query<{ ssn_encrypted: Buffer | null; salary_encrypted: Buffer | null }>(
    `SELECT ssn_encrypted, salary_encrypted FROM ${tenant.schemaName}.employees WHERE employee_id = $1`,
    [employeeId],
  );
  return rows[0] as { ssn_encrypted: Buffer | null; salary_encrypted: Buffer | null };
}

async function store(model: Model, employeeId: string, column: string, value: Buffer | null): Promise<void> {
  const tenant = api.tenant(model);
  const superuser = await tenant.database.connect('superuser');
  await superuser.query(`UPDATE ${tenant.schemaName}.employees SET ${column} = $2 WHERE employee_id = $1`, [
    employeeId,
    value,
  ]);
}

describe.each(MODELS)('in %s', (model) => {
  test('administrators write and read the fields; for other roles, and for operators, they do not exist', async () => {
    const created = await create(model);
    expect(created.body).toMatchObject({ ssn: SSN, salary: SALARY });
    const { employeeId } = created.body;
    const without = await create(model, {});
    expect(without.body).toMatchObject({ ssn: null, salary: null });
    for (const role of ['admin', 'member', 'viewer', 'operator'] as const) {
      const sees = role === 'admin';
      const one = await read(model, role, employeeId);
      const list = await call(model, role, 'GET /employees', { query: { limit: '200' } });
      const listed = list.body.items.find((item: { employeeId: string }) => item.employeeId === employeeId);
      for (const item of [one.body, listed]) {
        expect('ssn' in item, role).toBe(sees);
        expect('salary' in item, role).toBe(sees);
        expect(JSON.stringify(item)).not.toMatch(/encrypted/i);
        if (sees) expect(item).toMatchObject({ ssn: SSN, salary: SALARY });
      }
      for (const text of CLEAR) expect(one.text?.includes(text), role).toBe(sees);
      expect(one.headers.etag).toBe(created.headers.etag);
    }
  });

  test('another role that sends a field gets 403, also for null, and changes nothing', async () => {
    const { body } = await create(model);
    const before = await stored(model, body.employeeId);
    const pathParameters = { employeeId: body.employeeId };
    for (const role of ['member', 'viewer', 'operator'] as const) {
      for (const fields of [
        { ssn: '1' },
        { salary: 1 },
        { ssn: null },
        { salary: null, jobTitle: 'Chief' },
      ]) {
        const changed = await call(model, role, 'PATCH /employees/{employeeId}', {
          pathParameters,
          body: fields,
        });
        const made = await call(model, role, 'POST /employees', { body: { ...newEmployee(), ...fields } });
        for (const answer of [changed, made]) {
          expect([role, answer.status]).toEqual([role, 403]);
          expect(answer.body.type).toBe('urn:strata:problem:role-not-allowed');
        }
      }
    }
    expect(await stored(model, body.employeeId)).toEqual(before);
    expect((await read(model, 'admin', body.employeeId)).body.jobTitle).toBeNull();
    // What a member may change leaves the fields as they are.
    const renamed = await call(model, 'member', 'PATCH /employees/{employeeId}', {
      pathParameters,
      body: { jobTitle: 'Chemist' },
    });
    expect([renamed.status, 'ssn' in renamed.body]).toEqual([200, false]);
    expect((await read(model, 'admin', body.employeeId)).body).toMatchObject({ ssn: SSN, salary: SALARY });
  });

  test('a value is changed and emptied, and tags tell it to every role', async () => {
    const created = await create(model);
    const pathParameters = { employeeId: created.body.employeeId };
    const patch = (role: Role, body: object, tag?: unknown) =>
      call(model, role, 'PATCH /employees/{employeeId}', {
        pathParameters,
        body,
        ...(tag === undefined ? {} : { headers: { 'if-match': String(tag) } }),
      });
    const raised = await patch('admin', { salary: 100_000 }, created.headers.etag);
    expect([raised.status, raised.body.salary, raised.body.ssn]).toEqual([200, 100_000, SSN]);
    expect(raised.headers.etag).not.toBe(created.headers.etag);
    expect((await patch('member', { jobTitle: 'A' }, created.headers.etag)).status).toBe(412);
    const renamed = await patch('member', { jobTitle: 'A' }, raised.headers.etag);
    expect(renamed.status).toBe(200);
    const emptied = await patch('admin', { ssn: null }, renamed.headers.etag);
    expect([emptied.status, emptied.body.ssn, emptied.body.salary]).toEqual([200, null, 100_000]);
    expect((await stored(model, pathParameters.employeeId)).ssn_encrypted).toBeNull();
    const deleted = await call(model, 'member', 'DELETE /employees/{employeeId}', {
      pathParameters,
      headers: { 'if-match': String(emptied.headers.etag) },
    });
    expect(deleted.status).toBe(204);
  });

  test('a tag covers the stored value for every role, and not how it is encrypted', async () => {
    const created = await create(model);
    const { employeeId } = created.body;
    const tagOf = async (role: Role) => (await read(model, role, employeeId)).headers.etag;
    const { tenantId } = api.tenant(model);
    const place = { tenantId, table: 'employees', column: 'ssn_encrypted', row: employeeId };
    const old = (await stored(model, employeeId)).ssn_encrypted as Buffer;
    const again = await new FieldCipher().reseal(place, place, old, { keyArn: keys.regionKeyArn });
    await store(model, employeeId, 'ssn_encrypted', again);
    expect([await tagOf('admin'), await tagOf('viewer')]).toEqual(Array(2).fill(created.headers.etag));
    // Another value, with the same time of the last change.
    const other = await new FieldCipher().seal(place, '1', { keyArn: keys.regionKeyArn });
    await store(model, employeeId, 'ssn_encrypted', other);
    const tag = await tagOf('viewer');
    expect(tag).not.toBe(created.headers.etag);
    expect(await tagOf('admin')).toBe(tag);
  });

  test('bad values are 400 and change nothing', async () => {
    const { body } = await create(model);
    const before = await stored(model, body.employeeId);
    const bad = [
      { ssn: '' },
      { ssn: ' ' },
      { ssn: 'x'.repeat(65) },
      { ssn: 'a\nb' },
      { ssn: 'a\u0000b' },
      { ssn: 'a\u2028b' },
      { ssn: 78_051_120 },
      { salary: -0.01 },
      { salary: 1.005 },
      { salary: 1_000_000_000_000 },
      { salary: '1' },
    ];
    for (const fields of bad) {
      const answer = await call(model, 'admin', 'PATCH /employees/{employeeId}', {
        pathParameters: { employeeId: body.employeeId },
        body: fields,
      });
      expect([fields, answer.status]).toEqual([fields, 400]);
      expect(answer.body.errors[0].pointer).toBe(`/${Object.keys(fields)[0]}`);
    }
    expect(await stored(model, body.employeeId)).toEqual(before);
    for (const fields of [{ salary: 0 }, { salary: 999_999_999_999.99 }, { ssn: 'ß 12/x' }]) {
      expect((await create(model, fields)).body).toMatchObject(fields);
    }
  });

  test('neither filters nor the search find a value', async () => {
    await create(model);
    const found = await call(model, 'admin', 'GET /employees', { query: { q: SSN } });
    expect(found.body.items).toEqual([]);
    expect((await call(model, 'admin', 'GET /employees', { query: { ssn: SSN } })).status).toBe(400);
    expect((await call(model, 'admin', 'GET /employees', { query: { sort: 'salary' } })).status).toBe(400);
  });

  test('a repeated request gets the same answer, and what is kept for that has no value and no hash of it', async () => {
    const body = { ...newEmployee(), ssn: SSN, salary: SALARY };
    const send = (fields: object) =>
      call(model, 'admin', 'POST /employees', {
        body: fields,
        headers: { 'idempotency-key': `key of ${model}` },
      });
    const first = await send(body);
    expect([first.status, first.body.ssn]).toEqual([201, SSN]);
    const again = await send(body);
    expect([again.status, again.headers['idempotency-replayed']]).toEqual([201, 'true']);
    expect(again.text).toBe(first.text);
    expect((await send({ ...body, ssn: '078-05-1121' })).status).toBe(422);
    expect((await send({ ...body, ssn: undefined })).status).toBe(422);

    const tenant = api.tenant(model);
    const superuser = await tenant.database.connect('superuser');
    const { rows } = await superuser.query(
      `SELECT * FROM ${tenant.schemaName}.idempotency_keys WHERE idempotency_key = $1`,
      [`key of ${model}`],
    );
    const { createHash } = await import('node:crypto');
    const guess = createHash('sha256').update(JSON.stringify(body)).digest('hex');
    const kept = JSON.stringify(rows);
    expect(rows).toHaveLength(1);
    for (const text of [...CLEAR, guess]) expect(kept).not.toContain(text);
  });

  test('no text of a value is in the tables, in a COPY, in the audit log or in what functions log', async () => {
    const written: string[] = [];
    const spies = [process.stdout, process.stderr].map((stream) =>
      vi.spyOn(stream, 'write').mockImplementation((text) => written.push(String(text)) > 0),
    );
    try {
      const { body } = await create(model);
      const pathParameters = { employeeId: body.employeeId };
      await call(model, 'admin', 'PATCH /employees/{employeeId}', {
        pathParameters,
        body: { ssn: SSN, salary: SALARY },
      });
      await call(model, 'member', 'PATCH /employees/{employeeId}', { pathParameters, body: { ssn: SSN } });
      // Refused by a constraint, whose error quotes the row in PostgreSQL's own words.
      const email = body.email;
      await call(model, 'admin', 'POST /employees', {
        body: { ...newEmployee(), email, managerId: pathParameters.employeeId, ssn: SSN, salary: SALARY },
      });
    } finally {
      for (const spy of spies) spy.mockRestore();
    }
    expect(written.join('')).toContain('"status":409');
    const tenant = api.tenant(model);
    const superuser = await tenant.database.connect('superuser');
    const copied: string[] = [];
    for (const table of ['employees', 'audit_log', 'idempotency_keys']) {
      // Of a partitioned table too.
      const stream = superuser.query(copyTo(`COPY (SELECT * FROM ${tenant.schemaName}.${table}) TO STDOUT`));
      copied.push(await textOf(stream));
    }
    expect(copied[1]).toContain('employee.create');
    const everything = [...copied, ...written].join('\n');
    for (const text of CLEAR) {
      expect(everything).not.toContain(text);
      expect(everything).not.toContain(Buffer.from(text).toString('hex'));
      expect(everything).not.toContain(Buffer.from(text).toString('base64'));
    }
  });

  test('a value that was put into another row, column or tenant is refused clearly, and the rest goes on', async () => {
    const [one, other] = [(await create(model)).body.employeeId, (await create(model)).body.employeeId];
    const own = await stored(model, one);
    const foreign = await create(model === 'shared' ? 'schema' : 'shared');
    const [there] = [await stored(model === 'shared' ? 'schema' : 'shared', foreign.body.employeeId)];
    const swaps: [string, Buffer | null][] = [
      ['ssn_encrypted', (await stored(model, other)).ssn_encrypted],
      ['ssn_encrypted', own.salary_encrypted],
      ['salary_encrypted', there.salary_encrypted],
      ['ssn_encrypted', Buffer.from('not a value')],
    ];
    for (const [column, value] of swaps) {
      await store(model, one, column, value);
      const answer = await read(model, 'admin', one);
      expect(answer.status).toBe(500);
      expect(answer.body).toMatchObject({ type: 'urn:strata:problem:encrypted-value-damaged' });
      for (const text of CLEAR) expect(answer.text).not.toContain(text);
      expect((await read(model, 'member', one)).status).toBe(200);
      expect((await read(model, 'admin', other)).body.ssn).toBe(SSN);
      // A change is refused before anything has changed.
      const changed = await call(model, 'admin', 'PATCH /employees/{employeeId}', {
        pathParameters: { employeeId: one },
        body: { jobTitle: 'Changed' },
      });
      expect(changed.status).toBe(500);
      expect((await read(model, 'member', one)).body.jobTitle).toBeNull();
      await store(model, one, column, own[column as keyof typeof own]);
    }
    expect((await read(model, 'admin', one)).body).toMatchObject({ ssn: SSN, salary: SALARY });
  });

  test('without KMS only what needs a value is 503 with Retry-After; all else works', async () => {
    const { body } = await create(model);
    const { tenantId } = api.tenant(model);
    // Encrypted by another container: this one has to ask KMS for the key.
    const place = { tenantId, table: 'employees', column: 'ssn_encrypted', row: body.employeeId };
    const sealed = await new FieldCipher().seal(place, SSN, { keyArn: keys.regionKeyArn });
    await store(model, body.employeeId, 'ssn_encrypted', sealed);
    const plain = await create(model, {});
    await keys.disable(keys.regionKeyArn);
    try {
      const pathParameters = { employeeId: body.employeeId };
      for (const answer of [
        await read(model, 'admin', body.employeeId),
        await call(model, 'admin', 'GET /employees', { query: { limit: '200' } }),
        await call(model, 'admin', 'PATCH /employees/{employeeId}', {
          pathParameters,
          body: { jobTitle: 'B' },
        }),
      ]) {
        expect(answer.status).toBe(503);
        expect(answer.headers['retry-after']).toBe('5');
      }
      for (const role of ['member', 'viewer'] as const) {
        expect((await read(model, role, body.employeeId)).status).toBe(200);
        const list = await call(model, role, 'GET /employees', { query: { limit: '200' } });
        expect(list.status).toBe(200);
      }
      expect((await read(model, 'admin', plain.body.employeeId)).status).toBe(200);
      const renamed = await call(model, 'member', 'PATCH /employees/{employeeId}', {
        pathParameters,
        body: { jobTitle: 'C' },
      });
      expect(renamed.status).toBe(200);
    } finally {
      await keys.enable(keys.regionKeyArn);
    }
    const after = await read(model, 'admin', body.employeeId);
    expect(after.body).toMatchObject({ jobTitle: 'C', ssn: SSN });
  });
});

test('what the fields cost is printed', async () => {
  const model = 'schema';
  const withFields = (await create(model)).body.employeeId;
  const without = (await create(model, {})).body.employeeId;
  const patch = (role: Role, employeeId: string, body: object) =>
    call(model, role, 'PATCH /employees/{employeeId}', { pathParameters: { employeeId }, body });
  const cases: Record<string, () => Promise<Answer>> = {
    'read as an administrator, with values': () => read(model, 'admin', withFields),
    'read as an administrator, without values': () => read(model, 'admin', without),
    'read as a member, with values': () => read(model, 'member', withFields),
    'write of both values': () => patch('admin', withFields, { ssn: SSN, salary: SALARY }),
    'write of another field as an administrator': () => patch('admin', without, { jobTitle: 'A' }),
    'write of another field as a member': () => patch('member', without, { jobTitle: 'A' }),
  };
  const times = new Map(Object.keys(cases).map((name) => [name, [] as number[]]));
  for (let round = 0; round < sampled(20, 400); round++) {
    for (const [name, run] of Object.entries(cases)) {
      const began = performance.now();
      expect((await run()).status).toBe(200);
      times.get(name)?.push(performance.now() - began);
    }
  }
  for (const [name, all] of times) {
    const median = all.sort((a, b) => a - b)[Math.floor(all.length / 2)] as number;
    console.log(`${name}: ${median.toFixed(2)} ms`);
  }
});
