import { appendFileSync, cpSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import {
  DescribeExecutionCommand,
  DescribeStateMachineCommand,
  GetExecutionHistoryCommand,
  ListExecutionsCommand,
  ListStateMachinesCommand,
  SFNClient,
  StartExecutionCommand,
  StopExecutionCommand,
} from '@aws-sdk/client-sfn';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { internals, stateFile } from '../../../infra/local/index.ts';
import { type EndpointFixture, startEndpoint } from './endpoint-fixture.ts';
import { machineArn, stateMachineResources } from './state-machine-resources.ts';

const { ExecutionStore } = await internals();

let fixture: EndpointFixture;
let sfn: SFNClient;

beforeAll(async () => {
  fixture = await startEndpoint([{ name: 'Machines', resources: stateMachineResources }]);
  sfn = new SFNClient(fixture.client());
});

afterAll(() => fixture.stop());

async function start(name: string, input: unknown = {}, executionName?: string): Promise<string> {
  const { executionArn } = await sfn.send(
    new StartExecutionCommand({
      stateMachineArn: machineArn(name),
      input: JSON.stringify(input),
      ...(executionName ? { name: executionName } : {}),
    }),
  );
  return executionArn!;
}

/** The execution once it has ended. */
async function ended(executionArn: string) {
  return expect
    .poll(() => sfn.send(new DescribeExecutionCommand({ executionArn })), { timeout: 10_000, interval: 20 })
    .not.toMatchObject({ status: 'RUNNING' })
    .then(() => sfn.send(new DescribeExecutionCommand({ executionArn })));
}

async function run(name: string, input: unknown = {}) {
  const execution = await ended(await start(name, input));
  return { ...execution, result: execution.output === undefined ? undefined : JSON.parse(execution.output) };
}

describe('executions', () => {
  test('run the deployed definition, with the context object and shortened waits', async () => {
    const before = Date.now();
    const arn = await start('context', { a: 1 }, 'first');
    const { status, output, startDate, stopDate } = await ended(arn);
    expect(status).toBe('SUCCEEDED');
    const result = JSON.parse(output!);
    expect(result).toMatchObject({
      input: { a: 1 },
      id: arn,
      name: 'first',
      machine: machineArn('context'),
      state: 'Collect',
      echoed: { input: { a: 1 } },
    });
    expect(Date.parse(result.start)).toBeGreaterThanOrEqual(before - 1);
    expect(stopDate!.getTime()).toBeGreaterThanOrEqual(startDate!.getTime());
    expect(Date.now() - before).toBeLessThan(4_000);
  });

  test.each([null, false, 0, ''])('take %j as an input like any other', async (input) => {
    expect(await run('context', input)).toMatchObject({ status: 'SUCCEEDED', result: { input } });
  });

  test('invoke functions by the integration, too', async () => {
    expect((await run('invoke', { b: 2 })).result).toEqual({ answer: { b: 2 } });
  });

  test('call other services of the endpoint with the rights of their role', async () => {
    expect((await run('integration', { name: 'made/by-machine' })).result).toEqual({
      name: 'made/by-machine',
    });
    expect((await run('integration', { name: 'made/by-machine' })).result).toBe('exists');
  });

  test('map over items', async () => {
    expect((await run('fan-out', { items: ['x', 'y'] })).result).toEqual([
      { item: 'x', index: 0 },
      { item: 'y', index: 1 },
    ]);
  });
});

describe('errors of functions', () => {
  test('keep their names for Retry', async () => {
    const { result } = await run('retry', { key: 'r1', error: 'Passing', times: 2 });
    expect(result).toEqual({ attempts: 3 });
    const other = await run('retry', { key: 'r2', error: 'Lasting', times: 1 });
    expect(other).toMatchObject({ status: 'FAILED', error: 'Lasting' });
    expect(JSON.parse(other.cause!)).toMatchObject({
      errorType: 'Lasting',
      errorMessage: 'failed on purpose',
    });
  });

  test('stop being retried after MaxAttempts', async () => {
    expect(await run('retry', { key: 'r3', error: 'Passing' })).toMatchObject({
      status: 'FAILED',
      error: 'Passing',
    });
  });

  test('keep their names for Catch, and States.TaskFailed catches the others', async () => {
    const { result } = await run('catch', { key: 'c1', error: 'Expected' });
    expect(result).toMatchObject({ key: 'c1', failure: { Error: 'Expected' } });
    expect(JSON.parse(result.failure.Cause)).toMatchObject({ errorType: 'Expected' });
    expect((await run('catch', { key: 'c2', error: 'Other' })).result).toBe('fallback');
  });

  test('a task that takes too long fails with States.Timeout, which States.TaskFailed does not cover', async () => {
    expect((await run('timeout')).result).toBe('timed out');
  });

  test('a function the role may not invoke is refused', async () => {
    const { status, error, cause } = await run('forbidden');
    expect({ status, error }).toEqual({ status: 'FAILED', error: 'Lambda.AWSLambdaException' });
    expect(cause).toMatch(
      /^User: arn:aws:sts::000000000000:assumed-role\/MachineRole\/.+ is not authorized to perform: lambda:InvokeFunction on resource: arn:aws:lambda:us-east-1:000000000000:function:Forbidden because no identity-based policy allows the lambda:InvokeFunction action$/,
    );
  });

  test('a Fail state names its error', async () => {
    expect(await run('fail', { error: 'TenantExists', reason: 'taken' })).toMatchObject({
      status: 'FAILED',
      error: 'TenantExists',
      cause: 'taken',
    });
  });

  test('a path that leads nowhere is States.Runtime', async () => {
    expect(await run('fail', {})).toMatchObject({ status: 'FAILED', error: 'States.Runtime' });
  });
});

describe('an execution that runs another one', () => {
  const nested = (name: string, input: object = {}) => ({ machine: machineArn(name), input });

  test('gets its output, as JSON', async () => {
    const { result } = await run('nested', nested('retry', { key: 'n1', times: 0 }));
    expect(result).toMatchObject({ status: 'SUCCEEDED', output: { attempts: 1 } });
    const { input } = await sfn.send(new DescribeExecutionCommand({ executionArn: result.arn }));
    expect(JSON.parse(input!)).toEqual({ key: 'n1', times: 0 });
  });

  test('fails with States.TaskFailed where that one fails, and says how', async () => {
    const outer = await run('nested', nested('fail', { error: 'TenantExists', reason: 'taken' }));
    expect(outer).toMatchObject({ status: 'FAILED', error: 'States.TaskFailed' });
    expect(JSON.parse(outer.cause!)).toMatchObject({
      Status: 'FAILED',
      Error: 'TenantExists',
      Cause: 'taken',
    });
  });

  test('needs the rights to start it, and to describe it', async () => {
    expect(await run('nested', nested('context'))).toMatchObject({
      status: 'FAILED',
      error: 'StepFunctions.AccessDeniedException',
      cause: expect.stringContaining('states:StartExecution'),
    });
    expect(await run('nested', nested('forbidden'))).toMatchObject({
      status: 'FAILED',
      error: 'StepFunctions.AccessDeniedException',
      cause: expect.stringContaining('states:DescribeExecution'),
    });
  });

  test('stops it when it is stopped itself', async () => {
    const running = () =>
      sfn.send(new ListExecutionsCommand({ stateMachineArn: machineArn('long'), statusFilter: 'RUNNING' }));
    const outer = await start('nested', nested('long', { stopped: 'with its caller' }));
    await expect.poll(async () => (await running()).executions?.length, { timeout: 5_000 }).toBe(1);
    const [inner] = (await running()).executions!;
    await sfn.send(new StopExecutionCommand({ executionArn: outer }));
    expect(await ended(inner!.executionArn!)).toMatchObject({
      status: 'ABORTED',
      cause: 'The execution that waited for it has ended',
    });
  });
});

describe('the API', () => {
  test('lists and describes state machines', async () => {
    const { stateMachines } = await sfn.send(new ListStateMachinesCommand({}));
    expect(stateMachines!.map(({ name }) => name)).toContain('context');
    const described = await sfn.send(
      new DescribeStateMachineCommand({ stateMachineArn: machineArn('context') }),
    );
    expect(described).toMatchObject({ name: 'context', status: 'ACTIVE', type: 'STANDARD' });
    expect(JSON.parse(described.definition!)).toMatchObject({ StartAt: 'Collect' });
    await expect(
      sfn.send(new DescribeStateMachineCommand({ stateMachineArn: machineArn('nothing') })),
    ).rejects.toMatchObject({ name: 'StateMachineDoesNotExist' });
  });

  test('starting again with name and input is the same execution while it runs, and refused otherwise', async () => {
    const arn = await start('long', { a: 1 }, 'once');
    expect(await start('long', { a: 1 }, 'once')).toBe(arn);
    await expect(start('long', { a: 2 }, 'once')).rejects.toMatchObject({ name: 'ExecutionAlreadyExists' });
    const { stopDate } = await sfn.send(
      new StopExecutionCommand({ executionArn: arn, error: 'Enough', cause: 'by test' }),
    );
    expect(stopDate).toBeInstanceOf(Date);
    expect(await sfn.send(new DescribeExecutionCommand({ executionArn: arn }))).toMatchObject({
      status: 'ABORTED',
      error: 'Enough',
      cause: 'by test',
    });
    await expect(start('long', { a: 1 }, 'once')).rejects.toMatchObject({ name: 'ExecutionAlreadyExists' });
  });

  test('refuses bad names and inputs', async () => {
    await expect(start('long', {}, 'a b')).rejects.toMatchObject({ name: 'InvalidName' });
    const stateMachineArn = machineArn('long');
    await expect(sfn.send(new StartExecutionCommand({ stateMachineArn, input: '{' }))).rejects.toMatchObject({
      name: 'InvalidExecutionInput',
    });
  });

  test('lists executions by status', async () => {
    await run('fail', { error: 'E', reason: 'r' });
    const { executions } = await sfn.send(
      new ListExecutionsCommand({ stateMachineArn: machineArn('fail'), statusFilter: 'FAILED' }),
    );
    expect(executions!.length).toBeGreaterThan(0);
    expect(executions![0]).toMatchObject({ status: 'FAILED', stateMachineArn: machineArn('fail') });
  });

  test('tells the history of an execution', async () => {
    const { executionArn } = await run('retry', { key: 'h', error: 'Passing', times: 1 });
    const { events } = await sfn.send(new GetExecutionHistoryCommand({ executionArn: executionArn! }));
    expect(events!.map(({ type }) => type)).toEqual([
      'ExecutionStarted',
      'TaskStateEntered',
      'LambdaFunctionScheduled',
      'LambdaFunctionStarted',
      'LambdaFunctionFailed',
      'LambdaFunctionScheduled',
      'LambdaFunctionStarted',
      'LambdaFunctionSucceeded',
      'TaskStateExited',
      'ExecutionSucceeded',
    ]);
    expect(events![4]).toMatchObject({ lambdaFunctionFailedEventDetails: { error: 'Passing' } });
    const reversed = await sfn.send(
      new GetExecutionHistoryCommand({ executionArn: executionArn!, reverseOrder: true, maxResults: 1 }),
    );
    expect(reversed.events![0]!.type).toBe('ExecutionSucceeded');
    expect(reversed.nextToken).toBeDefined();
  });

  test('a role starts only the machines it may', async () => {
    const operator = new SFNClient(fixture.client('OperatorRole'));
    await operator.send(new StartExecutionCommand({ stateMachineArn: machineArn('context') }));
    await expect(
      operator.send(new StartExecutionCommand({ stateMachineArn: machineArn('fail') })),
    ).rejects.toMatchObject({ name: 'AccessDeniedException' });
  });
});

test('executions that ran when the platform stopped are ABORTED at the next start, and a new one may run', async () => {
  const arn = await start('long', { a: 1 }, 'interrupted');
  await fixture.restart();
  sfn = new SFNClient(fixture.client());
  const execution = await sfn.send(new DescribeExecutionCommand({ executionArn: arn }));
  expect(execution).toMatchObject({ status: 'ABORTED', input: '{"a":1}' });
  expect(execution.stopDate).toBeInstanceOf(Date);
  expect((await run('invoke', { b: 3 })).status).toBe('SUCCEEDED');
});

test('an execution that a killed platform left behind keeps its history, which ends with ExecutionAborted', async () => {
  const arn = await start('long', { a: 1 }, 'killed');
  const types = async () =>
    (await sfn.send(new GetExecutionHistoryCommand({ executionArn: arn }))).events?.map(({ type }) => type);
  await expect.poll(types).toEqual(['ExecutionStarted', 'WaitStateEntered']);
  // What SIGKILL leaves is what is in the files at that moment.
  const left = join(fixture.stateDir, '..', 'left');
  cpSync(join(fixture.stateDir, 'state'), left, { recursive: true });
  const journals = () => readdirSync(left).filter((name) => name.endsWith('.jsonl'));
  for (const journal of journals()) appendFileSync(join(left, journal), '{"id":3,"ty');
  const store = new ExecutionStore(stateFile(left));
  const complete = ['ExecutionStarted', 'WaitStateEntered', 'ExecutionAborted'];
  expect(store.history(arn).map(({ type }) => type)).toEqual(complete);
  expect(store.history(arn).map(({ id }) => id)).toEqual([1, 2, 3]);
  store.settleInterrupted(() => {});
  expect(new ExecutionStore(stateFile(left)).history(arn).map(({ type }) => type)).toEqual(complete);
  expect(journals()).toEqual([]);
  await sfn.send(new StopExecutionCommand({ executionArn: arn }));
  expect((await types())?.at(-1)).toBe('ExecutionAborted');
});
