import aslValidator from 'asl-validator';
import { App, Duration, Stack } from 'aws-cdk-lib';
import { Match, Template } from 'aws-cdk-lib/assertions';
import { Function as LambdaFunction } from 'aws-cdk-lib/aws-lambda';
import { LogGroup } from 'aws-cdk-lib/aws-logs';
import { describe, expect, test } from 'vitest';
import * as backupErrors from '../../functions/backups/errors.ts';
import * as moveErrors from '../../functions/moves/errors.ts';
import * as provisioningErrors from '../../functions/places/errors.ts';
import * as restoreErrors from '../../functions/restores/errors.ts';
import * as aws from '../../functions/tasks/move-aws.ts';
import * as data from '../../functions/tasks/move-data.ts';
import * as registry from '../../functions/tasks/move-registry.ts';
import * as restoring from '../../functions/tasks/restore-data.ts';
import * as side from '../../functions/tasks/restore-side.ts';
import { TenantMove } from '../../workflows/tenant-move.ts';
import { TenantMoveCleanup } from '../../workflows/tenant-move-cleanup.ts';
import { TenantRestore } from '../../workflows/tenant-restore.ts';

type State = {
  Type: string;
  Resource?: string;
  Parameters?: { phase: string };
  Next?: string;
  Seconds?: number;
  ResultPath?: string | null;
  TimeoutSeconds?: number;
  Retry?: { ErrorEquals: string[]; MaxAttempts: number; MaxDelaySeconds: number }[];
  Catch?: { ErrorEquals: string[]; Next: string; ResultPath: string }[];
  Choices?: { Variable: string; BooleanEquals?: boolean; Next: string }[];
  Default?: string;
};

interface Definition {
  StartAt: string;
  States: Record<string, State>;
  QueryLanguage?: string;
  TimeoutSeconds?: number;
}

const template = synthesize();
const definitions = Object.fromEntries(
  Object.values(template.findResources('AWS::StepFunctions::StateMachine')).map(({ Properties }) => [
    Properties.StateMachineName as string,
    JSON.parse(Properties.DefinitionString) as Definition,
  ]),
);
const { StartAt, States } = definitions['tenant-move']!;
const restore = definitions['tenant-restore']!;
const cleanup = definitions['tenant-move-cleanup']!;

function synthesize() {
  const stack = new Stack(new App({ builtinCloudFormationValidation: false }), 'Test', {
    env: { account: '000000000000', region: 'us-east-1' },
  });
  const task = (name: string) =>
    LambdaFunction.fromFunctionArn(stack, name, `arn:aws:lambda:us-east-1:000000000000:function:${name}`);
  const tasks = { registry: task('registry'), aws: task('aws'), data: task('data') };
  new TenantMove(stack, 'Move', { tasks, logGroup: new LogGroup(stack, 'MoveLog') });
  new TenantRestore(stack, 'Restore', {
    tasks,
    data: task('restore'),
    side: task('side'),
    backup: task('backup'),
    logGroup: new LogGroup(stack, 'RestoreLog'),
  });
  new TenantMoveCleanup(stack, 'Cleanup', {
    tasks,
    grace: Duration.minutes(7),
    keepDedicated: Duration.days(30),
    keepReplaced: Duration.hours(72),
    logGroup: new LogGroup(stack, 'CleanupLog'),
  });
  return Template.fromStack(stack);
}

interface Answers {
  finished?: boolean;
  needsDatabase?: boolean;
  needsSecret?: boolean;
  needsFilling?: boolean;
  pointInTime?: boolean;
}

/** The states that do something, from `name` until `last`; every phase is done when it is first called. */
function path(name: string, last: string, move: Answers, of = States): string[] {
  const state = of[name]!;
  if (name === last) return [name];
  if (state.Type !== 'Choice') return [name, ...path(state.Next!, last, move, of)];
  const answer: Record<string, unknown> = { '$.step.done': true };
  for (const [field, value] of Object.entries(move)) answer[`$.move.${field}`] = value;
  const chosen = state.Choices!.find(({ Variable, BooleanEquals }) => answer[Variable] === BooleanEquals);
  return path(chosen?.Next ?? state.Default!, last, move, of);
}

const tasksOf = (definition: Definition) =>
  Object.entries(definition.States).filter(([, { Type }]) => Type === 'Task');
