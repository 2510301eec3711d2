import { randomUUID } from 'node:crypto';
import { LOCAL_ACCOUNT } from '../../../model.ts';
import { AwsError } from '../../errors.ts';
import type { Input } from '../../input.ts';
import type { AwsService, Operation, ServiceModule } from '../../service.ts';
import type { BusEvent } from '../events/event-rule.ts';
import type { ExecutionRunner } from './execution-runner.ts';
import type { Execution, ExecutionStore } from './execution-store.ts';
import { type StateMachineRecord, type StateMachines, stateMachineResource } from './state-machines.ts';

/** Limit of an execution's input, in bytes. */
const INPUT_LIMIT = 256 * 1024;

/** AWS Step Functions: standard workflows. Express workflows, activities, redrive and versions are not supported. */
export function states(
  machines: StateMachines,
  store: ExecutionStore,
  runner: ExecutionRunner,
): ServiceModule {
  return {
    service: wire(machines, store, runner),
    resources: [stateMachineResource(machines)],
    resume: () => runner.resume(),
    stop: () => runner.stopAll('The platform was stopped.').catch(() => {}),
  };
}

function wire(machines: StateMachines, store: ExecutionStore, runner: ExecutionRunner): AwsService {
  const onMachine = (
    action: string,
    run: (machine: StateMachineRecord, input: Input) => unknown,
  ): Operation => ({
    permissions: (input) => [{ action: `states:${action}`, resource: input.required('stateMachineArn') }],
    run: (input, call) => run(machineOf(machines, input.required('stateMachineArn'), call.region), input),
  });
  const onExecution = (action: string, run: (execution: Execution, input: Input) => unknown): Operation => ({
    permissions: (input) => [{ action: `states:${action}`, resource: input.required('executionArn') }],
    run(input, call) {
      const arn = input.required('executionArn');
      const execution = store.get(arn);
      if (!execution || regionOf(arn) !== call.region)
        throw new AwsError('ExecutionDoesNotExist', `Execution Does Not Exist: '${arn}'`);
      return run(execution, input);
    },
  });

  return {
    signingNames: ['states'],
    prefix: 'states',
    protocol: { kind: 'json', version: '1.0' },
    accessDenied: { code: 'AccessDeniedException', status: 400 },
    operations: {
      ListStateMachines: {
        permissions: () => [{ action: 'states:ListStateMachines', resource: '*' }],
        run: (input, call) => {
          const here = [...machines.values()].filter((machine) => machine.region === call.region);
          return page(input, 'stateMachines', here.map(summary));
        },
      },
      DescribeStateMachine: onMachine('DescribeStateMachine', (machine) => ({
        ...summary(machine),
        ...definitionOf(machine),
        status: 'ACTIVE',
      })),
      StartExecution: onMachine('StartExecution', (machine, input) => start(machine, input, store, runner)),
      ListExecutions: onMachine('ListExecutions', (machine, input) => {
        const filter = input.text('statusFilter');
        const found = store.of(machine.arn).filter((one) => filter === undefined || one.status === filter);
        return page(input, 'executions', found.map(executionSummary));
      }),
      DescribeExecution: onExecution('DescribeExecution', (execution) => ({
        ...executionSummary(execution),
        input: execution.input,
        inputDetails: { included: true },
        ...(execution.output === undefined
          ? {}
          : { output: execution.output, outputDetails: { included: true } }),
        error: execution.error,
        cause: execution.cause,
        redriveCount: 0,
        redriveStatus: 'NOT_REDRIVABLE',
      })),
      DescribeStateMachineForExecution: onExecution('DescribeStateMachineForExecution', (execution) => {
        const machine = machineOf(machines, execution.stateMachineArn, regionOf(execution.arn));
        return {
          stateMachineArn: machine.arn,
          name: machine.name,
          ...definitionOf(machine),
          updateDate: new Date(machine.creationDate),
        };
      }),
      GetExecutionHistory: onExecution('GetExecutionHistory', (execution, input) => {
        const events = store
          .history(execution.arn)
          .map((event) => ({ ...event, timestamp: new Date(event.timestamp) }));
        if (input.boolean('reverseOrder')) events.reverse();
        return page(input, 'events', events);
      }),
      StopExecution: onExecution('StopExecution', async (execution, input) => {
        await runner.stop(execution.arn, { error: input.text('error'), cause: input.text('cause') });
        return { stopDate: new Date(execution.stopDate ?? Date.now()) };
      }),
    },
  };
}

