import { rmSync } from 'node:fs';
import { join } from 'node:path';
import {
  DeleteRuleCommand,
  DescribeEventBusCommand,
  DescribeRuleCommand,
  EventBridgeClient,
  ListEventBusesCommand,
  ListRulesCommand,
  ListTargetsByRuleCommand,
  PutEventsCommand,
  type PutEventsRequestEntry,
  PutRuleCommand,
  PutTargetsCommand,
  RemoveTargetsCommand,
} from '@aws-sdk/client-eventbridge';
import {
  CreateQueueCommand,
  DeleteMessageCommand,
  GetQueueUrlCommand,
  ListQueuesCommand,
  ReceiveMessageCommand,
  SendMessageCommand,
  SetQueueAttributesCommand,
  SQSClient,
} from '@aws-sdk/client-sqs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { att, lambdaFunction, type Resources, ref, role } from './aws/assembly.ts';
import { type EndpointFixture, startEndpoint } from './aws/endpoint-fixture.ts';
import { recordedLines } from './aws/recorded-lines.ts';
import { newDirectory } from './running-fixture.ts';

const directory = newDirectory();
const recordFile = join(directory, 'OnOrder');
const BUS = 'orders';
const busArn = `arn:aws:events:us-east-1:000000000000:event-bus/${BUS}`;
const ruleArn = (name: string) => `arn:aws:events:us-east-1:000000000000:rule/${BUS}/${name}`;
const queueArn = (name: string) => `arn:aws:sqs:us-east-1:000000000000:${name}`;

/** A queue of the template that a rule of the template fills. */
const templateQueue: Resources = {
  Queue: { Type: 'AWS::SQS::Queue', Properties: { QueueName: 'shipped' } },
  QueuePolicy: {
    Type: 'AWS::SQS::QueuePolicy',
    Properties: {
      Queues: [ref('Queue')],
      PolicyDocument: {
        Statement: [
          {
            Effect: 'Allow',
            Principal: { Service: 'events.amazonaws.com' },
            Action: 'sqs:SendMessage',
            Resource: att('Queue', 'Arn'),
            Condition: { ArnEquals: { 'aws:SourceArn': att('ToQueue', 'Arn') } },
          },
        ],
      },
    },
  },
  ToQueue: {
    Type: 'AWS::Events::Rule',
    Properties: {
      Name: 'to-queue',
      EventBusName: ref('Bus'),
      EventPattern: { 'detail-type': ['Shipped'] },
      Targets: [{ Id: 'queue', Arn: att('Queue', 'Arn'), InputPath: '$.detail' }],
    },
  },
};

const toFunction: Resources = {
  ...lambdaFunction('OnOrder', 'record', 'FunctionRole', { RECORD_FILE: recordFile }),
  ToFunction: {
    Type: 'AWS::Events::Rule',
    Properties: {
      Name: 'to-function',
      EventBusName: ref('Bus'),
      EventPattern: { source: ['shop'], detail: { total: [{ numeric: ['>=', 100] }] } },
      Targets: [{ Id: 'function', Arn: att('OnOrder', 'Arn') }],
    },
  },
  OnOrderPermission: {
    Type: 'AWS::Lambda::Permission',
    Properties: {
      Action: 'lambda:InvokeFunction',
      FunctionName: att('OnOrder', 'Arn'),
      Principal: 'events.amazonaws.com',
      SourceArn: att('ToFunction', 'Arn'),
    },
  },
};

let fixture: EndpointFixture;
let events: EventBridgeClient;
let sqs: SQSClient;
const connect = () => {
  events = new EventBridgeClient(fixture.client());
  sqs = new SQSClient(fixture.client());
};

