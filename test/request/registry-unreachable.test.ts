import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import type { Context } from 'aws-lambda';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { ApiEvent } from '../../functions/http/api-event.ts';
import { FULL_RUN } from '../full-run.ts';
import { apiEvent } from '../regions/api-event.ts';

type Handler = (
  event: ApiEvent,
  context: Context,
) => Promise<{ statusCode: number; headers: Record<string, string>; body: string }>;

let endpoint: Server;
let port: number;

beforeEach(async () => {
  vi.resetModules();
  // It takes connections and never answers, as a service that hangs does.
  endpoint = createServer((socket) => socket.on('error', () => {})).listen(0, '127.0.0.1');
  await once(endpoint, 'listening');
  port = (endpoint.address() as { port: number }).port;
  for (const [name, value] of Object.entries({
    AWS_ENDPOINT_URL: `http://127.0.0.1:${port}`,
    AWS_REGION: 'us-east-1',
    AWS_ACCESS_KEY_ID: 'test',
    AWS_SECRET_ACCESS_KEY: 'test',
    REGISTRY_CLUSTER_ARN: 'arn:aws:rds:us-east-1:000000000000:cluster:registry',
    REGISTRY_SECRET_ARN: 'arn:aws:secretsmanager:us-east-1:000000000000:secret:registry',
    REGISTRY_DATABASE: 'registry',
    REGISTRIES: '',
  }))
    vi.stubEnv(name, value);
});
afterEach(() => {
  vi.unstubAllEnvs();
  endpoint.close();
});

async function operatorCalls(routeKey: string, body?: object) {
  const { handler } = await import('../../functions/api/tenants/handler.ts');
  const claims = { sub: 'operator', scope: 'strata/operator' };
  const pathParameters = routeKey.includes('{') ? { tenantId: 'acme' } : undefined;
  const event = apiEvent({ routeKey, claims, pathParameters, body });
  const { statusCode, headers, body: text } = await (handler as unknown as Handler)(event, {} as Context);
  expect(JSON.parse(text)).toMatchObject({ type: 'urn:strata:problem:unavailable', status: 503 });
  expect(text).not.toContain('127.0.0.1');
  return { statusCode, retryAfter: headers['retry-after'] };
}

test.each([
  ['GET /tenants', undefined],
  ['GET /tenants/{tenantId}', undefined],
  ['GET /tenants/{tenantId}/users', undefined],
  ['PATCH /tenants/{tenantId}', { name: 'Acme' }],
])('an operator’s %s is a 503 while nothing listens at the registry', async (routeKey, body) => {
  endpoint.close();
  await once(endpoint, 'close');
  expect(await operatorCalls(routeKey, body)).toEqual({ statusCode: 503, retryAfter: '5' });
});

test.runIf(FULL_RUN)(
  'a registry that hangs is a 503 before API Gateway gives up after 30 seconds',
  async () => {
    const begin = performance.now();
    expect(await operatorCalls('GET /tenants')).toEqual({ statusCode: 503, retryAfter: '5' });
    expect(performance.now() - begin).toBeLessThan(29_000);
  },
);

test.runIf(FULL_RUN)('credentials that Secrets Manager does not tell are a 503 in time', async () => {
  const { CredentialStore } = await import('../../functions/database/session/credentials.ts');
  const { toProblem } = await import('../../functions/http/problem-mapping.ts');
  const begin = performance.now();
  const error = await new CredentialStore().get('strata/tenant/one').catch((cause: unknown) => cause);
  expect(toProblem(error)).toMatchObject({ status: 503, headers: { 'retry-after': '5' } });
  expect(performance.now() - begin).toBeLessThan(10_000);
});
