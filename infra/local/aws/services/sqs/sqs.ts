import { LOCAL_ACCOUNT, type ResourceFactory } from '../../../model.ts';
import { AwsError, ResourceFailure } from '../../errors.ts';
import type { Input } from '../../input.ts';
import type { AwsService, Call, Operation, ServiceModule } from '../../service.ts';
import type { Fauxqs } from '../fauxqs.ts';

/** IAM's action of each operation, where it is not the operation's own name. */
const ACTIONS: Readonly<Record<string, string>> = {
  SendMessageBatch: 'SendMessage',
  DeleteMessageBatch: 'DeleteMessage',
  ChangeMessageVisibilityBatch: 'ChangeMessageVisibility',
};

const OF_A_QUEUE = [
  'DeleteQueue',
  'GetQueueAttributes',
  'SetQueueAttributes',
  'PurgeQueue',
  'SendMessage',
  'SendMessageBatch',
  'ReceiveMessage',
  'DeleteMessage',
  'DeleteMessageBatch',
  'ChangeMessageVisibility',
  'ChangeMessageVisibilityBatch',
  'TagQueue',
  'UntagQueue',
  'ListQueueTags',
];

/**
 * AWS SQS by fauxqs: standard and FIFO queues. A queue's URL is at this endpoint; its region is that of the request's
 * signature, as for every other service here.
 */
export function sqs(fauxqs: Fauxqs): ServiceModule {
  return { service: wire(fauxqs), resources: [queueResource(fauxqs)] };
}

function wire(fauxqs: Fauxqs): AwsService {
  const byName: Operation = {
    permissions: (input, call) => [
      { action: `sqs:${call.operation}`, resource: queueArn(input.required('QueueName'), call.region) },
    ],
    run: (input, call) => send(fauxqs, input.members, call),
  };
  const byUrl: Operation = {
    permissions: (input, { operation, region }) => [
      { action: `sqs:${ACTIONS[operation] ?? operation}`, resource: queueArn(nameOf(input), region) },
    ],
    run: (input, call) =>
      send(fauxqs, { ...input.members, QueueUrl: innerUrl(nameOf(input), call.region) }, call),
  };
  return {
    signingNames: ['sqs'],
    prefix: 'sqs',
    protocol: { kind: 'json', version: '1.0' },
    accessDenied: { code: 'AccessDeniedException', status: 403 },
    operations: {
      CreateQueue: byName,
      GetQueueUrl: byName,
      ListQueues: {
        permissions: () => [{ action: 'sqs:ListQueues', resource: '*' }],
        async run(input, call) {
          const { QueueUrls = [] } = (await send(fauxqs, input.members, call)) as { QueueUrls?: string[] };
          const { sqs: store } = await fauxqs.stores();
          const here = QueueUrls.filter((url) => store.getQueueByArn(queueArn(lastPart(url), call.region)));
          return { QueueUrls: here };
        },
      },
      ...Object.fromEntries(OF_A_QUEUE.map((name) => [name, byUrl])),
    },
  };
}

/** @throws {AwsError} fauxqs's own refusal */
async function send(fauxqs: Fauxqs, members: object, call: Call): Promise<unknown> {
  const { status, body } = await fauxqs.send({
    method: 'POST',
    headers: {
      'content-type': 'application/x-amz-json-1.0',
      'x-amz-target': `AmazonSQS.${call.operation}`,
      // The region of a new queue.
      authorization: `AWS4-HMAC-SHA256 Credential=local/20260101/${call.region}/sqs/aws4_request`,
    },
    body: Buffer.from(JSON.stringify(members)),
  });
  const answer = JSON.parse(body.toString() || '{}') as Record<string, unknown>;
  if (status >= 400) {
    const type = String(answer.__type ?? 'InternalFailure');
    throw new AwsError(type.slice(type.indexOf('#') + 1), String(answer.message ?? ''), { status });
  }
  // fauxqs does not know the address of this endpoint.
  const outer = (url: unknown) =>
    `http://${call.headers.host ?? 'localhost'}/${LOCAL_ACCOUNT}/${lastPart(url)}`;
  return {
    ...answer,
    ...(answer.QueueUrl === undefined ? {} : { QueueUrl: outer(answer.QueueUrl) }),
    ...(Array.isArray(answer.QueueUrls) ? { QueueUrls: answer.QueueUrls.map(outer) } : {}),
  };
}

const lastPart = (url: unknown) => String(url).slice(String(url).lastIndexOf('/') + 1);
const nameOf = (input: Input) => lastPart(input.required('QueueUrl'));
const queueArn = (name: string, region: string) => `arn:aws:sqs:${region}:${LOCAL_ACCOUNT}:${name}`;
/** As fauxqs reads it: the region is a part of the host. */
const innerUrl = (name: string, region: string) => `http://sqs.${region}.local/${LOCAL_ACCOUNT}/${name}`;

/** Properties of a template that are attributes of a queue, and the same by the same name. */
const ATTRIBUTES = [
  'VisibilityTimeout',
  'DelaySeconds',
  'MessageRetentionPeriod',
  'ReceiveMessageWaitTimeSeconds',
  'FifoQueue',
  'ContentBasedDeduplication',
];

/** `AWS::SQS::Queue`. */
function queueResource(fauxqs: Fauxqs): ResourceFactory {
  return {
    type: 'AWS::SQS::Queue',
    async create({ stack: { region }, properties, defaultName }, { awsUrl }) {
      const name = String(properties.QueueName ?? defaultName);
      if (!/^[\w-]{1,80}(?:\.fifo)?$/.test(name)) {
        throw new ResourceFailure(`The name of a queue cannot be ${name}`);
      }
      const arn = queueArn(name, region);
      const attributes = Object.fromEntries(
        ATTRIBUTES.filter((one) => properties[one] !== undefined).map((one) => [
          one,
          String(properties[one]),
        ]),
      );
      await fauxqs.declare(({ sqs: store }) => {
        const known = store.getQueueByArn(arn);
        if (known) known.setAttributes(attributes);
        else store.createQueue(name, innerUrl(name, region), arn, attributes);
      });
      const url = `${awsUrl}/${LOCAL_ACCOUNT}/${name}`;
      return { ref: url, attributes: { Arn: arn, QueueName: name, QueueUrl: url } };
    },
    async remove({ attributes }) {
      const [, , , region = '', , name = ''] = String(attributes.Arn).split(':');
      (await fauxqs.stores()).sqs.deleteQueue(innerUrl(name, region));
    },
  };
}
