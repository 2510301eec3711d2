import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  DescribeExecutionCommand,
  SFNClient,
  StartExecutionCommand,
  StopExecutionCommand,
} from '@aws-sdk/client-sfn';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { att, lambdaFunction, type Resources, role } from './aws/assembly.ts';
import { type EndpointFixture, startEndpoint } from './aws/endpoint-fixture.ts';
import { recordedLines } from './aws/recorded-lines.ts';
import { newDirectory } from './running-fixture.ts';

const directory = newDirectory();
const recordFile = (name: string) => join(directory, name);
const machineArn = (name: string) => `arn:aws:states:us-east-1:000000000000:stateMachine:${name}`;

function machine(name: string, states: object): Resources {
  return {
    [name]: {
      Type: 'AWS::StepFunctions::StateMachine',
      Properties: {
        StateMachineName: name,
        RoleArn: att('FunctionRole', 'Arn'),
        DefinitionString: JSON.stringify({ StartAt: 'Only', TimeoutSeconds: 2, States: { Only: states } }),
      },
    },
  };
}

/** A rule, its function that records into a file of the same name, and the permission between them unless null. */
function rule(
  name: string,
  detail: object,
  target: object = {},
  sourceArn: unknown = att(name, 'Arn'),
): Resources {
  const functionName = `On${name}`;
  const permission = {
    [`${name}Permission`]: {
      Type: 'AWS::Lambda::Permission',
      Properties: {
        Action: 'lambda:InvokeFunction',
        FunctionName: att(functionName, 'Arn'),
        Principal: 'events.amazonaws.com',
        SourceArn: sourceArn,
      },
    },
  };
  return {
    ...lambdaFunction(functionName, 'record', 'FunctionRole', { RECORD_FILE: recordFile(name) }),
    [name]: {
      Type: 'AWS::Events::Rule',
      Properties: {
        Name: name,
        EventPattern: {
          source: ['aws.states'],
          'detail-type': ['Step Functions Execution Status Change'],
          detail,
        },
        Targets: [{ Id: 'function', Arn: att(functionName, 'Arn'), ...target }],
      },
    },
    ...(sourceArn === null ? {} : permission),
  };
}

interface StatusEvent {
  source: string;
  resources: string[];
  detail: { executionArn: string; name: string; status: string; [member: string]: unknown };
}

let fixture: EndpointFixture;
let sfn: SFNClient;

beforeAll(async () => {
  fixture = await startEndpoint([
    {
      name: 'Rules',
      resources: {
        ...role('FunctionRole', []),
        ...machine('pass', { Type: 'Pass', End: true }),
        ...machine('doomed', { Type: 'Pass', End: true }),
        ...machine('lingering', { Type: 'Pass', End: true }),
        ...machine('fail', { Type: 'Fail', Error: 'Wrong', Cause: 'by intent' }),
        ...machine('wait', { Type: 'Wait', Seconds: 360_000, End: true }),
        ...rule('All', { stateMachineArn: [{ prefix: machineArn('') }] }),
        ...rule('Ended', { stateMachineArn: [machineArn('pass')], status: ['SUCCEEDED', 'FAILED'] }),
        ...rule('Part', { status: ['SUCCEEDED'] }, { InputPath: '$.detail.name' }),
        ...rule('Fixed', { status: ['SUCCEEDED'] }, { Input: '{"fixed":true}' }),
        ...rule(
          'Failing',
          { stateMachineArn: [machineArn('doomed')], status: ['SUCCEEDED'] },
          { Input: '{"error":"Unlucky","key":"rule"}' },
        ),
        ...rule(
          'Slow',
          { stateMachineArn: [machineArn('lingering')], status: ['SUCCEEDED'] },
          { Input: '{"hangMs":3000}' },
        ),
        ...rule('Unpermitted', { status: ['SUCCEEDED'] }, {}, null),
        ...rule(
          'Elsewhere',
          { status: ['SUCCEEDED'] },
          {},
          'arn:aws:events:us-east-1:000000000000:rule/Other',
        ),
      },
    },
  ]);
  sfn = new SFNClient(fixture.client());
});
afterAll(async () => {
  await fixture.stop();
  rmSync(directory, { recursive: true, force: true });
});
beforeEach(() => {
  fixture.log.length = 0;
  for (const name of ['All', 'Ended', 'Part', 'Fixed', 'Failing', 'Unpermitted', 'Elsewhere'])
    rmSync(recordFile(name), { force: true });
});

async function start(name: string, input: unknown = {}): Promise<string> {
  const { executionArn } = await sfn.send(
    new StartExecutionCommand({ stateMachineArn: machineArn(name), input: JSON.stringify(input) }),
  );
  return executionArn!;
}

const statuses = (rule: string, executionArn: string) =>
  recordedLines<StatusEvent>(recordFile(rule))
    .filter(({ detail }) => detail.executionArn === executionArn)
    .map(({ detail }) => detail.status);

/** Waits until the rule's function was told of these statuses, in any order: functions run side by side. */
async function told(rule: string, executionArn: string, ...expected: string[]): Promise<void> {
  await expect.poll(() => statuses(rule, executionArn).sort(), { timeout: 15_000 }).toEqual(expected.sort());
}

