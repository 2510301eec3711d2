import { execFile, execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import {
  CreateScheduleCommand,
  GetScheduleCommand,
  ListSchedulesCommand,
  SchedulerClient,
} from '@aws-sdk/client-scheduler';
import { DescribeExecutionCommand, ListExecutionsCommand, SFNClient } from '@aws-sdk/client-sfn';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { att, lambdaFunction, type Resources, role } from './aws/assembly.ts';
import { type EndpointFixture, startEndpoint } from './aws/endpoint-fixture.ts';
import { recordedLines } from './aws/recorded-lines.ts';
import { newDirectory } from './running-fixture.ts';

const recordFile = join(newDirectory(), 'record');
const functionArn = (name: string) => `arn:aws:lambda:us-east-1:000000000000:function:${name}`;
const machineArn = 'arn:aws:states:us-east-1:000000000000:stateMachine:nightly';
const scheduleArn = (name: string) => `arn:aws:scheduler:us-east-1:000000000000:schedule/default/${name}`;
const roleArn = (name: string) => `arn:aws:iam::000000000000:role/${name}`;

function schedule(name: string, expression: string, target: object, properties: object = {}): Resources {
  return {
    [name]: {
      Type: 'AWS::Scheduler::Schedule',
      Properties: {
        Name: name,
        ScheduleExpression: expression,
        FlexibleTimeWindow: { Mode: 'OFF' },
        Target: target,
        ...properties,
      },
    },
  };
}

let fixture: EndpointFixture;
let scheduler: SchedulerClient;

beforeAll(async () => {
  const recorder = { Arn: att('Recorder', 'Arn'), RoleArn: att('SchedulerRole', 'Arn'), Input: '{"a":1}' };
  fixture = await startEndpoint([
    {
      name: 'Scheduled',
      resources: {
        ...role('FunctionRole', []),
        ...lambdaFunction('Recorder', 'record', 'FunctionRole', { RECORD_FILE: recordFile }),
        ...lambdaFunction('Other', 'record', 'FunctionRole', { RECORD_FILE: recordFile }),
        ...role('SchedulerRole', [
          { Action: 'lambda:InvokeFunction', Resource: att('Recorder', 'Arn') },
          { Action: 'states:StartExecution', Resource: machineArn },
        ]),
        ...role('Reader', [{ Action: 'scheduler:GetSchedule', Resource: scheduleArn('hourly') }]),
        Nightly: {
          Type: 'AWS::StepFunctions::StateMachine',
          Properties: {
            StateMachineName: 'nightly',
            RoleArn: att('FunctionRole', 'Arn'),
            DefinitionString: '{"StartAt":"Done","States":{"Done":{"Type":"Pass","End":true}}}',
          },
        },
        ...schedule('hourly', 'rate(1 hour)', recorder, { Description: 'Counts.' }),
        ...schedule('paused', 'cron(0 2 * * ? *)', recorder, {
          State: 'DISABLED',
          GroupName: 'upkeep',
          ScheduleExpressionTimezone: 'Europe/Berlin',
        }),
      },
    },
  ]);
  scheduler = new SchedulerClient(fixture.client());
});
afterAll(() => fixture.stop());

let stacks = 0;
/** Deploys a schedule that is due in about a second. */
async function soon(name: string, target: Record<string, unknown>): Promise<void> {
  const at = new Date(Date.now() + 2_000).toISOString().slice(0, 19);
  const stack = `Soon${++stacks}`;
  await fixture.platform.context.deployer.deploy({
    name: stack,
    arn: `arn:aws:cloudformation:us-east-1:000000000000:stack/${stack}/x`,
    region: 'us-east-1',
    template: {
      Resources: schedule(name, `at(${at})`, { RoleArn: roleArn('SchedulerRole'), ...target }),
    },
    parameters: {},
  });
}

const written = <T>(key: string) =>
  recordedLines<Record<string, unknown>>(recordFile).filter((line) => key in line) as T[];

describe('a due schedule', () => {
  test('invokes its function with its input, context attributes filled in', async () => {
    const Input =
      '{"from":"<aws.scheduler.schedule-arn>","at":"<aws.scheduler.scheduled-time>","n":"<aws.scheduler.attempt-number>"}';
    await soon('invokes', { Arn: functionArn('Recorder'), Input });
    await expect.poll(() => written('from'), { timeout: 10_000 }).toHaveLength(1);
    const [event] = written<{ at: string }>('from');
    expect(event).toMatchObject({ from: scheduleArn('invokes'), n: '1' });
    expect(event!.at).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
  });

  test('without an input hands over a Scheduled Event', async () => {
    await soon('plain', { Arn: functionArn('Recorder') });
    await expect.poll(() => written('detail-type'), { timeout: 10_000 }).toHaveLength(1);
    expect(written('detail-type')[0]).toMatchObject({
      source: 'aws.scheduler',
      'detail-type': 'Scheduled Event',
      resources: [scheduleArn('plain')],
    });
  });

  test('starts a state machine', async () => {
    await soon('starts', { Arn: machineArn, Input: '{"night":1}' });
    const sfn = new SFNClient(fixture.client());
    const list = () => sfn.send(new ListExecutionsCommand({ stateMachineArn: machineArn }));
    await expect.poll(async () => (await list()).executions, { timeout: 10_000 }).toHaveLength(1);
    const { executionArn } = (await list()).executions![0]!;
    expect(await sfn.send(new DescribeExecutionCommand({ executionArn }))).toMatchObject({
      input: '{"night":1}',
    });
  });

  test('is denied what its role may not do, and the log says so in the words of AWS', async () => {
    // Many retries allowed: a refusal uses none of them.
    const RetryPolicy = { MaximumRetryAttempts: 100 };
    await soon('denied', { Arn: functionArn('Other'), Input: '{"denied":true}', RetryPolicy });
    const refusal =
      'schedule denied: User: arn:aws:sts::000000000000:assumed-role/SchedulerRole/denied is not authorized to perform: lambda:InvokeFunction on resource: arn:aws:lambda:us-east-1:000000000000:function:Other because no identity-based policy allows the lambda:InvokeFunction action';
    await expect.poll(() => fixture.log, { timeout: 10_000 }).toContain(refusal);
    expect(written('denied')).toEqual([]);
  });

  test('tries a failing function again as its policy says', async () => {
    const Input = JSON.stringify({ failing: true, error: 'Unlucky', key: 'schedule' });
    await soon('fails', {
      Arn: functionArn('Recorder'),
      Input,
      RetryPolicy: { MaximumRetryAttempts: 1 },
    });
    await expect
      .poll(() => fixture.log, { timeout: 15_000 })
      .toContainEqual(expect.stringMatching(/^schedule fails: arn:\S+ failed: Unlucky: failed on purpose$/));
    expect(written('failing')).toHaveLength(2);
  });
});

test.each([
  [
    'a universal target',
    'arn:aws:scheduler:::aws-sdk:sqs:sendMessage',
    /universal targets are not run locally/,
  ],
  [
    'a queue',
    'arn:aws:sqs:us-east-1:000000000000:queue',
    /schedules invoke functions, state machines and topics locally/,
  ],
])('%s is refused when it is deployed', async (_what, Arn, message) => {
  await expect(soon('refused', { Arn })).rejects.toThrow(message);
});

describe('the API', () => {
  test('lists schedules by prefix, group and state, a page at a time', async () => {
    const { Schedules = [] } = await scheduler.send(new ListSchedulesCommand({ NamePrefix: 'hour' }));
    expect(Schedules).toEqual([
      {
        Arn: scheduleArn('hourly'),
        Name: 'hourly',
        GroupName: 'default',
        State: 'ENABLED',
        CreationDate: expect.any(Date),
        LastModificationDate: expect.any(Date),
        Target: { Arn: functionArn('Recorder') },
      },
    ]);
    const age = Date.now() - Schedules[0]!.CreationDate!.getTime();
    expect(age).toBeGreaterThanOrEqual(0);
    expect(age).toBeLessThan(120_000);
    const names = async (filter: object) =>
      (await scheduler.send(new ListSchedulesCommand(filter))).Schedules?.map(({ Name }) => Name);
    expect(await names({ GroupName: 'upkeep' })).toEqual(['paused']);
    expect(await names({ State: 'DISABLED' })).toEqual(['paused']);
    expect(await names({ NamePrefix: 'none' })).toEqual([]);
    const first = await scheduler.send(new ListSchedulesCommand({ MaxResults: 1 }));
    expect(first.Schedules).toHaveLength(1);
    const second = await scheduler.send(
      new ListSchedulesCommand({ MaxResults: 1, NextToken: first.NextToken }),
    );
    expect(second.Schedules![0]!.Name).not.toBe(first.Schedules![0]!.Name);
    await expect(scheduler.send(new ListSchedulesCommand({ MaxResults: 101 }))).rejects.toMatchObject({
      name: 'ValidationException',
    });
  });

  test('describes one schedule', async () => {
    expect(await scheduler.send(new GetScheduleCommand({ Name: 'hourly' }))).toMatchObject({
      Description: 'Counts.',
      ScheduleExpression: 'rate(1 hour)',
      ScheduleExpressionTimezone: 'UTC',
      FlexibleTimeWindow: { Mode: 'OFF' },
      Target: { Arn: functionArn('Recorder'), RoleArn: roleArn('SchedulerRole'), Input: '{"a":1}' },
    });
    const paused = new GetScheduleCommand({ Name: 'paused', GroupName: 'upkeep' });
    expect(await scheduler.send(paused)).toMatchObject({
      State: 'DISABLED',
      ScheduleExpressionTimezone: 'Europe/Berlin',
    });
    await expect(scheduler.send(new GetScheduleCommand({ Name: 'paused' }))).rejects.toMatchObject({
      name: 'ResourceNotFoundException',
      message: 'Schedule paused does not exist.',
    });
  });

  test('asks IAM', async () => {
    const reader = new SchedulerClient(fixture.client('Reader'));
    expect(await reader.send(new GetScheduleCommand({ Name: 'hourly' }))).toMatchObject({ Name: 'hourly' });
    for (const command of [new ListSchedulesCommand({}), new GetScheduleCommand({ Name: 'invokes' })]) {
      await expect(reader.send(command as GetScheduleCommand)).rejects.toMatchObject({
        name: 'AccessDeniedException',
      });
    }
  });

  test('changes nothing', async () => {
    const creation = new CreateScheduleCommand({
      Name: 'new',
      ScheduleExpression: 'rate(1 hour)',
      FlexibleTimeWindow: { Mode: 'OFF' },
      Target: { Arn: functionArn('Recorder'), RoleArn: roleArn('SchedulerRole') },
    });
    await expect(scheduler.send(creation)).rejects.toMatchObject({
      name: 'UnknownOperationException',
      message: 'The local AWS endpoint does not offer CreateSchedule',
    });
  });

  test.runIf(hasCli())('answers the aws CLI', async () => {
    const aws = async (...args: string[]) => {
      const options = [
        '--endpoint-url',
        fixture.platform.awsUrl,
        '--region',
        'us-east-1',
        '--output',
        'json',
      ];
      const { stdout } = await promisify(execFile)('aws', ['scheduler', ...args, ...options], {
        env: {
          PATH: process.env.PATH,
          HOME: fixture.stateDir,
          AWS_ACCESS_KEY_ID: 'any',
          AWS_SECRET_ACCESS_KEY: 'any',
        },
      });
      return JSON.parse(stdout) as Record<string, unknown>;
    };
    expect(await aws('list-schedules', '--name-prefix', 'paused')).toMatchObject({
      Schedules: [{ Name: 'paused', State: 'DISABLED' }],
    });
    const paused = ['--name', 'paused', '--group-name', 'upkeep'];
    expect(await aws('get-schedule', ...paused)).toMatchObject({ ScheduleExpression: 'cron(0 2 * * ? *)' });
    await expect(aws('delete-schedule', '--name', 'paused')).rejects.toThrow(
      'The local AWS endpoint does not offer DeleteSchedule',
    );
  });
});

/** The real CLI, wherever the machine has one. */
function hasCli(): boolean {
  try {
    execFileSync('aws', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    console.log('skipped: no aws CLI on this machine');
    return false;
  }
}