test('a state calls a phase that its function has, and every phase but recovery is called', () => {
  const called = [definitions['tenant-move']!, cleanup, restore].flatMap(tasksOf).map(([name, state]) => {
    const { Parameters, Resource } = state;
    expect(Parameters, name).toEqual({ phase: expect.any(String), 'state.$': '$' });
    return `${Resource!.split(':').at(-1)} ${Parameters!.phase}`;
  });
  const tasks = { registry, aws, data, restore: restoring, side };
  const known = Object.entries(tasks).flatMap(([task, { phases }]) =>
    Object.keys(phases).map((phase) => `${task} ${phase}`),
  );
  // The last one is a phase of `registry-reconcile`, whose other task has other rights.
  const scheduled = ['data recover', 'side sweep', 'aws list-dedicated'];
  // Those of a backup are called by `tenant-backup` too; its lanes are branches.
  const ofBackup = ['backup finish', 'backup plan'];
  expect([...new Set(called)].sort()).toEqual(
    [...known.filter((one) => !scheduled.includes(one)), ...ofBackup].sort(),
  );
});

const everyHop = ['Copy', 'Build indexes', 'Catch up', 'Cut over', 'Compare', 'Settle', 'Next hop'];
const newHop = (needs: Answers) => path('All hops done?', 'Next hop', { finished: false, ...needs });

test.each(['tenant-move', 'tenant-move-cleanup', 'tenant-restore'])(
  '%s is a standard JSONPath state machine, logged without data, and traced',
  (name) => {
    template.hasResourceProperties('AWS::StepFunctions::StateMachine', {
      StateMachineName: name,
      StateMachineType: Match.absent(),
      TracingConfiguration: { Enabled: true },
      LoggingConfiguration: Match.objectLike({ Level: 'ALL', IncludeExecutionData: false }),
    });
    expect(definitions[name]!.QueryLanguage ?? 'JSONPath').toBe('JSONPath');
  },
);

test.each(['tenant-move', 'tenant-move-cleanup', 'tenant-restore'])(
  '%s is valid Amazon States Language',
  (name) => {
    const { isValid, errorsText } = aslValidator(definitions[name]!);
    expect(errorsText()).toBe('');
    expect(isValid).toBe(true);
  },
);

test('a move begins, opens hop after hop, and finishes when none is left', () => {
  expect(path(StartAt, 'Next hop', {})).toEqual(['Start', 'Begin', 'Next hop']);
  expect(States['Next hop']!.Next).toBe('All hops done?');
  expect(path('All hops done?', 'Finish', { finished: true })).toEqual(['Finish']);
  expect(States.Finish).toMatchObject({ Type: 'Task', End: true });
});

test('a hop to the shared tables needs neither a database nor a secret', () => {
  expect(newHop({ needsDatabase: false, needsSecret: false })).toEqual(['Prepare', ...everyHop]);
});

test('a hop to a schema in a cell makes a secret, and the proxy is told once the role is there', () => {
  expect(newHop({ needsDatabase: false, needsSecret: true })).toEqual([
    'Create credentials',
    'Prepare',
    'Register with proxy',
    ...everyHop,
  ]);
});

test('a restore fills its hop once the schema is there, and tells at its end what it has set aside', () => {
  const { StartAt: first, States: states } = restore;
  expect(path(first, 'Next hop', {}, states)).toEqual(['Start', 'Begin', 'Plan', 'Next hop']);
  const hop = (needs: Answers) =>
    path('All hops done?', 'Next hop', { finished: false, needsDatabase: false, ...needs }, states);
  expect(hop({ needsSecret: false, needsFilling: true })).toEqual(['Prepare', 'Fill', 'Filled', ...everyHop]);
  // Out of the shared tables, and back to them.
  expect(hop({ needsSecret: true, needsFilling: true })).toEqual([
    'Create credentials',
    'Prepare',
    'Fill',
    'Filled',
    'Register with proxy',
    ...everyHop,
  ]);
  expect(hop({ needsSecret: false, needsFilling: false })).toEqual(['Prepare', ...everyHop]);
  expect(path('All hops done?', 'Finish', { finished: true }, states)).toEqual([
    'Note discarded writes',
    'Finish',
  ]);
});

