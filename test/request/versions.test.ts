import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { MODELS, TenantRequests } from './tenant-requests.ts';

let api: TenantRequests;
beforeAll(async () => {
  api = await TenantRequests.start();
});
afterAll(() => api?.world.end());

describe.each(MODELS)('a version in %s', (model) => {
  test('that a client has is a 304, by weak comparison; another one is not', async () => {
    const pathParameters = { employeeId: await api.addEmployee(model) };
    const get = (header: string) =>
      api.call(model, 'GET /employees/{employeeId}', {
        pathParameters,
        headers: { 'if-none-match': header },
      });
    const tag = String((await get('"other"')).headers.etag);
    for (const known of [tag, `W/${tag}`, `"a", W/${tag}`, `"x,y",${tag}`, '*']) {
      const answer = await get(known);
      expect([known, answer.status, answer.headers.etag, answer.text]).toEqual([known, 304, tag, undefined]);
    }
    for (const other of ['"other"', 'W/"other"', tag.slice(1, -1), `w/${tag.slice(0, -1)}x"`]) {
      expect((await get(other)).status).toBe(200);
    }
  });

  test('guards a change by strong comparison: a weak tag names no bytes', async () => {
    const pathParameters = { employeeId: await api.addEmployee(model) };
    const patch = (header: string) =>
      api.call(model, 'PATCH /employees/{employeeId}', {
        pathParameters,
        body: { jobTitle: 'Chemist' },
        headers: { 'if-match': header },
      });
    const read = await api.call(model, 'GET /employees/{employeeId}', { pathParameters });
    const tag = String(read.headers.etag);
    expect((await patch(`W/${tag}`)).status).toBe(412);
    expect((await patch(`"other", ${tag}`)).status).toBe(200);
    // A change is answered in full, whatever versions the client has.
    const again = await api.call(model, 'PATCH /employees/{employeeId}', {
      pathParameters,
      body: {},
      headers: { 'if-none-match': '*' },
    });
    expect(again.status).toBe(200);
  });
});
