import aslValidator from 'asl-validator';
import { App, Stack } from 'aws-cdk-lib';
import { Match, Template } from 'aws-cdk-lib/assertions';
import { Function as LambdaFunction } from 'aws-cdk-lib/aws-lambda';
import { LogGroup } from 'aws-cdk-lib/aws-logs';
import { expect, test } from 'vitest';
import * as errors from '../../functions/backups/errors.ts';
import { NO_SUMS } from '../../functions/backups/fleet-results.ts';
import * as placeErrors from '../../functions/places/errors.ts';
import * as data from '../../functions/tasks/backup-data.ts';
import * as registry from '../../functions/tasks/backup-registry.ts';
import { FleetBackup } from '../../workflows/fleet-backup.ts';
import { TenantBackup } from '../../workflows/tenant-backup.ts';

interface State {
  Type: string;
  Resource?: string;
  Parameters?: { phase?: string; state?: object; 'state.$'?: string };
  Result?: { sums?: object };
  Retry?: { ErrorEquals: string[]; JitterStrategy?: string }[];
  Catch?: { ErrorEquals: string[]; Next: string }[];
  Branches?: Definition[];
  ItemProcessor?: Definition & { ProcessorConfig: { Mode: string; ExecutionType?: string } };
  MaxConcurrency?: number;
}

interface Definition {
  StartAt: string;
  States: Record<string, State>;
  QueryLanguage?: string;
}

const template = synthesize();
const definitions = Object.fromEntries(
  Object.values(template.findResources('AWS::StepFunctions::StateMachine')).map(({ Properties }) => [
    Properties.StateMachineName as string,
    definitionOf(Properties.DefinitionString),
  ]),
);
const backup = definitions['tenant-backup']!;
const fleet = definitions['fleet-backup']!;

function synthesize() {
  const stack = new Stack(new App({ builtinCloudFormationValidation: false }), 'Test', {
    env: { account: '000000000000', region: 'us-east-1' },
  });
  const task = (name: string) =>
    LambdaFunction.fromFunctionArn(stack, name, `arn:aws:lambda:us-east-1:000000000000:function:${name}`);
  const tasks = { registry: task('registry'), data: task('data') };
  const { stateMachine } = new TenantBackup(stack, 'Backup', { tasks, logGroup: new LogGroup(stack, 'Log') });
  new FleetBackup(stack, 'Fleet', {
    task: tasks.registry,
    backup: stateMachine,
    logGroup: new LogGroup(stack, 'FleetLog'),
  });
  return Template.fromStack(stack);
}

/** A definition that refers to another resource is a join of parts. */
function definitionOf(text: string | { 'Fn::Join': [string, unknown[]] }): Definition {
  const whole =
    typeof text === 'string'
      ? text
      : text['Fn::Join'][1].map((part) => (typeof part === 'string' ? part : resolved(part))).join('');
  return JSON.parse(whole) as Definition;
}

/** The partition, or the ARN of `tenant-backup`. */
function resolved(reference: unknown): string {
  return (reference as { Ref?: string }).Ref === 'AWS::Partition'
    ? 'aws'
    : 'arn:aws:states:us-east-1:000000000000:stateMachine:tenant-backup';
}

/** Every state of a definition, including those of its branches and maps. */
function statesOf(definition: Definition): [string, State][] {
  return Object.entries(definition.States).flatMap(([name, state]) => [
    [name, state] as [string, State],
    ...(state.Branches ?? []).flatMap(statesOf),
    ...(state.ItemProcessor ? statesOf(state.ItemProcessor) : []),
  ]);
}

const tasksOf = (definition: Definition) => statesOf(definition).filter(([, { Type }]) => Type === 'Task');
const callsOf = (definition: Definition) =>
  tasksOf(definition)
    .filter(([, { Resource }]) => Resource?.includes(':lambda:'))
    .map(([, { Resource, Parameters }]) => `${Resource!.split(':').at(-1)} ${Parameters!.phase}`);

