import {
  DeleteRuleCommand,
  EventBridgeClient,
  PutRuleCommand,
  PutTargetsCommand,
  RemoveTargetsCommand,
} from '@aws-sdk/client-eventbridge';
import { InvokeCommand, LambdaClient, ListFunctionsCommand } from '@aws-sdk/client-lambda';
import {
  CreateQueueCommand,
  DeleteMessageCommand,
  DeleteQueueCommand,
  ReceiveMessageCommand,
  SQSClient,
} from '@aws-sdk/client-sqs';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { type EventType, eventDetail } from '../../functions/contracts/events.ts';
import { eventBusName } from '../../functions/contracts/names.ts';
import { ASK_EVERY_MS, call, operatorToken, platform, unique } from './running-platform.ts';

interface SeenEvent {
  readonly source: string;
  readonly 'detail-type': EventType;
  readonly detail: Record<string, unknown> & { readonly eventId: string; readonly sequence: number };
}

const slug = unique('told');
const BUS = eventBusName('us');
const queueArn = `arn:aws:sqs:us-east-1:000000000000:${slug}`;
const ruleArn = `arn:aws:events:us-east-1:000000000000:rule/${BUS}/${slug}`;
const client = {
  endpoint: platform().awsUrl,
  region: 'us-east-1',
  credentials: { accessKeyId: 'any', secretAccessKey: 'any' },
};
const [events, sqs, lambda] = [
  new EventBridgeClient(client),
  new SQSClient(client),
  new LambdaClient(client),
];

let QueueUrl: string | undefined;
let operator: string;

/** As a subscriber does: a queue, its policy, a rule on what it wants, and the queue as the rule's target. */
beforeAll(async () => {
  operator = await operatorToken();
  const allowed = {
    Effect: 'Allow',
    Principal: { Service: 'events.amazonaws.com' },
    Action: 'sqs:SendMessage',
    Resource: queueArn,
    Condition: { ArnEquals: { 'aws:SourceArn': ruleArn } },
  };
  const attributes = { Policy: JSON.stringify({ Statement: [allowed] }) };
  ({ QueueUrl } = await sqs.send(new CreateQueueCommand({ QueueName: slug, Attributes: attributes })));
  const pattern = { source: ['strata'], detail: { slug: [slug] } };
  const rule = { Name: slug, EventBusName: BUS };
  await events.send(new PutRuleCommand({ ...rule, EventPattern: JSON.stringify(pattern) }));
  const target = { Id: 'queue', Arn: queueArn };
  await events.send(new PutTargetsCommand({ Rule: slug, EventBusName: BUS, Targets: [target] }));
});
afterAll(async () => {
  await events.send(new RemoveTargetsCommand({ Rule: slug, EventBusName: BUS, Ids: ['queue'] }));
  await events.send(new DeleteRuleCommand({ Name: slug, EventBusName: BUS }));
  await sqs.send(new DeleteQueueCommand({ QueueUrl }));
});

const seen: SeenEvent[] = [];

/** Takes what is in the queue until `enough` holds. */
async function receiveUntil(enough: () => boolean): Promise<void> {
  await vi.waitUntil(
    async () => {
      const { Messages = [] } = await sqs.send(
        new ReceiveMessageCommand({ QueueUrl, MaxNumberOfMessages: 10, WaitTimeSeconds: 1 }),
      );
      for (const { Body, ReceiptHandle } of Messages) {
        seen.push(JSON.parse(Body ?? '') as SeenEvent);
        await sqs.send(new DeleteMessageCommand({ QueueUrl, ReceiptHandle }));
      }
      return enough();
    },
    { timeout: 90_000, interval: 20 },
  );
}

const ofType = (type: EventType) => seen.find((event) => event['detail-type'] === type);
const inOrder = () => seen.toSorted((one, other) => one.detail.sequence - other.detail.sequence);
const isGapless = () => inOrder().every(({ detail }, index) => detail.sequence === index + 1);