beforeAll(async () => {
  fixture = await startEndpoint([
    {
      name: 'Events',
      resources: {
        Bus: { Type: 'AWS::Events::EventBus', Properties: { Name: BUS } },
        Archive: { Type: 'AWS::Events::Archive', Properties: { SourceArn: busArn } },
        ...role('FunctionRole', []),
        ...role('Publisher', [
          {
            Action: 'events:PutEvents',
            Resource: busArn,
            Condition: { StringEquals: { 'events:source': 'shop' } },
          },
        ]),
        ...role('Subscriber', [
          { Action: ['events:PutRule', 'events:PutTargets'], Resource: ruleArn('theirs') },
          { Action: 'sqs:ReceiveMessage', Resource: queueArn('theirs') },
        ]),
        ...templateQueue,
        ...toFunction,
      },
    },
  ]);
  connect();
});
afterAll(async () => {
  await fixture?.stop();
  rmSync(directory, { recursive: true, force: true });
});

const entry = (more: Partial<PutEventsRequestEntry> = {}): PutEventsRequestEntry => ({
  EventBusName: BUS,
  Source: 'shop',
  DetailType: 'Ordered',
  Detail: '{"total":5}',
  ...more,
});
const put = (...entries: PutEventsRequestEntry[]) => events.send(new PutEventsCommand({ Entries: entries }));

/** Takes what is in the queue, and waits for the first. */
async function receive(name: string): Promise<Record<string, unknown>[]> {
  const { QueueUrl } = await sqs.send(new GetQueueUrlCommand({ QueueName: name }));
  const { Messages = [] } = await sqs.send(
    new ReceiveMessageCommand({ QueueUrl, MaxNumberOfMessages: 10, WaitTimeSeconds: 10 }),
  );
  for (const { ReceiptHandle } of Messages) {
    await sqs.send(new DeleteMessageCommand({ QueueUrl, ReceiptHandle }));
  }
  return Messages.map(({ Body }) => JSON.parse(Body ?? '') as Record<string, unknown>);
}

/** A queue that a rule of a client fills. */
async function subscribe(rule: string, queue: string, pattern: object): Promise<void> {
  await events.send(
    new PutRuleCommand({ Name: rule, EventBusName: BUS, EventPattern: JSON.stringify(pattern) }),
  );
  const policy = {
    Statement: {
      Effect: 'Allow',
      Principal: { Service: 'events.amazonaws.com' },
      Action: 'sqs:SendMessage',
      Resource: queueArn(queue),
      Condition: { ArnEquals: { 'aws:SourceArn': ruleArn(rule) } },
    },
  };
  await sqs.send(
    new CreateQueueCommand({ QueueName: queue, Attributes: { Policy: JSON.stringify(policy) } }),
  );
  await events.send(
    new PutTargetsCommand({
      Rule: rule,
      EventBusName: BUS,
      Targets: [{ Id: 'queue', Arn: queueArn(queue) }],
    }),
  );
}

describe('a bus of the template', () => {
  test('is listed and described beside the default one', async () => {
    const { EventBuses } = await events.send(new ListEventBusesCommand({}));
    expect(EventBuses?.map(({ Name }) => Name)).toEqual(['default', BUS]);
    expect(await events.send(new DescribeEventBusCommand({ Name: busArn }))).toMatchObject({
      Name: BUS,
      Arn: busArn,
    });
    await expect(events.send(new DescribeEventBusCommand({ Name: 'none' }))).rejects.toMatchObject({
      name: 'ResourceNotFoundException',
    });
    // Each region has its own.
    const elsewhere = new EventBridgeClient(fixture.client(undefined, 'eu-west-1'));
    const there = await elsewhere.send(new ListEventBusesCommand({}));
    expect(there.EventBuses?.map(({ Name }) => Name)).toEqual(['default']);
  });

  test('delivers by the rules of the template to a function and to a queue', async () => {
    const { Entries } = await put(
      entry({ Detail: '{"total":99}' }),
      entry({ Detail: '{"total":100}', Resources: ['order/7'], Time: new Date('2026-01-02T03:04:05Z') }),
      entry({ DetailType: 'Shipped', Detail: '{"order":7}' }),
    );
    expect(await receive('shipped')).toEqual([{ order: 7 }]);
    await expect
      .poll(() => recordedLines<object>(recordFile), { timeout: 10_000 })
      .toEqual([
        {
          version: '0',
          id: Entries?.[1]?.EventId,
          'detail-type': 'Ordered',
          source: 'shop',
          account: '000000000000',
          region: 'us-east-1',
          time: '2026-01-02T03:04:05Z',
          resources: ['order/7'],
          detail: { total: 100 },
        },
      ]);
  });
});