describe('a restore to a point in time', () => {
  const { StartAt: first, States: states } = restore;
  const dropped = 'Drop side cluster of failed restore';

  test('makes a backup of a copy of the cluster, and deletes the copy before it plans', () => {
    const states = { ...restore.States };
    for (const name of ['Side cluster: done?', 'Drop side cluster: done?'])
      states[name] = { ...states[name]!, Choices: [] };
    expect(path(first, 'Next hop', { pointInTime: true }, states)).toEqual([
      'Start',
      'Begin',
      'Side cluster',
      'Side backup',
      'Plan side backup',
      'Copy side backup',
      'Finish side backup',
      'Drop side cluster',
      'Point-in-time backup done',
      'Plan',
      'Next hop',
    ]);
  });

  test('deletes the copy on each way on which it fails, and then rolls back', () => {
    const making = [
      'Side cluster',
      'Side backup',
      'Plan side backup',
      'Copy side backup',
      'Finish side backup',
    ];
    for (const name of making) {
      expect(states[name]!.Catch, name).toEqual([
        { ErrorEquals: ['States.ALL'], Next: dropped, ResultPath: '$.failure' },
      ]);
    }
    expect(states[`${dropped}: done?`]).toMatchObject({
      Choices: [
        { Variable: '$.dropped.done', BooleanEquals: false, Next: `Wait for ${dropped.toLowerCase()}` },
      ],
      Default: 'Roll back',
    });
    // Neither why it failed is lost, nor the roll back, where the copy cannot be deleted: the sweep does it.
    expect(states[dropped]!.Catch).toMatchObject([{ Next: 'Roll back', ResultPath: '$.dropped' }]);
    expect(states['Drop side cluster']!.Catch).toMatchObject([
      { Next: 'Point-in-time backup done', ResultPath: '$.dropped' },
    ]);
  });
});

test('a hop to a dedicated database launches and bootstraps it; its stack makes the secret', () => {
  expect(newHop({ needsDatabase: true, needsSecret: false })).toEqual([
    'Launch',
    'Bootstrap',
    'Prepare',
    ...everyHop,
  ]);
});

test.each(['Launch', 'Prepare', 'Copy', 'Build indexes', 'Catch up', 'Cut over', 'Compare'])(
  '%s is called with its own answer until it is done',
  (name) => {
    expect(States[name]).toMatchObject({ ResultPath: '$.step', Next: `${name}: done?` });
    const [again] = States[`${name}: done?`]!.Choices!;
    expect(again).toMatchObject({ Variable: '$.step.done', BooleanEquals: false });
    // A launch takes minutes and answers at once; the others wait inside their function.
    if (name === 'Launch') {
      expect(again!.Next).toBe('Wait for launch');
      expect(States['Wait for launch']).toMatchObject({ Type: 'Wait', Seconds: 20, Next: 'Launch' });
    } else expect(again!.Next).toBe(name);
  },
);

test('besides the phases that loop, only what names the move or its end is kept in the state', () => {
  const kept = tasksOf(definitions['tenant-move']!)
    .filter(([, { ResultPath }]) => ResultPath !== null && ResultPath !== '$.step')
    .map(([name, { ResultPath = '$' }]) => [name, ResultPath]);
  expect(Object.fromEntries(kept)).toEqual({
    Begin: '$.move',
    'Next hop': '$.move',
    Finish: '$',
    'Roll back': '$.outcome',
  });
});

test('every task has a timeout, a retry on passing errors and on a postponed turn, and ends in a roll back', () => {
  for (const [name, state] of tasksOf(definitions['tenant-move']!)) {
    expect(state.TimeoutSeconds, name).toBeGreaterThan(60);
    const retried = state.Retry!.flatMap((retry) => retry.ErrorEquals);
    expect(retried, name).toEqual(expect.arrayContaining(['DependencyUnavailable', 'CutOverPostponed']));
    expect(state.Catch, name).toEqual([
      {
        ErrorEquals: ['States.ALL'],
        Next: name === 'Roll back' ? 'Failed without roll back' : 'Roll back',
        ResultPath: name === 'Roll back' ? '$.outcome' : '$.failure',
      },
    ]);
  }
});

test('a roll back is tried for every error; the execution ends as its move does, or with the name of the error', () => {
  expect(States['Roll back']!.Retry!.at(-1)!.ErrorEquals).toEqual(['States.ALL']);
  expect(States['Roll back']!.Next).toBe('Outcome?');
  expect(States['Outcome?']).toMatchObject({
    Choices: [
      { Variable: '$.outcome.outcome', StringEquals: 'aborted', Next: 'Aborted' },
      { Variable: '$.outcome.outcome', StringEquals: 'succeeded', Next: 'Finished already' },
    ],
    Default: 'Failed',
  });
  expect(States.Aborted).toMatchObject({ Error: 'MoveAborted', CausePath: '$.outcome.reason' });
  expect(States.Failed).toMatchObject({
    Type: 'Fail',
    ErrorPath: '$.failure.Error',
    CausePath: '$.outcome.reason',
  });
});