describe('a rule on executions', () => {
  test('gets the events of AWS when one starts and succeeds', async () => {
    const executionArn = await start('pass', { a: 1 });
    await told('All', executionArn, 'RUNNING', 'SUCCEEDED');
    const { startDate, stopDate } = await sfn.send(new DescribeExecutionCommand({ executionArn }));
    const events = recordedLines<StatusEvent>(recordFile('All'));
    expect(events.find(({ detail }) => detail.status === 'SUCCEEDED')).toMatchObject({
      version: '0',
      id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      source: 'aws.states',
      'detail-type': 'Step Functions Execution Status Change',
      account: '000000000000',
      region: 'us-east-1',
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/),
      resources: [executionArn],
      detail: {
        executionArn,
        stateMachineArn: machineArn('pass'),
        name: executionArn.split(':').at(-1),
        startDate: startDate!.getTime(),
        stopDate: stopDate!.getTime(),
        input: '{"a":1}',
        output: '{"a":1}',
      },
    });
    expect(events.find(({ detail }) => detail.status === 'RUNNING')!.detail).toMatchObject({
      stopDate: null,
      output: null,
    });
  });

  test('hears of failure, time-out and abortion, too', async () => {
    const failed = await start('fail');
    const timedOut = await start('wait');
    const aborted = await start('wait');
    await sfn.send(new StopExecutionCommand({ executionArn: aborted }));
    await told('All', failed, 'RUNNING', 'FAILED');
    await told('All', aborted, 'RUNNING', 'ABORTED');
    await told('All', timedOut, 'RUNNING', 'TIMED_OUT');
  });

  test('is told only what its pattern names', async () => {
    const failed = await start('fail');
    const passed = await start('pass');
    await told('Ended', passed, 'SUCCEEDED');
    await told('All', failed, 'RUNNING', 'FAILED');
    expect(statuses('Ended', failed)).toEqual([]);
  });

  test('hands over the part or the input that its target names', async () => {
    const executionArn = await start('pass');
    // What the executions of earlier tests told may arrive now, too.
    await expect
      .poll(() => recordedLines<unknown>(recordFile('Part')))
      .toContain(executionArn.split(':').at(-1));
    await expect.poll(() => recordedLines<unknown>(recordFile('Fixed'))).toContainEqual({ fixed: true });
  });

  test('tries a failing function three times in all, then gives up', async () => {
    await start('doomed');
    const gaveUp =
      'rule Failing: arn:aws:lambda:us-east-1:000000000000:function:OnFailing failed: Unlucky: failed on purpose';
    await expect.poll(() => fixture.log, { timeout: 15_000 }).toContain(gaveUp);
    expect(recordedLines(recordFile('Failing'))).toHaveLength(3);
  });

  test.each(['Unpermitted', 'Elsewhere'])(
    '%s: without the permission of its function calls nothing',
    async (name) => {
      await start('pass');
      const refusal = expect.stringMatching(
        new RegExp(
          `^rule ${name}: events.amazonaws.com is not authorized to perform: lambda:InvokeFunction on .*On${name} `,
        ),
      );
      await expect.poll(() => fixture.log, { timeout: 10_000 }).toContainEqual(refusal);
      expect(recordedLines(recordFile(name))).toEqual([]);
    },
  );
});

describe('the next start', () => {
  const restart = async (between?: () => void) => {
    await fixture.restart(between);
    sfn = new SFNClient(fixture.client());
  };

  /** Waits until every answer was noted: what a stop interrupts before is told again. */
  const delivered = async () => {
    const document = join(fixture.stateDir, 'state', 'event-deliveries.json');
    await expect.poll(() => readFileSync(document, 'utf8'), { timeout: 10_000 }).toBe('[]');
  };

  test('tells of an execution that the stop ended', async () => {
    const executionArn = await start('wait');
    await told('All', executionArn, 'RUNNING');
    await delivered();
    await restart();
    await told('All', executionArn, 'RUNNING', 'ABORTED');
  });

  test('tells of an execution that ran when the platform was killed', async () => {
    const executionArn = await start('pass');
    await told('All', executionArn, 'RUNNING', 'SUCCEEDED');
    await delivered();
    const document = join(fixture.stateDir, 'state', 'executions.json');
    // As a kill in the midst of it would have left it.
    await restart(() => {
      const executions = JSON.parse(readFileSync(document, 'utf8')) as {
        arn: string;
        [key: string]: unknown;
      }[];
      const running = executions.find(({ arn }) => arn === executionArn)!;
      Object.assign(running, { status: 'RUNNING', stopDate: undefined, output: undefined });
      writeFileSync(document, JSON.stringify(executions));
    });
    await told('All', executionArn, 'RUNNING', 'SUCCEEDED', 'ABORTED');
    await delivered();
    await restart();
    const later = await start('pass');
    await told('All', later, 'RUNNING', 'SUCCEEDED');
    expect(statuses('All', executionArn)).toHaveLength(3);
  });

  test('repeats a delivery that the stop interrupted, and none that was done', async () => {
    await start('lingering');
    await expect.poll(() => recordedLines(recordFile('Slow')), { timeout: 10_000 }).toHaveLength(1);
    await restart();
    await expect.poll(() => recordedLines(recordFile('Slow')), { timeout: 10_000 }).toHaveLength(2);
    await delivered();
    await restart();
    const later = await start('pass');
    await told('All', later, 'RUNNING', 'SUCCEEDED');
    expect(recordedLines(recordFile('Slow'))).toHaveLength(2);
  });
});