test.each(['tenant-backup', 'fleet-backup'])(
  '%s is valid, standard, logged without data, and traced',
  (name) => {
    const { isValid, errorsText } = aslValidator(definitions[name]!);
    expect([isValid, errorsText()]).toEqual([true, '']);
    expect(definitions[name]!.QueryLanguage ?? 'JSONPath').toBe('JSONPath');
    template.hasResourceProperties('AWS::StepFunctions::StateMachine', {
      StateMachineName: name,
      StateMachineType: Match.absent(),
      TracingConfiguration: { Enabled: true },
      LoggingConfiguration: Match.objectLike({ Level: 'ALL', IncludeExecutionData: false }),
    });
  },
);

test('a state calls a phase that its function has, and every phase but recovery is called', () => {
  const called = new Set([...callsOf(backup), ...callsOf(fleet)]);
  const known = Object.entries({ registry, data }).flatMap(([task, { phases }]) =>
    Object.keys(phases).map((phase) => `${task} ${phase}`),
  );
  expect([...called].sort()).toEqual(known.filter((one) => one !== 'registry recover').sort());
});

test('every error that is retried or caught by name is one of our classes or an error of AWS', () => {
  const ours = new Set(Object.keys({ ...errors, ...placeErrors }));
  const named = [...statesOf(backup), ...statesOf(fleet)].flatMap(([, { Retry = [], Catch = [] }]) =>
    [...Retry, ...Catch].flatMap(({ ErrorEquals }) => ErrorEquals),
  );
  const others = named.filter((name) => !ours.has(name));
  for (const name of others) expect(name).toMatch(/^(States|Lambda|Runtime|Sandbox|StepFunctions)\./);
  expect(named).toEqual(
    expect.arrayContaining(['BackupDuringMove', 'TablesChanging', 'DependencyUnavailable']),
  );
});

test('every failure before the manifest is recorded, and retries have jitter', () => {
  for (const name of ['Begin', 'Plan', 'Copy', 'Finish']) {
    expect(backup.States[name]!.Catch, name).toEqual([
      { ErrorEquals: ['States.ALL'], ResultPath: '$.failure', Next: 'Record failure' },
    ]);
  }
  for (const [name, { Retry = [] }] of tasksOf(backup)) {
    expect(Retry.length, name).toBeGreaterThan(0);
    for (const retry of Retry) expect(retry.JitterStrategy, name).toBe('FULL');
  }
});

test('two lanes copy in parallel', () => {
  const branches = backup.States.Copy!.Branches!;
  expect(branches.map(({ StartAt, States }) => [StartAt, States[StartAt]!.Parameters])).toEqual([
    ['Lane 0', { 'executionArn.$': '$.executionArn', 'backup.$': '$.backup', lane: 0 }],
    ['Lane 1', { 'executionArn.$': '$.executionArn', 'backup.$': '$.backup', lane: 1 }],
  ]);
});

test("one tenant's failure is caught inside its item, and few tenants of a cell are backed up at once", () => {
  const { ItemProcessor: group, MaxConcurrency: groups } = fleet.States['Each group']!;
  expect(group!.ProcessorConfig).toMatchObject({ Mode: 'DISTRIBUTED', ExecutionType: 'STANDARD' });
  expect(groups).toBe(10);
  const { ItemProcessor: tenant, MaxConcurrency: tenants } = group!.States['Each tenant']!;
  expect(tenant!.ProcessorConfig.Mode).toBe('INLINE');
  expect(tenants).toBe(2);
  const { 'Back up': backUp, 'Classify failure': classify } = tenant!.States;
  for (const state of [backUp!, classify!]) {
    expect(state.Catch!.map(({ ErrorEquals }) => ErrorEquals)).toEqual([['States.ALL']]);
  }
  expect(fleet.States.Start!.Result!.sums).toEqual(NO_SUMS);
});
