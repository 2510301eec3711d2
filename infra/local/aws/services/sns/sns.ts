import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { reasonOf } from '../../../errors.ts';
import { LOCAL_ACCOUNT, type PlatformContext } from '../../../model.ts';
import { AwsError } from '../../errors.ts';
import type { Input } from '../../input.ts';
import {
  type AwsService,
  type Call,
  type Operation,
  type Permission,
  RawResponse,
  type ServiceModule,
} from '../../service.ts';
import { ASYNCHRONOUS_RETRIES, type Targets, withRetries } from '../../targets.ts';
import { type Fauxqs, FORM, type Stores, type Subscription } from '../fauxqs.ts';
import { topicResources } from './topic-resources.ts';

/**
 * AWS SNS by fauxqs. A message is in `logs/topic-<name>.<region>.log` and, with its subject, in the platform's log;
 * functions that are subscribed are invoked. Other protocols' endpoints receive nothing.
 */
export function sns(fauxqs: Fauxqs, context: PlatformContext, targets: Targets): ServiceModule {
  const deliveries = new Deliveries(context, targets);
  return {
    service: wire(fauxqs, context, deliveries),
    resources: topicResources(fauxqs),
    stop: () => deliveries.stop(),
  };
}

function wire(fauxqs: Fauxqs, context: PlatformContext, deliveries: Deliveries): AwsService {
  return {
    signingNames: ['sns'],
    prefix: 'sns',
    protocol: { kind: 'query', namespace: 'http://sns.amazonaws.com/doc/2010-03-31/' },
    accessDenied: { code: 'AuthorizationError', status: 403 },
    operations: {
      Publish: {
        permissions: (input) => [{ action: 'sns:Publish', resource: topicOf(input) }],
        async run(input, call) {
          const topicArn = topicOf(input);
          requireHere(topicArn, call);
          const answer = await send(fauxqs, { ...input.members, TopicArn: topicArn }, call);
          const [, MessageId = ''] = /<MessageId>([^<]+)</.exec(answer) ?? [];
          const message = messageOf(input, topicArn, MessageId);
          record(context, message);
          deliveries.start(await fauxqs.stores(), message);
          return { MessageId };
        },
      },
      ...forwarded(fauxqs, 'CreateTopic', (input, call) => topicArnOf(input.required('Name'), call.region)),
      ...forwarded(fauxqs, 'ListTopics', () => '*'),
      ...forwarded(fauxqs, 'ListSubscriptions', () => '*'),
      ...forwarded(fauxqs, 'Unsubscribe', () => '*'),
      ...forwarded(fauxqs, 'GetSubscriptionAttributes', () => '*'),
      ...forwarded(fauxqs, 'SetSubscriptionAttributes', () => '*'),
      ...forwarded(fauxqs, 'ListTagsForResource', (input) => input.required('ResourceArn')),
      ...forwarded(fauxqs, 'TagResource', (input) => input.required('ResourceArn')),
      ...forwarded(fauxqs, 'UntagResource', (input) => input.required('ResourceArn')),
      ...Object.assign(
        {},
        ...[
          'DeleteTopic',
          'GetTopicAttributes',
          'SetTopicAttributes',
          'Subscribe',
          'ConfirmSubscription',
          'ListSubscriptionsByTopic',
        ].map((name) => forwarded(fauxqs, name, (input) => input.required('TopicArn'))),
      ),
    },
  };
}

/** An operation that fauxqs answers itself. */
function forwarded(
  fauxqs: Fauxqs,
  name: string,
  resource: (input: Input, call: Call) => string,
): Record<string, Operation> {
  const permissions = (input: Input, call: Call): Permission[] => [
    { action: `sns:${name}`, resource: resource(input, call) },
  ];
  return {
    [name]: {
      permissions,
      async run(input, call) {
        const arn = resource(input, call);
        if (arn !== '*') requireHere(arn, call);
        return new RawResponse(200, { 'content-type': 'text/xml' }, await send(fauxqs, input.members, call));
      },
    },
  };
}

/** @throws {AwsError} what fauxqs refuses */
async function send(fauxqs: Fauxqs, members: Record<string, unknown>, call: Call): Promise<string> {
  const form = new URLSearchParams({ Action: call.operation });
  flatten(members, '', form);
  const { status, body } = await fauxqs.send({
    method: 'POST',
    headers: {
      'content-type': FORM,
      // Which region a new topic is in.
      authorization: `AWS4-HMAC-SHA256 Credential=local/20260101/${call.region}/sns/aws4_request`,
    },
    body: Buffer.from(form.toString()),
  });
  const text = body.toString();
  if (status < 400) return text;
  const [, code = 'InternalFailure'] = /<Code>([^<]*)</.exec(text) ?? [];
  const [, message = ''] = /<Message>([^<]*)</.exec(text) ?? [];
  throw new AwsError(code, message, { status });
}

