import { execFile, execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { att, role } from './assembly.ts';
import { type EndpointFixture, startEndpoint } from './endpoint-fixture.ts';

/** The real CLI, wherever the machine has one. */
function findCli(): boolean {
  try {
    execFileSync('aws', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    console.log('skipped: no aws CLI on this machine');
    return false;
  }
}

describe.runIf(findCli())('the aws CLI', () => {
  let fixture: EndpointFixture;

  beforeAll(async () => {
    fixture = await startEndpoint([
      {
        name: 'Cli',
        resources: {
          ...role('MachineRole', []),
          Files: { Type: 'AWS::S3::Bucket', Properties: { BucketName: 'files' } },
          Notices: { Type: 'AWS::SNS::Topic', Properties: { TopicName: 'notices' } },
          Bus: { Type: 'AWS::Events::EventBus', Properties: { Name: 'orders' } },
          Machine: {
            Type: 'AWS::StepFunctions::StateMachine',
            Properties: {
              StateMachineName: 'pass',
              RoleArn: att('MachineRole', 'Arn'),
              DefinitionString: '{"StartAt":"Done","States":{"Done":{"Type":"Pass","End":true}}}',
            },
          },
        },
        outputs: { Machine: { Value: { Ref: 'Machine' } } },
      },
    ]);
  });
  afterAll(() => fixture?.stop());

  const environment = () => ({
    PATH: process.env.PATH,
    HOME: fixture.stateDir,
    AWS_ACCESS_KEY_ID: 'any',
    AWS_SECRET_ACCESS_KEY: 'any',
    AWS_DEFAULT_REGION: 'us-east-1',
  });
  // As in the documents: a name, of which the bucket may become a part.
  const endpointUrl = () => fixture.platform.awsUrl.replace('127.0.0.1', 'localhost');

  async function aws(...args: string[]): Promise<Record<string, unknown>> {
    const { stdout } = await promisify(execFile)(
      'aws',
      ['--endpoint-url', fixture.platform.awsUrl, '--output', 'json', ...args],
      { env: environment() },
    );
    return stdout === '' ? {} : (JSON.parse(stdout) as Record<string, unknown>);
  }

  test('asks who it is', async () => {
    expect(await aws('sts', 'get-caller-identity')).toMatchObject({ Account: '000000000000' });
  });

  test('subscribes a queue to a bus', async () => {
    const queue = 'arn:aws:sqs:us-east-1:000000000000:orders';
    const policy = {
      Statement: {
        Effect: 'Allow',
        Principal: { Service: 'events.amazonaws.com' },
        Action: 'sqs:SendMessage',
        Resource: queue,
      },
    };
    const attributes = JSON.stringify({ Policy: JSON.stringify(policy) });
    const made = await aws('sqs', 'create-queue', '--queue-name', 'orders', '--attributes', attributes);
    const bus = ['--event-bus-name', 'orders'];
    await aws('events', 'put-rule', '--name', 'all', ...bus, '--event-pattern', '{"source":["shop"]}');
    await aws('events', 'put-targets', '--rule', 'all', ...bus, '--targets', `Id=queue,Arn=${queue}`);
    const entry = { EventBusName: 'orders', Source: 'shop', DetailType: 'Ordered', Detail: '{"n":1}' };
    expect(await aws('events', 'put-events', '--entries', JSON.stringify([entry]))).toMatchObject({
      FailedEntryCount: 0,
    });
    const url = ['--queue-url', made.QueueUrl as string];
    const { Messages } = await aws('sqs', 'receive-message', ...url, '--wait-time-seconds', '10');
    const [{ Body }] = Messages as [{ Body: string }];
    expect(JSON.parse(Body)).toMatchObject({ source: 'shop', detail: { n: 1 } });
    expect(await aws('events', 'list-targets-by-rule', '--rule', 'all', ...bus)).toEqual({
      Targets: [{ Id: 'queue', Arn: queue }],
    });
    await aws('events', 'remove-targets', '--rule', 'all', ...bus, '--ids', 'queue');
    await aws('events', 'delete-rule', '--name', 'all', ...bus);
    expect(await aws('events', 'list-rules', ...bus)).toEqual({ Rules: [] });
    const { EventBuses } = await aws('events', 'list-event-buses');
    expect(EventBuses).toHaveLength(2);
    expect(await aws('events', 'describe-event-bus', '--name', 'orders')).toMatchObject({ Name: 'orders' });
  });

  test('runs state machines', async () => {
    const { stateMachines } = await aws('stepfunctions', 'list-state-machines');
    const [{ stateMachineArn }] = stateMachines as [{ stateMachineArn: string }];
    const started = await aws(
      'stepfunctions',
      'start-execution',
      '--state-machine-arn',
      stateMachineArn,
      '--input',
      '{"a":1}',
    );
    const arn = ['--execution-arn', started.executionArn as string];
    const described = await aws('stepfunctions', 'describe-execution', ...arn);
    expect(described).toMatchObject({ status: 'SUCCEEDED', output: '{"a":1}' });
    const { events } = await aws('stepfunctions', 'get-execution-history', ...arn);
    expect(events).toHaveLength(4);
  });

  test('manages secrets', async () => {
    await aws('secretsmanager', 'create-secret', '--name', 'cli/secret', '--secret-string', '{"a":"<&>"}');
    expect(await aws('secretsmanager', 'get-secret-value', '--secret-id', 'cli/secret')).toMatchObject({
      SecretString: '{"a":"<&>"}',
    });
    await expect(aws('secretsmanager', 'get-secret-value', '--secret-id', 'none')).rejects.toThrow(
      'An error occurred (ResourceNotFoundException) when calling the GetSecretValue operation',
    );
  });

  test('stores files, large ones in parts, and publishes notices', async () => {
    const local = join(fixture.stateDir, 'large');
    const content = Buffer.alloc(20 * 1024 * 1024, 'content');
    writeFileSync(local, content);
    const s3 = (...args: string[]) =>
      promisify(execFile)('aws', ['--endpoint-url', endpointUrl(), 's3', ...args], { env: environment() });
    await s3('cp', '--no-progress', local, 's3://files/some folder/large');
    expect((await s3('ls', '--recursive', 's3://files')).stdout).toMatch(/ 20971520 some folder\/large\n$/);
    await s3('cp', '--no-progress', 's3://files/some folder/large', `${local}.back`);
    expect(readFileSync(`${local}.back`).equals(content)).toBe(true);
    await s3('mb', 's3://another');
    expect((await s3('ls')).stdout.match(/\w+\n/g)).toEqual(['another\n', 'files\n']);
    await s3('rb', 's3://another');
    await s3('rm', '--recursive', 's3://files');
    const topic = 'arn:aws:sns:us-east-1:000000000000:notices';
    await aws('sns', 'publish', '--topic-arn', topic, '--subject', 'By hand', '--message', 'text');
    expect(fixture.log).toContain('SNS notices: By hand');
  });

  test('describes stacks, databases and functions', async () => {
    const { Stacks } = await aws('cloudformation', 'describe-stacks', '--stack-name', 'Cli');
    expect(Stacks).toMatchObject([{ StackStatus: 'CREATE_COMPLETE', Outputs: [{ OutputKey: 'Machine' }] }]);
    expect(await aws('rds', 'describe-db-proxies')).toEqual({ DBProxies: [] });
    expect(await aws('lambda', 'list-functions')).toEqual({ Functions: [] });
  });

  test('is refused in the words of AWS', async () => {
    await expect(
      aws(
        'rds-data',
        'execute-statement',
        '--resource-arn',
        'arn:aws:rds:us-east-1:000000000000:cluster:none',
        '--secret-arn',
        'cli/secret-nowhere',
        '--sql',
        'SELECT 1',
      ),
    ).rejects.toThrow('An error occurred (NotFoundException)');
    await expect(aws('cloudformation', 'describe-stacks', '--stack-name', 'none')).rejects.toThrow(
      'An error occurred (ValidationError) when calling the DescribeStacks operation: Stack with id none does not exist',
    );
  });
});