/** Waits until an event of that type has come. */
async function told(type: EventType): Promise<SeenEvent['detail']> {
  await receiveUntil(() => ofType(type) !== undefined);
  return ofType(type)!.detail;
}

/** Runs the publisher, as its schedule does every minute. */
async function publish(): Promise<void> {
  const { Functions = [] } = await lambda.send(new ListFunctionsCommand({}));
  const found = Functions.find(({ FunctionName }) => FunctionName?.includes('EventsPublish'));
  const { FunctionError } = await lambda.send(new InvokeCommand({ FunctionName: found?.FunctionName }));
  expect(FunctionError).toBeUndefined();
}

/** Starts a backup; waits while another test's daily run makes one. */
async function backingUp(): Promise<string> {
  let location = '';
  await vi.waitUntil(
    async () => {
      const { status, headers } = await call('POST', `/tenants/${slug}/backups`, { token: operator });
      location = headers.get('location') ?? '';
      return status === 202;
    },
    { timeout: 90_000, interval: ASK_EVERY_MS },
  );
  return location;
}

async function ended(path: string): Promise<Record<string, unknown>> {
  let body: Record<string, unknown> = {};
  await vi.waitUntil(
    async () => {
      ({ body } = await call('GET', path, { token: operator }));
      return body.status !== 'running';
    },
    { timeout: 90_000, interval: ASK_EVERY_MS },
  );
  return body;
}

test('a subscriber is told once of each change of a tenant, in order, by the schemas, and of nothing personal', async () => {
  const person = `planted.person@${slug}.test`;
  const tenant = {
    name: `Planted Name ${slug}`,
    slug,
    adminEmail: person,
    billingEmail: person,
    tier: 'starter',
  };
  const posted = await call('POST', '/tenants', { token: operator, body: tenant });
  expect(posted.status).toBe(202);
  // Nobody runs the publisher here: the end of the execution does.
  const { tenantId } = await told('TenantActivated');

  const moving = await call('POST', `/tenants/${slug}/moves`, {
    token: operator,
    body: { targetTier: 'business' },
  });
  const move = await ended(String(moving.headers.get('location')));
  const moved = await told('MoveSucceeded');
  expect(moved).toMatchObject({ moveId: move.moveId, targetTier: 'business', tier: 'business' });
  expect(moved.rows).toBe((move.report as { rows: number }).rows);

  const backup = await ended(await backingUp());
  await publish();
  await told('BackupSucceeded');

  for (const status of ['suspended', 'active']) {
    const { status: answered } = await call('PATCH', `/tenants/${slug}`, {
      token: operator,
      body: { status },
    });
    expect(answered).toBe(200);
  }
  await publish();
  await told('TenantResumed');

  // The bus may deliver one behind a later one: its number shows it.
  await receiveUntil(isGapless);
  // Other tests start the daily runs, which measure this tenant too, and back it up.
  const ours = inOrder().filter(
    ({ 'detail-type': type, detail }) =>
      type !== 'UsageRecorded' && (detail.backupId === undefined || detail.backupId === backup.backupId),
  );
  expect(ours.map((event) => event['detail-type'])).toEqual([
    'TenantOnboardingStarted',
    'TenantActivated',
    'MoveStarted',
    'MoveCommitted',
    'TenantTierChanged',
    'MoveSucceeded',
    'BackupStarted',
    'BackupSucceeded',
    'TenantSuspended',
    'TenantResumed',
  ]);
  expect(ours[7]?.detail.rows).toBe(backup.rows);
  expect(new Set(seen.map(({ detail }) => detail.eventId)).size).toBe(seen.length);
  for (const { source, detail, ...event } of seen) {
    expect([source, detail.tenantId, detail.region]).toEqual(['strata', tenantId, 'us']);
    expect(eventDetail(event['detail-type']).safeParse(detail).error, event['detail-type']).toBeUndefined();
  }
  expect(JSON.stringify(seen)).not.toMatch(/planted/i);
}, 180_000);
