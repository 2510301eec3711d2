import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { isExact } from '../../functions/http/json-body.ts';
import { type Answer, MODELS, newEmployee, type RequestParts, TenantRequests } from './tenant-requests.ts';

let api: TenantRequests;
beforeAll(async () => {
  api = await TenantRequests.start();
});
afterAll(() => api?.world.end());

const latin1 = Buffer.from('{"email":"l@tenant.test","firstName":"Ren\xe9","lastName":"B"}', 'latin1');
/** An emoji without its last byte: decoded leniently, it is as long as before. */
const cut = Buffer.from('{"email":"l@tenant.test","firstName":"\xf0\x9f\x98","lastName":"B"}', 'latin1');
const asBase64 = (bytes: Buffer): RequestParts => ({ raw: bytes.toString('base64'), isBase64Encoded: true });
const asText = (bytes: Buffer, headers: Record<string, string> = {}): RequestParts => ({
  raw: bytes.toString('utf8'),
  headers,
});
const withNumber = (number: string): RequestParts => ({
  raw: JSON.stringify({ ...newEmployee(), profileData: { n: 0 } }).replace(':0}', `:${number}}`),
});

describe.each(MODELS)('a request to %s', (model) => {
  const post = (parts: RequestParts) => api.call(model, 'POST /employees', parts);
  const count = async () =>
    (await api.call(model, 'GET /employees', { query: { limit: '200' } })).body.items.length;
  async function refused(request: () => Promise<Answer>): Promise<Answer> {
    const before = await count();
    const answer = await request();
    expect(await count()).toBe(before);
    return answer;
  }

  test.each([
    '9007199254740993',
    '9007199254740993.0',
    '0.1000000000000000055511151231257827',
    '1e-400',
    '123456789012345678e3',
  ])('does not round %s: it is refused', async (number) => {
    const answer = await refused(() => post(withNumber(number)));
    expect([answer.status, answer.body.errors]).toEqual([
      400,
      [{ pointer: '/profileData/n', detail: 'has more digits than can be kept' }],
    ]);
  });

  test.each([
    '9007199254740992.0',
    '1.10',
    '1E2',
    '0.30000000000000004',
    '5e-324',
    '-0.0',
    '1e22',
    '100000000000000000000',
  ])('keeps %s as it is', async (number) => {
    const answer = await post(withNumber(number));
    expect([answer.status, answer.body.profileData?.n]).toEqual([201, Number(number) + 0]);
  });

  test.each(['1.005', '5e-324', '0.30000000000000004', '99.999', '-0.01', '100'])(
    'does not round %s years of experience',
    async (years) => {
      const employeeId = await api.addEmployee(model);
      const skill = await api.call(model, 'POST /skills', { body: { skillName: 'Algebra' } });
      const answer = await api.call(model, 'POST /employees/{employeeId}/skills', {
        pathParameters: { employeeId },
        raw: `{"skillId":"${skill.body.skillId}","yearsOfExperience":${years}}`,
      });
      expect([answer.status, answer.body.errors[0].pointer]).toEqual([400, '/yearsOfExperience']);
    },
  );

  test.each([
    ['Latin-1', asBase64(latin1)],
    ['Latin-1, made text by a gateway', asText(latin1, { 'content-length': String(latin1.length) })],
    ['Latin-1, made text by a gateway that tells no length', asText(latin1)],
    ['a character that is cut off', asBase64(cut)],
    ['an overlong form', asBase64(Buffer.from('{"a":"\xc0\x80"}', 'latin1'))],
    ['a surrogate', asBase64(Buffer.from('{"a":"\xed\xa0\x80"}', 'latin1'))],
  ])('is refused where its body is no UTF-8: %s', async (_what, parts) => {
    const answer = await refused(() => post(parts));
    expect([answer.status, answer.body.errors]).toEqual([
      400,
      [{ pointer: '', detail: 'is not text in UTF-8' }],
    ]);
  });

  test('may have the character that stands for unknown ones', async () => {
    const bytes = Buffer.from(JSON.stringify({ ...newEmployee(), firstName: 'Ren\ufffd' }));
    const sent = await post(asText(bytes, { 'content-length': String(bytes.length) }));
    expect(sent.body.firstName).toBe('Ren\ufffd');
    const escaped = JSON.stringify({ ...newEmployee(), firstName: 'x' }).replace('"x"', '"Ren\\ufffd"');
    expect((await post({ raw: escaped })).body.firstName).toBe('Ren\ufffd');
  });

  test('is refused where its query is no UTF-8, and a percent sign alone means itself', async () => {
    const bad = { rawQueryString: 'limit=1&q=%E9', query: { q: '\ufffd' } };
    const answer = await api.call(model, 'GET /employees', bad);
    expect([answer.status, answer.body.errors[0].parameter]).toEqual([400, 'q']);
    const good = { rawQueryString: 'q=%C3%A9%20100%', query: { q: 'é 100%' } };
    expect((await api.call(model, 'GET /employees', good)).status).toBe(200);
  });

  test.each([
    ['2023-02-30T00:00:00Z', '00000000-0000-4000-8000-000000000000'],
    ['2023-02-29T00:00:00.000001Z', '00000000-0000-4000-8000-000000000000'],
    ['0000-01-01T00:00:00Z', '00000000-0000-4000-8000-000000000000'],
    ['2023-01-01T24:00:00Z', '00000000-0000-4000-8000-000000000000'],
    ['2023-01-01T00:00:00Z', '00000000-0000-4000-8000-00000000000g'],
  ])('does not take the cursor of a moment or an id that is none: %s, %s', async (...position) => {
    const cursor = Buffer.from(JSON.stringify(position)).toString('base64url');
    for (const route of ['GET /employees', 'GET /teams', 'GET /skills']) {
      const answer = await api.call(model, route, { query: { cursor } });
      expect([answer.status, answer.body.errors]).toEqual([
        400,
        [{ parameter: 'cursor', detail: 'is not a cursor of this list' }],
      ]);
    }
  });

  test.each([
    [{ 'content-encoding': 'gzip' }, 415],
    [{ 'content-encoding': 'br, identity' }, 415],
    [{ 'content-encoding': 'Identity' }, 201],
    [{ 'content-type': 'application/json; charset=iso-8859-1' }, 415],
    [{ 'content-type': 'application/json; charset="UTF-8"' }, 201],
    [{ 'content-type': 'text/plain' }, 415],
  ])('with %j is answered %i', async (headers, status) => {
    const answer = await post({ body: newEmployee(), headers: headers as Record<string, string> });
    expect(answer.status).toBe(status);
    if ('content-encoding' in headers && status === 415) {
      expect(answer.headers['accept-encoding']).toBe('identity');
    }
  });
});

