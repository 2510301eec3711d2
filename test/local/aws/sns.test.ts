import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { SFNClient, StartExecutionCommand } from '@aws-sdk/client-sfn';
import {
  CreateTopicCommand,
  ListSubscriptionsByTopicCommand,
  PublishCommand,
  SNSClient,
  SubscribeCommand,
} from '@aws-sdk/client-sns';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { newDirectory } from '../running-fixture.ts';
import { att, lambdaFunction, type Resources, ref, role } from './assembly.ts';
import { type EndpointFixture, startEndpoint } from './endpoint-fixture.ts';
import { recordedLines } from './recorded-lines.ts';

const directory = newDirectory();
const recordFile = (name: string) => join(directory, name);
const topicArn = (name: string) => `arn:aws:sns:us-east-1:000000000000:${name}`;
let fixture: EndpointFixture;
let sns: SNSClient;

interface TopicEvent {
  Records: [{ EventSubscriptionArn: string; Sns: { Subject: string | null; Message: string } }];
}
const received = (name: string) =>
  recordedLines<TopicEvent>(recordFile(name)).map(({ Records }) => Records[0].Sns);

/** A function of that name, subscribed to the topic, which may invoke it unless the source is another. */
function subscriber(
  name: string,
  topic: string,
  properties: object = {},
  source = topicArn(topic),
): Resources {
  return {
    ...lambdaFunction(name, 'record', 'FunctionRole', { RECORD_FILE: recordFile(name) }),
    [`${name}Permission`]: {
      Type: 'AWS::Lambda::Permission',
      Properties: {
        Action: 'lambda:InvokeFunction',
        FunctionName: att(name, 'Arn'),
        Principal: 'sns.amazonaws.com',
        SourceArn: source,
      },
    },
    [`${name}Subscription`]: {
      Type: 'AWS::SNS::Subscription',
      Properties: { TopicArn: ref(topic), Protocol: 'lambda', Endpoint: att(name, 'Arn'), ...properties },
    },
  };
}

const topic = (name: string): Resources => ({
  [name]: { Type: 'AWS::SNS::Topic', Properties: { TopicName: name } },
});

/** A rule on the ends of executions that publishes to the topic. */
const rule = (name: string, target: string): Resources => ({
  [name]: {
    Type: 'AWS::Events::Rule',
    Properties: {
      Name: name,
      EventPattern: { source: ['aws.states'], detail: { status: ['SUCCEEDED'] } },
      Targets: [{ Id: 'topic', Arn: ref(target), InputPath: '$.detail.name' }],
    },
  },
});

beforeAll(async () => {
  fixture = await startEndpoint([
    {
      name: 'Notices',
      resources: {
        ...role('FunctionRole', []),
        ...role('Publisher', [{ Action: 'sns:Publish', Resource: topicArn('notices') }]),
        ...topic('notices'),
        ...topic('ends'),
        ...topic('closed'),
        ...subscriber('Everything', 'notices'),
        ...subscriber('Urgent', 'notices', { FilterPolicy: { severity: ['high'] } }),
        ...subscriber('Foreign', 'notices', {}, topicArn('other')),
        ...subscriber('OnEnd', 'ends'),
        EndsPolicy: {
          Type: 'AWS::SNS::TopicPolicy',
          Properties: {
            Topics: [ref('ends')],
            PolicyDocument: {
              Statement: [
                {
                  Effect: 'Allow',
                  Principal: { Service: 'events.amazonaws.com' },
                  Action: 'sns:Publish',
                  Resource: ref('ends'),
                  Condition: { ArnEquals: { 'aws:SourceArn': att('ToEnds', 'Arn') } },
                },
              ],
            },
          },
        },
        ...rule('ToEnds', 'ends'),
        ...rule('ToClosed', 'closed'),
        Machine: {
          Type: 'AWS::StepFunctions::StateMachine',
          Properties: {
            StateMachineName: 'machine',
            RoleArn: att('FunctionRole', 'Arn'),
            DefinitionString: '{"StartAt":"Done","States":{"Done":{"Type":"Pass","End":true}}}',
          },
        },
      },
    },
  ]);
  sns = new SNSClient(fixture.client());
});
afterAll(() => fixture?.stop());

const publish = (Message: string, severity: string, client = sns) =>
  client.send(
    new PublishCommand({
      TopicArn: topicArn('notices'),
      Subject: `About ${Message}`,
      Message,
      MessageAttributes: { severity: { DataType: 'String', StringValue: severity } },
    }),
  );

test('a message is in the logs and reaches the functions that are subscribed, as their filters say', async () => {
  const publisher = new SNSClient(fixture.client('Publisher'));
  await publish('a & b', 'low', publisher);
  await publish('fire', 'high', publisher);
  await expect
    .poll(() =>
      received('Everything')
        .map(({ Message }) => Message)
        .sort(),
    )
    .toEqual(['a & b', 'fire']);
  await expect.poll(() => received('Urgent')).toMatchObject([{ Subject: 'About fire', Message: 'fire' }]);
  expect(fixture.log).toContain('SNS notices: About fire');
  const lines = readFileSync(join(fixture.stateDir, 'logs/topic-notices.us-east-1.log'), 'utf8');
  expect(lines).toContain('"subject":"About a & b","message":"a & b"');
});

test('a function whose permission names another topic is not invoked, and the log says why', async () => {
  await publish('refused', 'low');
  await expect
    .poll(() => fixture.log)
    .toContainEqual(
      expect.stringMatching(/^topic notices: sns\.amazonaws\.com is not authorized to perform/),
    );
  expect(received('Foreign')).toEqual([]);
});

test('a role publishes to the topic that its policy names only', async () => {
  const publisher = new SNSClient(fixture.client('Publisher'));
  const other = publisher.send(new PublishCommand({ TopicArn: topicArn('ends'), Message: 'x' }));
  await expect(other).rejects.toMatchObject({ name: 'AuthorizationErrorException' });
  const none = sns.send(new PublishCommand({ TopicArn: topicArn('none'), Message: 'x' }));
  await expect(none).rejects.toMatchObject({ name: 'NotFoundException' });
});

test('a rule publishes to a topic whose policy lets it, and to no other', async () => {
  const states = new SFNClient(fixture.client());
  const stateMachineArn = 'arn:aws:states:us-east-1:000000000000:stateMachine:machine';
  await states.send(new StartExecutionCommand({ stateMachineArn, name: 'first' }));
  await expect.poll(() => received('OnEnd')).toMatchObject([{ Message: '"first"' }]);
  await expect
    .poll(() => fixture.log)
    .toContainEqual(
      expect.stringMatching(/^rule ToClosed: events\.amazonaws\.com is not authorized .*:closed/),
    );
});

test('topics and subscriptions that a client made survive a restart', async () => {
  const { TopicArn } = await sns.send(new CreateTopicCommand({ Name: 'made' }));
  expect(TopicArn).toBe(topicArn('made'));
  await sns.send(new SubscribeCommand({ TopicArn, Protocol: 'email', Endpoint: 'someone@example.com' }));
  await fixture.restart();
  sns = new SNSClient(fixture.client());
  const { Subscriptions } = await sns.send(new ListSubscriptionsByTopicCommand({ TopicArn }));
  expect(Subscriptions).toMatchObject([{ Protocol: 'email', Endpoint: 'someone@example.com' }]);
  // Those of the template are there once.
  const ofTemplate = await sns.send(new ListSubscriptionsByTopicCommand({ TopicArn: topicArn('notices') }));
  expect(ofTemplate.Subscriptions).toHaveLength(3);
});
