/** The line that each request leaves in the log: what it has, and what it must never have. */
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { OPERATOR_SCOPE } from '../../functions/contracts/names.ts';
import { operatorApi, operatorRoute } from '../../functions/http/operator-api.ts';
import { apiEvent } from '../regions/api-event.ts';
import { MODELS, type RequestParts, TenantRequests } from './tenant-requests.ts';

let requests: TenantRequests;
beforeAll(async () => {
  requests = await TenantRequests.start();
});
afterAll(() => requests?.world.end());

let output = '';
beforeEach(() => {
  output = '';
  const keep = (chunk: unknown) => {
    output += String(chunk);
    return true;
  };
  const spies = [process.stdout, process.stderr].map((stream) =>
    vi.spyOn(stream, 'write').mockImplementation(keep as never),
  );
  return () => {
    for (const spy of spies) spy.mockRestore();
  };
});

const lines = () =>
  output
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line))
    .filter(({ message }) => message === 'request');

describe('each request leaves one line', () => {
  test.each(MODELS)('of a tenant with %s tables, with what it did and how long it took', async (model) => {
    await requests.call(model, 'GET /employees');
    const begin = performance.now();
    const answer = await requests.call(model, 'GET /employees');
    const took = performance.now() - begin;
    const [, line, ...more] = lines();
    expect(more).toEqual([]);
    expect(line).toMatchObject({
      message: 'request',
      tenantId: requests.tenant(model).tenantId,
      tier: { shared: 'starter', schema: 'business', dedicated: 'enterprise' }[model],
      route: 'GET /employees',
      status: 200,
      errors: 0,
      bytesIn: 0,
      bytesOut: Buffer.byteLength(answer.text ?? ''),
      requestId: answer.headers['x-request-id'],
      coldStart: false,
      actor: expect.stringMatching(/^[0-9a-f]{16}$/),
    });
    expect(line.databaseMs).toBeGreaterThan(0);
    expect(line.durationMs).toBeGreaterThanOrEqual(line.databaseMs);
    expect(line.durationMs).toBeLessThanOrEqual(took);
    expect(Math.abs(Date.now() - line.at)).toBeLessThan(60_000);
  });

  test('whose metrics have service, tier and cell as dimensions, and nothing that grows with tenants', async () => {
    await requests.call('schema', 'GET /employees');
    const [{ _aws: metadata, cell }] = lines();
    expect(metadata.CloudWatchMetrics).toEqual([
      {
        Namespace: 'Strata',
        Dimensions: [['service', 'tier', 'cell']],
        Metrics: [
          { Name: 'durationMs', Unit: 'Milliseconds' },
          { Name: 'databaseMs', Unit: 'Milliseconds' },
          { Name: 'errors', Unit: 'Count' },
        ],
      },
    ]);
    expect(cell).toMatch(/^[a-z]/);
  });

  test('with the trace that Lambda has begun', async () => {
    vi.stubEnv(
      '_X_AMZN_TRACE_ID',
      'Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=0',
    );
    await requests.call('shared', 'GET /employees');
    vi.unstubAllEnvs();
    expect(lines()).toMatchObject([{ traceId: '1-5759e988-bd862e3fe1be46a994272793' }]);
  });

  test('also when it is refused, or its handler throws', async () => {
    const missing = '00000000-0000-4000-8000-000000000000';
    await requests.call('shared', 'GET /employees/{employeeId}', { pathParameters: { employeeId: missing } });
    const failing = operatorApi({
      'GET /fleet': operatorRoute({}, async () => {
        throw new Error('on purpose');
      }),
    });
    vi.stubEnv('REGION_KEY', 'us');
    vi.stubEnv('REGISTRIES', JSON.stringify([{ region: 'us', awsRegion: 'us-east-1' }]));
    for (const name of ['REGISTRY_CLUSTER_ARN', 'REGISTRY_SECRET_ARN', 'REGISTRY_DATABASE'])
      vi.stubEnv(name, 'x');
    const event = apiEvent({ routeKey: 'GET /fleet', claims: { sub: 'o', scope: OPERATOR_SCOPE } });
    await failing(event as never, {} as never);
    vi.unstubAllEnvs();
    expect(lines()).toMatchObject([
      { status: 404, errors: 0, route: 'GET /employees/{employeeId}' },
      { status: 500, errors: 1, route: 'GET /fleet', tier: 'none', cell: 'none' },
    ]);
    expect(lines()[1]).not.toHaveProperty('tenantId');
  });
});

test('no line of the log has what a client or a person has written or is', async () => {
  const planted = {
    email: 'planted-email@secret.test',
    firstName: 'PlantedFirst',
    lastName: 'PlantedLast',
    ssn: 'PLANTED-SSN',
    query: 'PlantedQuery',
    agent: 'PlantedAgent',
    key: 'PlantedKey',
  };
  const { email, firstName, lastName } = planted;
  const headers = { 'user-agent': planted.agent, 'idempotency-key': planted.key };
  const facts = { headers };
  const create = { body: { email, firstName, lastName }, ...facts };
  const statuses: number[] = [];
  const call = async (route: string, parts: RequestParts) => {
    const { status, body } = await requests.call('schema', route, parts);
    statuses.push(status);
    return body;
  };
  const { employeeId } = await call('POST /employees', create);
  // A conflict, whose error in PostgreSQL has the values.
  await call('POST /employees', { body: { email, firstName, lastName } });
  await call('GET /employees/{employeeId}', { pathParameters: { employeeId }, ...facts });
  await call('PATCH /employees/{employeeId}', {
    pathParameters: { employeeId },
    rawPath: `/employees/${employeeId}`,
    body: { profileData: { secret: planted.lastName } },
  });
  await call('GET /employees', { query: { q: planted.query } });
  await call('GET /employees', { query: { unknown: planted.query } });
  await call('POST /employees', { body: { email: planted.lastName, firstName: 7 } });
  await call('POST /employees', { raw: `{"email": "${email}"` });
  expect(statuses).toEqual([201, 409, 200, 200, 200, 400, 400, 400]);
  expect(lines()).toHaveLength(8);
  for (const [name, text] of Object.entries(planted)) expect(output, name).not.toContain(text);
  expect(output).not.toContain(employeeId);
});