/** Members as a form names them: maps are lists of `entry`, lists are of `member`. */
function flatten(value: unknown, prefix: string, form: URLSearchParams): void {
  if (Array.isArray(value)) {
    const item = /Attributes$/.test(prefix) ? 'entry' : 'member';
    for (const [index, element] of value.entries()) flatten(element, `${prefix}.${item}.${index + 1}`, form);
  } else if (typeof value === 'object' && value !== null) {
    for (const [name, member] of Object.entries(value)) {
      flatten(member, prefix === '' ? name : `${prefix}.${name}`, form);
    }
  } else if (value !== undefined && value !== null) form.append(prefix, String(value));
}

const topicArnOf = (name: string, region: string) => `arn:aws:sns:${region}:${LOCAL_ACCOUNT}:${name}`;
const topicOf = (input: Input) => input.text('TopicArn') ?? input.required('TargetArn');

function requireHere(topicArn: string, call: Call): void {
  if (topicArn.split(':')[3] !== call.region) {
    throw new AwsError('InvalidParameter', 'Invalid parameter: TopicArn');
  }
}

interface Message {
  topicArn: string;
  messageId: string;
  time: string;
  subject: string | undefined;
  text: string;
  attributes: Record<string, { DataType: string; StringValue?: string; BinaryValue?: string }>;
}

function messageOf(input: Input, topicArn: string, messageId: string): Message {
  const attributes: Message['attributes'] = {};
  for (const entry of input.inputs('MessageAttributes')) {
    const value = entry.structure('Value')?.members as Message['attributes'][string] | undefined;
    if (value) attributes[entry.required('Name')] = value;
  }
  const time = new Date().toISOString();
  return {
    topicArn,
    messageId,
    time,
    attributes,
    subject: input.text('Subject'),
    text: input.required('Message'),
  };
}

function record({ log, stateDir }: PlatformContext, { topicArn, time, subject, text }: Message): void {
  const [, , , region, , name] = topicArn.split(':');
  log(`SNS ${name}: ${subject ?? '(no subject)'}`);
  const line = JSON.stringify({ time, subject, message: text });
  appendFileSync(join(stateDir, 'logs', `topic-${name}.${region}.log`), `${line}\n`, { mode: 0o600 });
}

/** To the functions that are subscribed to a topic. What a stop interrupts is not delivered. */
class Deliveries {
  readonly #context: PlatformContext;
  readonly #targets: Targets;
  readonly #stopping = new AbortController();

  constructor(context: PlatformContext, targets: Targets) {
    this.#context = context;
    this.#targets = targets;
  }

  stop(): void {
    this.#stopping.abort();
  }

  start(stores: Stores, message: Message): void {
    for (const arn of stores.sns.topics.get(message.topicArn)?.subscriptionArns ?? []) {
      const subscription = stores.sns.subscriptions.get(arn);
      if (subscription?.protocol === 'lambda' && passes(stores, subscription, message)) {
        void this.#deliver(subscription, message);
      }
    }
  }

  /** Never rejects. */
  async #deliver({ arn, endpoint }: Subscription, message: Message): Promise<void> {
    const { topicArn } = message;
    const [, , , region = '', , name] = topicArn.split(':');
    const invocation = {
      targetArn: endpoint,
      region,
      invoker: { kind: 'service', service: 'sns.amazonaws.com', sourceArn: topicArn } as const,
      payload: JSON.stringify(functionEvent(arn, message)),
    };
    const { waitScale, log } = this.#context;
    const { signal } = this.#stopping;
    const options = { retries: ASYNCHRONOUS_RETRIES, waitScale, signal };
    await withRetries(() => this.#targets.invoke(invocation), options).catch((cause) => {
      if (!signal.aborted) log(`topic ${name}: ${reasonOf(cause)}`);
    });
  }
}

function passes(stores: Stores, { attributes }: Subscription, message: Message): boolean {
  if (attributes.FilterPolicy === undefined) return true;
  const policy: unknown = JSON.parse(attributes.FilterPolicy);
  return attributes.FilterPolicyScope === 'MessageBody'
    ? stores.matchesFilterPolicyOnBody(policy, message.text)
    : stores.matchesFilterPolicy(policy, message.attributes);
}

/** What SNS invokes a function with. */
function functionEvent(subscriptionArn: string, message: Message): unknown {
  const attributes = Object.entries(message.attributes).map(
    ([name, { DataType, StringValue, BinaryValue }]) => [
      name,
      { Type: DataType, Value: StringValue ?? BinaryValue },
    ],
  );
  return {
    Records: [
      {
        EventVersion: '1.0',
        EventSubscriptionArn: subscriptionArn,
        EventSource: 'aws:sns',
        Sns: {
          Type: 'Notification',
          MessageId: message.messageId,
          TopicArn: message.topicArn,
          Subject: message.subject ?? null,
          Message: message.text,
          Timestamp: message.time,
          MessageAttributes: Object.fromEntries(attributes),
        },
      },
    ],
  };
}
