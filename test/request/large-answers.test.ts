import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { asTenant } from '../enter-tenant.ts';
import { sampled } from '../full-run.ts';
import { MODELS, TenantRequests } from './tenant-requests.ts';

/** What Lambda takes of an answer, which it carries as a string inside JSON. */
const LAMBDA_LIMIT = 6 * 1024 * 1024;
const KB = 1024;

let api: TenantRequests;
beforeAll(async () => {
  api = await TenantRequests.start();
});
afterAll(() => api?.world.end());

describe.each(sampled<(typeof MODELS)[number][]>(['schema'], [...MODELS]))('documents in %s', (model) => {
  const item = (employeeId: string) => ({ pathParameters: { employeeId } });
  const patch = (employeeId: string, profileData: unknown) =>
    api.call(model, 'PATCH /employees/{employeeId}', { ...item(employeeId), body: { profileData } });
  const read = (employeeId: string) => api.call(model, 'GET /employees/{employeeId}', item(employeeId));
  /** `{"a":"x…"}` of so many bytes. */
  const documentOf = (bytes: number, letter = 'x') => ({ a: letter.repeat(bytes - 8) });

  async function store(employeeId: string, profileData: object): Promise<void> {
    const tenant = api.tenant(model);
    const client = await tenant.database.connect(tenant.login);
    await asTenant(client, tenant, 'write', () =>
      client.query('UPDATE employees SET profile_data = $1 WHERE employee_id = $2', [
        JSON.stringify(profileData),
        employeeId,
      ]),
    );
    await client.end();
  }

  async function listAll(query: Record<string, string>) {
    const pages: { items: Record<string, unknown>[]; bytes: number }[] = [];
    let cursor: string | undefined;
    do {
      const answer = await api.call(model, 'GET /employees', {
        query: { ...query, ...(cursor ? { cursor } : {}) },
      });
      expect(answer.status).toBe(200);
      pages.push({ items: answer.body.items, bytes: Buffer.byteLength(JSON.stringify(answer.text)) });
      cursor = answer.body.nextCursor ?? undefined;
    } while (cursor);
    return pages;
  }

  test('of 256 KB are taken, on create and after a merge; one byte more is a 413 and changes nothing', async () => {
    const id = await api.addEmployee(model, { profileData: documentOf(256 * KB) });
    const before = await read(id);
    const refused = await patch(id, { b: 1 });
    expect([refused.status, refused.body.type]).toEqual([413, 'urn:strata:problem:document-too-large']);
    expect(refused.body.errors).toEqual([
      { pointer: '/profileData', detail: 'must be at most 256 KB after the change' },
    ]);
    expect(await read(id)).toEqual(before);
    const body = {
      email: 'big@tenant.test',
      firstName: 'A',
      lastName: 'B',
      profileData: documentOf(256 * KB + 1),
    };
    expect((await api.call(model, 'POST /employees', { body })).status).toBe(413);
    const found = await api.call(model, 'GET /employees', { query: { email: body.email } });
    expect(found.body.items).toEqual([]);
    // Bytes, not characters.
    expect((await patch(id, { a: 'ä'.repeat(128 * KB) })).status).toBe(413);
  });

  test('that an older version let grow stay readable, and are refused only when patched', async () => {
    const id = await api.addEmployee(model);
    await store(id, { old: 'x'.repeat(900 * KB), b: 1 });
    expect((await read(id)).body.profileData.old).toHaveLength(900 * KB);
    const other = await api.call(model, 'PATCH /employees/{employeeId}', {
      ...item(id),
      body: { jobTitle: 'Chemist' },
    });
    expect(other.status).toBe(200);
    expect((await patch(id, { b: 2 })).status).toBe(413);
    expect((await read(id)).body.profileData.b).toBe(1);
    expect((await patch(id, { old: null })).body.profileData).toEqual({ b: 1 });
  });

  test('in a list end its page by bytes, with a cursor that goes on', async () => {
    const department = `large ${model}`;
    const ids: string[] = [];
    for (let n = 0; n < 6; n++) {
      const id = await api.addEmployee(model, { department });
      // Quotes: an escape before each doubles them on the way.
      await store(id, n % 2 === 0 ? documentOf(1_000 * KB) : { a: '"'.repeat(400 * KB) });
      ids.push(id);
    }
    const pages = await listAll({ department });
    expect(pages.flatMap(({ items }) => items.map(({ employeeId }) => employeeId))).toEqual(ids);
    expect(pages.length).toBeGreaterThan(1);
    for (const { bytes } of pages) expect(bytes).toBeLessThan(4.1 * KB * KB);
    // Small ones are not cut short, also where they have no document at all.
    expect(await listAll({ status: 'on_leave' })).toHaveLength(1);
    const ones = await listAll({ department, limit: '1' });
    expect(ones.map(({ items }) => items.length)).toEqual(ids.map(() => 1));
  });

  test('that no answer can carry break no list: they are left out of it', async () => {
    const department = `huge ${model}`;
    const [first, huge, last] = [
      await api.addEmployee(model, { department, profileData: { n: 1 } }),
      await api.addEmployee(model, { department }),
      await api.addEmployee(model, { department, profileData: null }),
    ];
    await store(huge, documentOf(7 * KB * KB));
    const items = (await listAll({ department })).flatMap((page) => page.items);
    expect(items.map(({ employeeId }) => employeeId)).toEqual([first, huge, last]);
    expect(items.map((each) => each.profileData)).toEqual([{ n: 1 }, undefined, null]);
    expect(Object.keys(items[1] ?? {})).not.toContain('profileData');
    const answer = await read(huge);
    expect([answer.status, answer.body.type]).toEqual([413, 'urn:strata:problem:answer-too-large']);
    expect(Buffer.byteLength(JSON.stringify(answer.text))).toBeLessThan(LAMBDA_LIMIT);
    // A change of something else is no failure, though the answer cannot show everything.
    const other = await api.call(model, 'PATCH /employees/{employeeId}', {
      ...item(huge),
      body: { jobTitle: 'Chemist' },
    });
    expect([other.status, other.body.jobTitle, 'profileData' in other.body]).toEqual([200, 'Chemist', false]);
    // And so it is mended.
    expect((await patch(huge, { a: null })).body.profileData).toEqual({});
  });

  test('long texts end a page by bytes, too', async () => {
    for (let n = 0; n < 160; n++) {
      const body = { skillName: `Skill ${n}`, skillCategory: 'long', description: '😀'.repeat(10_000) };
      expect((await api.call(model, 'POST /skills', { body })).status).toBe(201);
    }
    const query = { skillCategory: 'long', limit: '200' };
    const answer = await api.call(model, 'GET /skills', { query });
    expect(Buffer.byteLength(JSON.stringify(answer.text))).toBeLessThan(4.1 * KB * KB);
    const { nextCursor: cursor, items } = answer.body;
    const rest = await api.call(model, 'GET /skills', { query: { ...query, cursor } });
    expect([...items, ...rest.body.items].map(({ skillName }) => skillName)).toEqual(
      Array.from({ length: 160 }, (_, n) => `Skill ${n}`),
    );
  });
});