test('a dedicated database is deleted once it need not be kept any longer, until it is gone', () => {
  const { 'Keep database': keep, 'Delete database': remove, 'Database deleted?': done } = cleanup.States;
  expect(keep).toMatchObject({ Type: 'Wait', TimestampPath: '$.step.keepUntil', Next: 'Delete database' });
  expect(remove).toMatchObject({ Type: 'Task', ResultPath: '$.step', Next: 'Database deleted?' });
  expect(remove!.Retry!.at(-1)).toMatchObject({ ErrorEquals: ['States.ALL'], MaxAttempts: 200 });
  expect(remove!.Catch).toMatchObject([{ ErrorEquals: ['States.ALL'], Next: 'Database not deleted' }]);
  expect(done).toMatchObject({
    Choices: [{ Variable: '$.step.done', BooleanEquals: true, Next: 'Done with database' }],
    Default: 'Wait for deletion',
  });
  expect(cleanup.States['Wait for deletion']).toMatchObject({ Seconds: 120, Next: 'Delete database' });
  // The days of the configuration, and three for the work.
  expect(cleanup.TimeoutSeconds).toBe(36 * 24 * 60 * 60);
});

test('a clean-up waits for the grace period, then cleans until all is gone', () => {
  const { Start, 'Grace period': grace, 'Clean up': cleanUp, 'Clean?': clean, Wait: wait } = cleanup.States;
  expect(Start).toMatchObject({
    Parameters: { 'move.$': '$', 'executionArn.$': '$$.Execution.Id' },
    Next: 'Grace period',
  });
  expect(grace).toMatchObject({ Type: 'Wait', Seconds: 420, Next: 'Clean up' });
  expect(cleanUp).toMatchObject({ ResultPath: '$.step', Next: 'Clean?' });
  expect(clean).toMatchObject({
    Choices: [
      {
        And: [
          { Variable: '$.step.done', BooleanEquals: true },
          { Variable: '$.step.database', BooleanEquals: true },
        ],
        Next: 'Keep database',
      },
      { Variable: '$.step.done', BooleanEquals: true, Next: 'Cleaned up' },
    ],
    Default: 'Wait',
  });
  expect(wait).toMatchObject({ Type: 'Wait', Next: 'Clean up' });
});

test('a clean-up that fails is tried for about a day before it fails for good', () => {
  const { Retry, Catch, TimeoutSeconds } = cleanup.States['Clean up']!;
  expect(TimeoutSeconds).toBeGreaterThan(900);
  const last = Retry!.at(-1)!;
  expect(last.ErrorEquals).toEqual(['States.ALL']);
  // With full jitter a pause is half of the longest on average.
  expect((last.MaxAttempts * last.MaxDelaySeconds) / 2 / 3600).toBeGreaterThan(20);
  expect(Catch).toEqual([{ ErrorEquals: ['States.ALL'], Next: 'Not cleaned up', ResultPath: '$.failure' }]);
  expect(cleanup.States['Not cleaned up']).toMatchObject({ Type: 'Fail', ErrorPath: '$.failure.Error' });
});

test('every error name that the workflows retry is the name an error of that class carries', () => {
  const retried = Object.values(definitions)
    .flatMap((definition) => Object.values(definition.States))
    .flatMap((state) => state.Retry ?? [])
    .flatMap((retry) => retry.ErrorEquals);
  const own = new Set(retried.filter((name) => !name.includes('.')));
  expect([...own].sort()).toEqual([
    'BackupDuringMove',
    'CutOverPostponed',
    'DependencyUnavailable',
    'ProxyBusy',
    'ProxyLeaseLost',
    'SideClusterUnreachable',
    'TablesChanging',
    'TablesUpgrading',
    'TenantUnreachable',
  ]);
  const known = { ...moveErrors, ...provisioningErrors, ...backupErrors, ...restoreErrors };
  for (const name of own) expect(Object.keys(known)).toContain(name);
});

test('every error of a move is named as its class, in a bundle that renames classes too', () => {
  const instances = [
    new moveErrors.MoveAborted(),
    new moveErrors.MoveMismatch(),
    new moveErrors.CutOverPostponed(),
    new moveErrors.TablesUpgrading(),
    new moveErrors.TablesNewer(3, 2),
    new moveErrors.ReplicationBroken(),
    new moveErrors.InvalidMoveInput([]),
    new moveErrors.MoveInProgress(),
    new moveErrors.MoveForbidden([]),
    new moveErrors.NothingToMove(),
    new moveErrors.TenantNotMovable('a'),
    new moveErrors.MoveOvertaken(),
    new moveErrors.MoveNotStarted(),
    new moveErrors.TenantNotMeasured(),
    new moveErrors.MoveNotAbortable('a'),
    new moveErrors.HopNotCommitted(),
    new moveErrors.MoveStepFailed(),
  ];
  const classes = Object.keys(moveErrors).filter((name) => name !== 'MoveError');
  expect(instances.map((error) => error.constructor.name).sort()).toEqual(classes.sort());
  for (const error of instances) {
    // An own property: a minifier renames the class and leaves this.
    expect(Object.getOwnPropertyDescriptor(error, 'name')?.value).toBe(error.constructor.name);
  }
});