describe('rules of clients', () => {
  test('deliver to a queue whose policy allows it, and survive a restart', async () => {
    await subscribe('all', 'all-orders', { source: ['shop'] });
    await put(entry({ Detail: '{"n":1}' }), entry({ Detail: '{"n":2}' }));
    const seen = await receive('all-orders');
    expect(seen.map(({ detail }) => detail)).toEqual([{ n: 1 }, { n: 2 }]);
    await fixture.restart();
    connect();
    await put(entry({ Detail: '{"n":3}' }), entry({ EventBusName: 'default', Detail: '{"n":4}' }));
    expect((await receive('all-orders')).map(({ detail }) => detail)).toEqual([{ n: 3 }]);
    const rule = await events.send(new DescribeRuleCommand({ Name: 'all', EventBusName: BUS }));
    expect(rule).toMatchObject({
      Arn: ruleArn('all'),
      State: 'ENABLED',
      EventPattern: '{"source":["shop"]}',
    });
  });

  test('deliver nothing to a queue without such a policy', async () => {
    await subscribe('closed', 'closed', { 'detail-type': ['Closed'] });
    const { QueueUrl } = await sqs.send(new GetQueueUrlCommand({ QueueName: 'closed' }));
    await sqs.send(new SetQueueAttributesCommand({ QueueUrl, Attributes: { Policy: '' } }));
    await put(entry({ DetailType: 'Closed' }));
    await expect
      .poll(() => fixture.log.join('\n'), { timeout: 10_000 })
      .toContain('rule closed: events.amazonaws.com is not authorized to perform: sqs:SendMessage');
  });

  test('are listed, emptied and deleted, and a disabled one delivers nothing', async () => {
    await subscribe('short', 'short', { source: ['shop'] });
    const { Rules } = await events.send(new ListRulesCommand({ EventBusName: BUS, NamePrefix: 'sh' }));
    expect(Rules?.map(({ Name }) => Name)).toEqual(['short']);
    const named = { Rule: 'short', EventBusName: BUS };
    const { Targets } = await events.send(new ListTargetsByRuleCommand(named));
    expect(Targets).toEqual([{ Id: 'queue', Arn: queueArn('short') }]);
    const rule = { Name: 'short', EventBusName: BUS };
    await expect(events.send(new DeleteRuleCommand(rule))).rejects.toThrow('since it has targets');
    await events.send(
      new PutRuleCommand({ ...rule, EventPattern: '{"source":["shop"]}', State: 'DISABLED' }),
    );
    await put(entry());
    // Later than the event, so it would be behind it.
    const { QueueUrl } = await sqs.send(new GetQueueUrlCommand({ QueueName: 'short' }));
    await sqs.send(new SendMessageCommand({ QueueUrl, MessageBody: '{"sent":true}' }));
    expect(await receive('short')).toEqual([{ sent: true }]);
    await events.send(new RemoveTargetsCommand({ ...named, Ids: ['queue'] }));
    await events.send(new DeleteRuleCommand(rule));
    await expect(events.send(new DescribeRuleCommand(rule))).rejects.toMatchObject({
      name: 'ResourceNotFoundException',
    });
  });

  test('with an operator or a target that is not supported here are refused by its name', async () => {
    const rule = { Name: 'x', EventBusName: BUS };
    await expect(
      events.send(new PutRuleCommand({ ...rule, EventPattern: '{"source":[{"suffix":"p"}]}' })),
    ).rejects.toMatchObject({
      name: 'InvalidEventPatternException',
      message: expect.stringContaining('the operator suffix is not understood locally'),
    });
    await expect(
      events.send(new PutRuleCommand({ ...rule, ScheduleExpression: 'rate(1 day)' })),
    ).rejects.toThrow('rules with a schedule are not run locally');
    await expect(
      events.send(new PutRuleCommand({ ...rule, EventBusName: 'none', EventPattern: '{"source":["a"]}' })),
    ).rejects.toMatchObject({ name: 'ResourceNotFoundException' });
    await events.send(new PutRuleCommand({ ...rule, EventPattern: '{"source":["a"]}' }));
    const target = { Id: 't', Arn: 'arn:aws:kinesis:us-east-1:000000000000:stream/s' };
    await expect(
      events.send(new PutTargetsCommand({ Rule: 'x', EventBusName: BUS, Targets: [target] })),
    ).rejects.toThrow('standard queues locally, not arn:aws:kinesis');
    await expect(events.send(new DeleteRuleCommand({ Name: 'to-queue', EventBusName: BUS }))).rejects.toThrow(
      "is a template's",
    );
  });
});