describe('a complaint about the body points at its place (RFC 6901)', () => {
  const document = (text: string) => ({
    raw: JSON.stringify({ ...newEmployee(), profileData: { x: 0 } }).replace('{"x":0}', text),
  });
  test.each([
    ['{"a":[1,{"b":9007199254740993}]}', '/profileData/a/1/b'],
    ['{"a/b~c":{"":9007199254740993}}', '/profileData/a~1b~0c/'],
    ['{"a/b~c":"\\u0000"}', '/profileData/a~1b~0c'],
    ['{"~1":{"__proto__":1}}', '/profileData/~01'],
  ])('%s at %s', async (text, pointer) => {
    const answer = await api.call('shared', 'POST /employees', document(text));
    expect([answer.status, answer.body.errors[0].pointer]).toEqual([400, pointer]);
  });

  test.each([
    [{ 'a/b~c': 1 }, '/a~1b~0c'],
    [{ 'a.b': 1 }, '/a.b'],
    [{ '': 1 }, '/'],
  ])('an unknown field of %j at %s', async (fields, pointer) => {
    const answer = await api.call('shared', 'POST /employees', { body: { ...newEmployee(), ...fields } });
    expect(answer.body.errors).toEqual([{ pointer, detail: 'is not known' }]);
  });

  test('an item of a list by its index', async () => {
    const body = { skillName: 'Algebra', proficiencyLevels: ['beginner', ' '] };
    const answer = await api.call('shared', 'POST /skills', { body });
    expect(answer.body.errors[0].pointer).toBe('/proficiencyLevels/1');
  });
});

test('a double is exact where its decimal digits are', () => {
  for (const text of ['0', '-0', '0e9', '0.0', '1e2', '100', '1.5e-7', '12345678901234567e-1', '1e309']) {
    expect([text, isExact(text, Number(text))]).toEqual([text, text !== '12345678901234567e-1']);
  }
});