function start(
  machine: StateMachineRecord,
  input: Input,
  store: ExecutionStore,
  runner: ExecutionRunner,
): { executionArn: string; startDate: Date } {
  const name = input.text('name') ?? randomUUID();
  if (name.length < 1 || name.length > 80 || /[\s<>{}[\]?*"#%\\^|~`$&,;:/\p{Cc}]/u.test(name)) {
    throw new AwsError('InvalidName', `Invalid Name: '${name}'`);
  }
  const text = input.text('input') ?? '{}';
  if (Buffer.byteLength(text) > INPUT_LIMIT) {
    throw new AwsError(
      'ValidationException',
      `1 validation error detected: Value at 'input' failed to satisfy constraint: Member must have length less than or equal to ${INPUT_LIMIT}`,
    );
  }
  try {
    JSON.parse(text);
  } catch {
    throw new AwsError(
      'InvalidExecutionInput',
      `Invalid State Machine Execution Input: 'The input is not valid JSON'`,
    );
  }
  const arn = `${machine.arn.replace(':stateMachine:', ':execution:')}:${name}`;
  const existing = store.get(arn);
  if (existing) {
    if (existing.status !== 'RUNNING' || existing.input !== text) {
      throw new AwsError('ExecutionAlreadyExists', `Execution Already Exists: '${arn}'`);
    }
    return { executionArn: arn, startDate: new Date(existing.startDate) };
  }
  const startDate = Date.now();
  runner.start(machine, {
    arn,
    name,
    stateMachineArn: machine.arn,
    status: 'RUNNING',
    startDate,
    input: text,
  });
  return { executionArn: arn, startDate: new Date(startDate) };
}

function machineOf(machines: StateMachines, arn: string, region: string): StateMachineRecord {
  const machine = machines.get(arn);
  if (machine?.region !== region)
    throw new AwsError('StateMachineDoesNotExist', `State Machine Does Not Exist: '${arn}'`);
  return machine;
}

function regionOf(arn: string): string {
  return arn.split(':')[3] ?? '';
}

function summary(machine: StateMachineRecord): Record<string, unknown> {
  return {
    stateMachineArn: machine.arn,
    name: machine.name,
    type: machine.type,
    creationDate: new Date(machine.creationDate),
  };
}

function definitionOf(machine: StateMachineRecord): Record<string, unknown> {
  return {
    definition: machine.definitionText,
    roleArn: machine.roleArn,
    loggingConfiguration: { level: 'OFF', includeExecutionData: false },
    tracingConfiguration: { enabled: machine.tracingEnabled },
  };
}

function executionSummary(execution: Execution): Record<string, unknown> {
  return {
    executionArn: execution.arn,
    stateMachineArn: execution.stateMachineArn,
    name: execution.name,
    status: execution.status,
    startDate: new Date(execution.startDate),
    stopDate: execution.stopDate === undefined ? undefined : new Date(execution.stopDate),
    redriveCount: 0,
  };
}

function page(input: Input, member: string, items: unknown[]): Record<string, unknown> {
  const start = Number(input.text('nextToken') ?? 0);
  if (!Number.isInteger(start))
    throw new AwsError('InvalidToken', `Invalid Token: '${input.text('nextToken')}'`);
  const size = input.integer('maxResults') || 100;
  if (size < 0 || size > 1_000)
    throw new AwsError('ValidationException', 'maxResults must be between 0 and 1000');
  const next = start + size;
  return { [member]: items.slice(start, next), nextToken: next < items.length ? String(next) : undefined };
}

/** Limit of input and output together in an event, in bytes; larger ones are left out, as in AWS. */
const INCLUDED_LIMIT = 248 * 1024;

/** 'Step Functions Execution Status Change' for the status an execution has now. */
export function statusEvent(execution: Execution): BusEvent {
  const { arn, stateMachineArn, name, status, startDate, stopDate, input, output, error, cause } = execution;
  const included = Buffer.byteLength(input) + Buffer.byteLength(output ?? '') <= INCLUDED_LIMIT;
  return {
    version: '0',
    id: randomUUID(),
    'detail-type': 'Step Functions Execution Status Change',
    source: 'aws.states',
    account: LOCAL_ACCOUNT,
    time: new Date(stopDate ?? startDate).toISOString().replace(/\.\d{3}Z$/, 'Z'),
    region: arn.split(':')[3] ?? '',
    resources: [arn],
    detail: {
      executionArn: arn,
      stateMachineArn,
      name,
      status,
      startDate,
      stopDate: stopDate ?? null,
      input: included ? input : null,
      inputDetails: { included },
      output: included ? (output ?? null) : null,
      outputDetails: output === undefined ? null : { included },
      error: error ?? null,
      cause: cause ?? null,
      redriveCount: 0,
      redriveDate: null,
      redriveStatus: 'NOT_REDRIVABLE',
    },
  };
}
