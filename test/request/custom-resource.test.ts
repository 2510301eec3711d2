import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import type { CloudFormationCustomResourceEvent } from 'aws-lambda';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import * as z from 'zod';
import { customResourceHandler, customResourceHandlers } from '../../functions/tasks/custom-resource.ts';

interface Answer {
  method: string | undefined;
  contentType: string | undefined;
  body: Record<string, unknown>;
}

let answers: Answer[] = [];
/** Statuses of the next answers to the handler's PUTs; 200 when empty. */
let refusals: number[] = [];
let applied: unknown[] = [];
let apply = async (_properties: unknown): Promise<Record<string, string> | undefined> => undefined;

const server = createServer(async (request: IncomingMessage, response) => {
  const body = JSON.parse(await text(request));
  answers.push({ method: request.method, contentType: request.headers['content-type'], body });
  response.writeHead(refusals.shift() ?? 200).end();
});

const handler = customResourceHandler({
  properties: z.object({ Name: z.string(), Port: z.coerce.number().int() }),
  physicalId: ({ Name }) => `thing-${Name}`,
  async apply(properties) {
    applied.push(properties);
    return apply(properties);
  },
});

beforeAll(async () => {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
});
afterAll(() => server.close());
beforeEach(() => {
  [answers, refusals, applied, apply] = [[], [], [], async () => undefined];
});

const event = (
  RequestType: 'Create' | 'Update' | 'Delete',
  properties: object = { Name: 'a', Port: '5432' },
) =>
  ({
    RequestType,
    ResponseURL: `http://127.0.0.1:${(server.address() as AddressInfo).port}/answer`,
    StackId: 'stack',
    RequestId: 'request',
    LogicalResourceId: 'Logical',
    ...(RequestType === 'Create' ? {} : { PhysicalResourceId: 'thing-a' }),
    ResourceProperties: { ServiceToken: 'arn', ...properties },
  }) as unknown as CloudFormationCustomResourceEvent;

const context = { getRemainingTimeInMillis: () => 60_000, logStreamName: 'stream' };
const identity = { StackId: 'stack', RequestId: 'request', LogicalResourceId: 'Logical' };

test.each(['Create', 'Update'] as const)('%s applies the properties and answers SUCCESS', async (type) => {
  await handler(event(type), context);
  expect(applied).toEqual([{ Name: 'a', Port: 5432 }]);
  expect(answers).toEqual([
    {
      method: 'PUT',
      contentType: undefined,
      body: { ...identity, Status: 'SUCCESS', PhysicalResourceId: 'thing-a' },
    },
  ]);
});

test('what it returns are the attributes that templates refer to', async () => {
  apply = async () => ({ VpcId: 'vpc-1' });
  await handler(event('Create'), context);
  expect(answers.map(({ body }) => body)).toEqual([
    { ...identity, Status: 'SUCCESS', PhysicalResourceId: 'thing-a', Data: { VpcId: 'vpc-1' } },
  ]);
});

test('Delete does nothing, successfully, even with properties it would refuse', async () => {
  await handler(event('Delete', {}), context);
  expect(applied).toEqual([]);
  expect(answers.map(({ body }) => body)).toEqual([
    { ...identity, Status: 'SUCCESS', PhysicalResourceId: 'thing-a' },
  ]);
});

test('a failure is answered with the error’s name and code, never with its message', async () => {
  apply = async () => {
    throw Object.assign(new TypeError('password "hunter2" is wrong'), { code: '28P01' });
  };
  await handler(event('Create'), context);
  expect(answers.map(({ body }) => body)).toEqual([
    {
      ...identity,
      Status: 'FAILED',
      Reason: 'TypeError 28P01; see log stream stream',
      PhysicalResourceId: 'thing-a',
    },
  ]);
});

test('malformed properties are answered with FAILED', async () => {
  await handler(event('Create', { Name: 'a', Port: 'x' }), context);
  expect(answers[0]?.body).toMatchObject({ Status: 'FAILED', PhysicalResourceId: 'Logical' });
  expect(applied).toEqual([]);
});

test('work that would outlive the function is answered before the time is up', async () => {
  apply = () => new Promise(() => {});
  await handler(event('Update'), { ...context, getRemainingTimeInMillis: () => 5_010 });
  expect(answers[0]?.body).toMatchObject({
    Status: 'FAILED',
    Reason: expect.stringMatching(/^DeadlineReached/),
  });
});

test('an answer that did not arrive is sent again; one that never does fails the invocation', async () => {
  refusals = [500, 503];
  await handler(event('Create'), context);
  expect(answers).toHaveLength(3);
  refusals = [500, 500, 500];
  await expect(handler(event('Create'), context)).rejects.toThrow('500');
});

test('of several types behind one function each is answered by its handler, and one that is unknown with a failure', async () => {
  const several = customResourceHandlers({ 'Custom::Known': handler });
  await several({ ...event('Create'), ResourceType: 'Custom::Known' }, context);
  await several({ ...event('Create'), ResourceType: 'Custom::Other' }, context);
  expect(applied).toHaveLength(1);
  expect(answers.map(({ body }) => body)).toMatchObject([
    { Status: 'SUCCESS', PhysicalResourceId: 'thing-a' },
    { Status: 'FAILED', Reason: expect.stringContaining('Custom::Other') },
  ]);
});
