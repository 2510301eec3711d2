import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { GatewayCalls, refused } from './gateway-calls.ts';

let gateway: GatewayCalls;
beforeAll(async () => {
  gateway = await GatewayCalls.start();
});
afterAll(() => gateway.fixture.stop());

describe('the event', () => {
  test('has payload format 2.0', async () => {
    const response = await gateway.call('/items/%C3%A9%20x?a=1&b=2&a=%26&__proto__=p', {
      headers: { 'X-Mixed-Case': 'v', cookie: 'k=1; l=2', 'user-agent': 'test' },
    });
    expect(response.status).toBe(201);
    expect(response.headers.get('x-own')).toBe('kept');
    expect(response.headers.getSetCookie()).toEqual(['a=1; Path=/', 'b=2']);
    const event = JSON.parse(await response.text());
    expect(event).toMatchObject({
      version: '2.0',
      routeKey: 'GET /items/{itemId}',
      rawPath: '/items/é x',
      rawQueryString: 'a=1&b=2&a=%26&__proto__=p',
      cookies: ['k=1', 'l=2'],
      pathParameters: { itemId: 'é x' },
      isBase64Encoded: false,
      requestContext: {
        accountId: '000000000000',
        domainName: '127.0.0.1',
        stage: '$default',
        routeKey: 'GET /items/{itemId}',
        requestId: response.headers.get('apigw-requestid'),
        http: {
          method: 'GET',
          path: '/items/é x',
          protocol: 'HTTP/1.1',
          sourceIp: '127.0.0.1',
          userAgent: 'test',
        },
        time: expect.stringMatching(/^\d\d\/[A-Z][a-z]{2}\/\d{4}:\d\d:\d\d:\d\d \+0000$/),
      },
    });
    expect(Object.entries(event.queryStringParameters)).toEqual([
      ['a', '1,&'],
      ['b', '2'],
      ['__proto__', 'p'],
    ]);
    expect(event.headers).toMatchObject({ 'x-mixed-case': 'v', 'x-forwarded-for': '127.0.0.1' });
    for (const absent of ['cookie', 'connection']) expect(event.headers).not.toHaveProperty(absent);
    for (const absent of ['body', 'authorizer']) expect(event).not.toHaveProperty(absent);
  });

  test.each([
    ['application/json', false],
    ['application/merge-patch+json; charset=utf-8', false],
    ['text/plain', false],
    ['application/x-www-form-urlencoded', true],
    ['application/octet-stream', true],
  ])('carries a body of %s in base64: %s', async (type, encoded) => {
    const response = await gateway.call('/items', {
      method: 'POST',
      body: '{"ä":1}',
      headers: { 'content-type': type },
    });
    const event = (await response.json()) as { body: string; isBase64Encoded: boolean };
    expect(event.isBase64Encoded).toBe(encoded);
    expect(Buffer.from(event.body, encoded ? 'base64' : 'utf8').toString()).toBe('{"ä":1}');
  });

  test('carries a body that is no UTF-8 in base64, whatever its type says', async () => {
    const body = new Uint8Array([0x22, 0xe9, 0x22]);
    const headers = { 'content-type': 'application/json' };
    const response = await gateway.call('/items', { method: 'POST', body, headers });
    expect(await response.json()).toMatchObject({ body: 'Iuki', isBase64Encoded: true });
  });

  test('tells the subdomain by the Host header', async () => {
    const event = await new Promise<string>((resolve, reject) => {
      const { apiPort } = gateway.fixture;
      httpRequest(
        { host: '127.0.0.1', port: apiPort, path: '/health', headers: { host: 'initech.localhost:3000' } },
        async (response) => resolve((await response.toArray()).join('')),
      )
        .on('error', reject)
        .end();
    });
    expect(JSON.parse(event).requestContext).toMatchObject({
      domainName: 'initech.localhost',
      domainPrefix: 'initech',
    });
  });

  test('has the claims of a verified token as strings', async () => {
    const token = await gateway.tokenWith({ tenant_id: 't', 'cognito:groups': ['a', 'b'], n: 3, yes: true });
    const event = (await (await gateway.withToken(token)).json()) as {
      requestContext: { authorizer: unknown };
    };
    expect(event.requestContext.authorizer).toMatchObject({
      jwt: { claims: { tenant_id: 't', 'cognito:groups': '[a b]', n: '3', yes: 'true' }, scopes: null },
    });
  });
});

describe('routes', () => {
  test.each([
    ['/items/fixed', 'GET /items/fixed'],
    ['/items/other', 'GET /items/{itemId}'],
    ['/files/a/b/c', 'GET /files/{proxy+}'],
  ])('%s is %s', async (path, routeKey) => {
    expect(((await (await gateway.call(path)).json()) as { routeKey: string }).routeKey).toBe(routeKey);
  });

  test.each([
    ['GET', '/nope'],
    ['GET', '/items/'],
    ['GET', '/items/a/b'],
    ['GET', '/files'],
    ['PUT', '/items'],
    ['OPTIONS', '/items'],
  ])('%s %s is not found', async (method, path) =>
    refused(await gateway.call(path, { method }), 404, 'Not Found'),
  );
});