describe('events that are put', () => {
  test('are refused one by one, as AWS does', async () => {
    const { FailedEntryCount, Entries } = await put(
      entry({ Detail: 'no json' }),
      entry({ Source: '' }),
      entry({ Source: 'aws.ec2' }),
      entry({ EventBusName: 'none' }),
      entry({ DetailType: 'Fine' }),
    );
    expect(FailedEntryCount).toBe(4);
    expect(Entries?.map(({ ErrorCode }) => ErrorCode)).toEqual([
      'MalformedDetail',
      'InvalidArgument',
      'NotAuthorizedForSourceException',
      'ResourceNotFoundException',
      undefined,
    ]);
  });

  test('are refused together when they are too many or too large', async () => {
    await expect(put(...Array.from({ length: 11 }, () => entry()))).rejects.toThrow(
      'less than or equal to 10',
    );
    const large = JSON.stringify({ text: 'x'.repeat(200_000) });
    await expect(put(entry({ Detail: large }), entry({ Detail: large }))).rejects.toThrow(
      'Total size of the entries',
    );
  });
});

describe('a role', () => {
  const as = (name: string) => new EventBridgeClient(fixture.client(name));

  test('puts events on its bus with its source only', async () => {
    const publisher = as('Publisher');
    await publisher.send(new PutEventsCommand({ Entries: [entry()] }));
    for (const other of [{ Source: 'bank' }, { EventBusName: 'default' }]) {
      await expect(
        publisher.send(new PutEventsCommand({ Entries: [entry(), entry(other)] })),
      ).rejects.toMatchObject({ name: 'AccessDeniedException' });
    }
  });

  test('makes the rules that it may make', async () => {
    const subscriber = as('Subscriber');
    const pattern = { EventBusName: BUS, EventPattern: '{"source":["shop"]}' };
    await subscriber.send(new PutRuleCommand({ ...pattern, Name: 'theirs' }));
    await expect(subscriber.send(new PutRuleCommand({ ...pattern, Name: 'mine' }))).rejects.toMatchObject({
      name: 'AccessDeniedException',
    });
    await expect(subscriber.send(new ListRulesCommand({}))).rejects.toMatchObject({
      name: 'AccessDeniedException',
    });
    const target = { Id: 'q', Arn: queueArn('theirs') };
    const targets = { Rule: 'theirs', EventBusName: BUS };
    await subscriber.send(new PutTargetsCommand({ ...targets, Targets: [target] }));
    // To hand a role over takes a right of its own.
    const withRole = { ...target, RoleArn: 'arn:aws:iam::000000000000:role/Publisher' };
    await expect(subscriber.send(new PutTargetsCommand({ ...targets, Targets: [withRole] }))).rejects.toThrow(
      'iam:PassRole',
    );
  });

  test('reads the queues that it may read', async () => {
    await sqs.send(new CreateQueueCommand({ QueueName: 'theirs' }));
    const subscriber = new SQSClient(fixture.client('Subscriber'));
    const urlOf = async (QueueName: string) =>
      (await sqs.send(new GetQueueUrlCommand({ QueueName }))).QueueUrl;
    await subscriber.send(new ReceiveMessageCommand({ QueueUrl: await urlOf('theirs') }));
    await expect(
      subscriber.send(new ReceiveMessageCommand({ QueueUrl: await urlOf('shipped') })),
    ).rejects.toMatchObject({ name: 'AccessDeniedException' });
    await expect(subscriber.send(new ListQueuesCommand({}))).rejects.toMatchObject({
      name: 'AccessDeniedException',
    });
  });
});
