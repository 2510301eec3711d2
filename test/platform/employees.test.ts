import { beforeAll, describe, expect, test } from 'vitest';
import { call, newEmployee, unique, userToken } from './running-platform.ts';

const MODELS = [
  ['shared tables', 'initech'],
  ['a schema', 'globex'],
  ['a dedicated cluster', 'acme'],
] as const;

describe.each(MODELS)('employees in %s (%s)', (_model, slug) => {
  let token: string;
  beforeAll(async () => {
    token = await userToken(slug);
  });

  test('an employee is created, read, changed, listed and deleted', async () => {
    const input = newEmployee({
      department: 'Lab',
      hireDate: '2024-02-29',
      profileData: { a: 1, b: { c: 2 } },
    });
    const created = await call('POST', '/employees', { token, body: input });
    expect(created.status).toBe(201);
    expect(created.body).toMatchObject({ ...input, status: 'active', managerId: null });
    const path = `/employees/${created.body.employeeId}`;
    expect(created.headers.get('location')).toBe(path);
    expect(created.headers.get('x-request-id')).toBeTruthy();

    const read = await call('GET', path, { token });
    expect(read.body).toEqual(created.body);
    expect(read.headers.get('etag')).toBe(created.headers.get('etag'));

    const patched = await call('PATCH', path, {
      token,
      body: { jobTitle: 'Chemist', profileData: { a: null, d: 4 } },
    });
    expect(patched.status).toBe(200);
    expect(patched.body.jobTitle).toBe('Chemist');
    expect(patched.body.profileData).toEqual({ b: { c: 2 }, d: 4 });
    expect(patched.body.updatedAt).not.toBe(created.body.updatedAt);

    const listed = await call('GET', `/employees?q=${encodeURIComponent(String(input.email))}`, { token });
    expect(listed.body).toEqual({ items: [patched.body], nextCursor: null });

    expect((await call('DELETE', path, { token })).status).toBe(204);
    expect((await call('GET', path, { token })).status).toBe(404);
    expect((await call('DELETE', path, { token })).status).toBe(404);
  });

  test('filters narrow the list and pages follow one another without gap or repetition', async () => {
    const department = unique('dept');
    const ids: string[] = [];
    for (let n = 0; n < 5; n++) {
      const status = n % 2 === 0 ? 'active' : 'on_leave';
      const { body } = await call('POST', '/employees', { token, body: newEmployee({ department, status }) });
      ids.push(body.employeeId);
    }
    const seen: string[] = [];
    let cursor: string | null = null;
    do {
      const query: string = `/employees?department=${department}&limit=2${cursor ? `&cursor=${cursor}` : ''}`;
      const { body } = await call('GET', query, { token });
      expect(body.items.length).toBeLessThanOrEqual(2);
      seen.push(...body.items.map((item: { employeeId: string }) => item.employeeId));
      cursor = body.nextCursor;
    } while (cursor);
    expect(seen).toEqual(ids);
    const onLeave = await call('GET', `/employees?department=${department}&status=on_leave`, { token });
    expect(onLeave.body.items).toHaveLength(2);
    const byManager = await call('GET', `/employees?managerId=${ids[0]}`, { token });
    expect(byManager.body.items).toEqual([]);
  });

  test('q is a literal substring: wildcards match themselves only', async () => {
    const name = unique('100%_sure\\');
    await call('POST', '/employees', { token, body: newEmployee({ lastName: name }) });
    const literal = await call('GET', `/employees?q=${encodeURIComponent(name.toUpperCase())}`, { token });
    expect(literal.body.items).toHaveLength(1);
    const wild = await call('GET', `/employees?q=${encodeURIComponent('1_0%_s_re')}`, { token });
    expect(wild.body.items).toEqual([]);
  });

  test('a taken email and a manager who does not exist are refused, and nothing is written', async () => {
    const input = newEmployee();
    expect((await call('POST', '/employees', { token, body: input })).status).toBe(201);
    const twice = await call('POST', '/employees', { token, body: input });
    expect(twice.status).toBe(409);
    expect(twice.headers.get('content-type')).toBe('application/problem+json');
    const orphan = newEmployee({ managerId: '00000000-0000-4000-8000-000000000000' });
    const refused = await call('POST', '/employees', { token, body: orphan });
    expect(refused.status).toBe(400);
    expect(refused.body.errors[0].pointer).toBe('/managerId');
    expect((await call('GET', `/employees?email=${orphan.email}`, { token })).body.items).toEqual([]);
  });

  test('nobody is put below themselves, directly or in a circle', async () => {
    const make = async (managerId?: string) =>
      (await call('POST', '/employees', { token, body: newEmployee(managerId ? { managerId } : {}) })).body
        .employeeId;
    const top = await make();
    const middle = await make(top);
    const low = await make(middle);
    for (const managerId of [top, middle, low]) {
      const refused = await call('PATCH', `/employees/${top}`, { token, body: { managerId } });
      expect([refused.status, refused.body.errors[0].pointer]).toEqual([400, '/managerId']);
    }
    expect(
      (await call('PATCH', `/employees/${low}`, { token, body: { managerId: top } })).body.managerId,
    ).toBe(top);
    expect((await call('GET', `/employees/${top}`, { token })).body.managerId).toBeNull();
  });

  test('If-Match guards a change and a deletion', async () => {
    const { body, headers } = await call('POST', '/employees', { token, body: newEmployee() });
    const path = `/employees/${body.employeeId}`;
    const etag = String(headers.get('etag'));
    const changed = await call('PATCH', path, {
      token,
      body: { jobTitle: 'A' },
      headers: { 'if-match': etag },
    });
    expect(changed.status).toBe(200);
    const stale = await call('PATCH', path, {
      token,
      body: { jobTitle: 'B' },
      headers: { 'if-match': etag },
    });
    expect(stale.status).toBe(412);
    expect((await call('DELETE', path, { token, headers: { 'if-match': etag } })).status).toBe(412);
    expect((await call('GET', path, { token })).body.jobTitle).toBe('A');
    const current = String(changed.headers.get('etag'));
    expect((await call('GET', path, { token, headers: { 'if-none-match': current } })).status).toBe(304);
    expect((await call('DELETE', path, { token, headers: { 'if-match': current } })).status).toBe(204);
  });

  test('an Idempotency-Key makes one employee of many requests, also at the same moment', async () => {
    const body = newEmployee({ profileData: { hobby: 'chess', size: 2 } });
    // The order of members, also of a document, is none of the request.
    const reordered = { ...body, profileData: { size: 2, hobby: 'chess' } };
    const headers = { 'idempotency-key': unique('key') };
    const answers = await Promise.all(
      [body, reordered, body, reordered, body].map((each) =>
        call('POST', '/employees', { token, body: each, headers }),
      ),
    );
    expect(answers.map(({ status }) => status)).toEqual([201, 201, 201, 201, 201]);
    expect(new Set(answers.map((answer) => answer.body.employeeId)).size).toBe(1);
    expect(new Set(answers.map((answer) => answer.headers.get('etag'))).size).toBe(1);
    expect(answers.filter((answer) => answer.headers.get('idempotency-replayed')).length).toBe(4);
    const other = await call('POST', '/employees', { token, body: newEmployee(), headers });
    expect(other.status).toBe(422);
  });

  test('deleting a manager clears references and memberships go with their employee', async () => {
    const manager = (await call('POST', '/employees', { token, body: newEmployee() })).body.employeeId;
    const report = (await call('POST', '/employees', { token, body: newEmployee({ managerId: manager }) }))
      .body;
    const team = (
      await call('POST', '/teams', { token, body: { teamName: unique('t'), managerId: manager } })
    ).body;
    const member = await call('POST', `/teams/${team.teamId}/members`, {
      token,
      body: { employeeId: manager },
    });
    expect(member.status).toBe(201);
    expect((await call('DELETE', `/employees/${manager}`, { token })).status).toBe(204);
    expect((await call('GET', `/employees/${report.employeeId}`, { token })).body.managerId).toBeNull();
    expect((await call('GET', `/teams/${team.teamId}`, { token })).body.managerId).toBeNull();
    expect((await call('GET', `/teams/${team.teamId}/members`, { token })).body.items).toEqual([]);
  });
});