describe('refusals of the gateway itself', () => {
  test('a body over 10 MB, announced or not', async () => {
    const body = Buffer.alloc(10 * 1024 * 1024 + 1, 'x');
    await refused(await gateway.call('/items', { method: 'POST', body }), 413, 'Request Entity Too Large');
    const stream = new ReadableStream({
      start(controller) {
        controller.enqueue(body);
        controller.close();
      },
    });
    const chunked = { method: 'POST', body: stream, duplex: 'half' } as RequestInit;
    await refused(await gateway.call('/items', chunked), 413, 'Request Entity Too Large');
  });

  test('a body that fits, in an event that is too large for Lambda', async () => {
    const post = (body: Buffer, type: string) =>
      gateway.call('/items', {
        method: 'POST',
        body: new Uint8Array(body),
        headers: { 'content-type': type },
      });
    const binary = Buffer.alloc(4.6 * 1024 * 1024, 'x');
    await refused(await post(binary, 'application/octet-stream'), 413, 'Request Entity Too Large');
    const quotes = Buffer.alloc(3.2 * 1024 * 1024, '"');
    await refused(await post(quotes, 'text/plain'), 413, 'Request Entity Too Large');
  });

  test('a function that fails or that it may not invoke', async () => {
    await refused(await gateway.call('/throw'), 500, 'Internal Server Error');
    await refused(await gateway.call('/forbidden'), 500, 'Internal Server Error');
    await refused(await gateway.call('/slow?ms=5000'), 500, 'Internal Server Error');
    expect(gateway.fixture.log.join('\n')).toContain('no Lambda permission');
  });

  test('a path that is not percent-encoding', async () =>
    refused(await gateway.call('/items/%zz'), 400, 'Bad Request'));

  test.each([
    ['what is not HTTP at all', 'HELLO\r\n\r\n', 400],
    ['a request without Host', 'GET /health HTTP/1.1\r\n\r\n', 400],
    [
      'two lengths',
      'POST /items HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx',
      400,
    ],
    ['headers over the limit', `GET /health HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`, 431],
    [
      'headers over its own limit',
      `GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX: ${'x'.repeat(10_300)}\r\n\r\n`,
      431,
    ],
  ])('%s', async (_what, bytes, status) => {
    const answer = await new Promise<string>((resolve, reject) => {
      let text = '';
      const socket = connect(gateway.fixture.apiPort, '127.0.0.1', () => socket.write(bytes));
      socket.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      socket.on('close', () => resolve(text)).on('error', reject);
    });
    expect(answer).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
  });
});

describe('a function that answers without a status', () => {
  test.each([
    ['"text"', 'text'],
    ['{"a":1}', '{"a":1}'],
    ['[1]', '[1]'],
    ['null', 'null'],
  ])('%s is the body', async (json, body) => {
    const response = await gateway.call(`/raw?json=${encodeURIComponent(json)}`);
    expect([response.status, response.headers.get('content-type')]).toEqual([200, 'application/json']);
    expect(await response.text()).toBe(body);
  });

  test.each([
    '{"statusCode":"x"}',
    '{"statusCode":99}',
    '{"statusCode":200,"body":{}}',
    '{"statusCode":200,"headers":{"a b":"c"}}',
  ])('%s is an error', async (json) =>
    refused(await gateway.call(`/raw?json=${encodeURIComponent(json)}`), 500, 'Internal Server Error'),
  );

  test('a body in base64 is decoded', async () => {
    const json = { statusCode: '200', isBase64Encoded: true, body: Buffer.from([0, 255]).toString('base64') };
    const response = await gateway.call(`/raw?json=${encodeURIComponent(JSON.stringify(json))}`);
    expect(Buffer.from(await response.arrayBuffer())).toEqual(Buffer.from([0, 255]));
  });
});

describe('CORS', () => {
  const preflight = (origin: string) =>
    gateway.call('/mine', { method: 'OPTIONS', headers: { origin, 'access-control-request-method': 'GET' } });

  test('answers a preflight without a token', async () => {
    const response = await preflight('https://app.test');
    expect(response.status).toBe(204);
    expect(response.headers.get('access-control-allow-origin')).toBe('https://app.test');
    expect(response.headers.get('access-control-allow-methods')).toBe('*');
    expect(response.headers.get('access-control-allow-headers')).toBe('authorization');
  });

  test('does not name another origin', async () => {
    const response = await preflight('https://evil.test');
    expect(response.headers.get('access-control-allow-origin')).toBeNull();
  });

  test('is on refusals, too', async () => {
    const response = await gateway.call('/mine', { headers: { origin: 'https://app.test' } });
    expect([response.status, response.headers.get('access-control-allow-origin')]).toEqual([
      401,
      'https://app.test',
    ]);
  });
});
