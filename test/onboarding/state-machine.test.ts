import aslValidator from 'asl-validator';
import { App, Stack } from 'aws-cdk-lib';
import { Match, Template } from 'aws-cdk-lib/assertions';
import { Function as LambdaFunction } from 'aws-cdk-lib/aws-lambda';
import { LogGroup } from 'aws-cdk-lib/aws-logs';
import { expect, test } from 'vitest';
import * as errors from '../../functions/onboarding/errors.ts';
import * as aws from '../../functions/tasks/onboarding-aws.ts';
import * as data from '../../functions/tasks/onboarding-data.ts';
import * as registry from '../../functions/tasks/onboarding-registry.ts';
import { TenantOnboarding } from '../../workflows/tenant-onboarding.ts';

type State = {
  Type: string;
  Resource?: string;
  Parameters?: { phase: string };
  Next?: string;
  End?: boolean;
  TimeoutSeconds?: number;
  Retry?: { ErrorEquals: string[] }[];
  Catch?: { ErrorEquals: string[]; Next: string; ResultPath: string }[];
  Choices?: { Next: string }[];
  Default?: string;
};

function synthesize() {
  const stack = new Stack(new App({ builtinCloudFormationValidation: false }), 'Test', {
    env: { account: '000000000000', region: 'us-east-1' },
  });
  const task = (name: string) =>
    LambdaFunction.fromFunctionArn(stack, name, `arn:aws:lambda:us-east-1:000000000000:function:${name}`);
  const tasks = { registry: task('registry'), aws: task('aws'), data: task('data') };
  new TenantOnboarding(stack, 'Onboarding', { tasks, logGroup: new LogGroup(stack, 'Log') });
  return Template.fromStack(stack);
}

function definitionOf(template: Template): {
  StartAt: string;
  States: Record<string, State>;
  QueryLanguage?: string;
} {
  const [machine] = Object.values(template.findResources('AWS::StepFunctions::StateMachine'));
  return JSON.parse(machine!.Properties.DefinitionString);
}

/** The states from `name` on; `picks` are the branches to take at the choices that are met, the default else. */
function path(states: Record<string, State>, name: string, picks: number[]): string[] {
  const state = states[name]!;
  const [pick = -1, ...rest] = picks;
  const next = state.Type === 'Choice' ? (state.Choices![pick]?.Next ?? state.Default) : state.Next;
  return next ? [name, ...path(states, next, state.Type === 'Choice' ? rest : picks)] : [name];
}

test('is a standard JSONPath state machine named tenant-onboarding, logged and traced', () => {
  const template = synthesize();
  template.hasResourceProperties('AWS::StepFunctions::StateMachine', {
    StateMachineName: 'tenant-onboarding',
    TracingConfiguration: { Enabled: true },
    LoggingConfiguration: Match.objectLike({ Level: 'ALL', IncludeExecutionData: false }),
  });
  const definition = definitionOf(template);
  expect(definition.QueryLanguage ?? 'JSONPath').toBe('JSONPath');
});

test('its definition is valid Amazon States Language', () => {
  const { isValid, errorsText } = aslValidator(definitionOf(synthesize()));
  expect(errorsText()).toBe('');
  expect(isValid).toBe(true);
});

test('each tier goes through its own phases and all end with place, verify, activate', () => {
  const { StartAt, States } = definitionOf(synthesize());
  const finish = ['Place', 'Verify', 'Activate'];
  expect(path(States, StartAt, [])).toEqual(['Start', 'Register', 'Tier?', ...finish]);
  expect(path(States, StartAt, [0])).toEqual([
    'Start',
    'Register',
    'Tier?',
    'Create credentials',
    'Create schema',
    'Register with proxy',
    ...finish,
  ]);
  expect(path(States, StartAt, [1, 0])).toEqual([
    'Start',
    'Register',
    'Tier?',
    'Launch dedicated database',
    'Dedicated database ready?',
    'Bootstrap dedicated database',
    'Create dedicated schema',
    ...finish,
  ]);
  expect(States['Dedicated database ready?']!.Default).toBe('Wait for dedicated database');
  expect(States['Wait for dedicated database']!.Next).toBe('Launch dedicated database');
});

test('a state calls a phase that its function has, and every phase but recovery is called', () => {
  const tasks = Object.entries(definitionOf(synthesize()).States).filter(([, { Type }]) => Type === 'Task');
  const called = tasks.map(([name, { Parameters, Resource }]) => {
    expect(Parameters, name).toEqual({ phase: expect.any(String), 'state.$': '$' });
    return `${Resource!.split(':').at(-1)} ${Parameters!.phase}`;
  });
  const known = Object.entries({ registry, aws, data }).flatMap(([task, { phases }]) =>
    Object.keys(phases).map((phase) => `${task} ${phase}`),
  );
  // Two branches create a schema.
  expect([...new Set(called)].sort()).toEqual(known.filter((one) => one !== 'registry recover').sort());
});

test('every task has a timeout, a retry on passing errors, and ends in a recorded failure', () => {
  const { States } = definitionOf(synthesize());
  for (const [name, state] of Object.entries(States).filter(([, each]) => each.Type === 'Task')) {
    expect(state.TimeoutSeconds, name).toBeGreaterThan(0);
    expect(
      state.Retry!.flatMap((retry) => retry.ErrorEquals),
      name,
    ).toContain('DependencyUnavailable');
    const [caught] = state.Catch!;
    expect(caught, name).toMatchObject({
      ErrorEquals: ['States.ALL'],
      Next: name === 'Record failure' ? 'Failed without record' : 'Record failure',
    });
  }
  expect(States.Failed).toMatchObject({
    Type: 'Fail',
    ErrorPath: '$.failure.Error',
    CausePath: '$.outcome.reason',
  });
});

test('every error name that the workflow retries is the name an error of that class carries', () => {
  const { States } = definitionOf(synthesize());
  const retried = Object.values(States)
    .flatMap((state) => state.Retry ?? [])
    .flatMap((retry) => retry.ErrorEquals);
  const own = new Set(retried.filter((name) => !name.includes('.')));
  expect([...own].sort()).toEqual([
    'DependencyUnavailable',
    'ProxyBusy',
    'ProxyLeaseLost',
    'TenantUnreachable',
  ]);
  for (const name of own) expect(Object.keys(errors)).toContain(name);
});

test('every lifecycle error is named as its class, in a bundle that renames classes too', () => {
  const instances = [
    new errors.InvalidOnboardingInput([]),
    new errors.TenantExists('a'),
    new errors.TenantNameTaken('a'),
    new errors.TenantInputMismatch('a', []),
    new errors.CloneSourceLeaving('offboarding'),
    new errors.NoCellCapacity('starter', 'us'),
    new errors.TenantNotProvisioning(),
    new errors.OnboardingIncomplete('a'),
    new errors.TenantSecretInvalid(),
    new errors.OnboardingNotStarted(),
    new errors.ComplianceUnsatisfied([], 'business'),
    new errors.PlacementConflict(),
    new errors.DedicatedStackFailed(),
    new errors.DedicatedStackTimeout(),
    new errors.UnknownCell(),
    new errors.ProxySecretsExhausted(),
    new errors.RegionQuotaExhausted(''),
    new errors.SizeNotOffered('a'),
    new errors.ProxyBusy(),
    new errors.ProxyLeaseLost(),
    new errors.TenantUnreachable(),
    new errors.DependencyUnavailable(),
    new errors.OnboardingStepFailed(),
  ];
  const classes = Object.keys(errors).filter((name) => name !== 'LifecycleError');
  expect(instances.map((error) => error.constructor.name).sort()).toEqual(classes.sort());
  for (const error of instances) {
    // An own property: a minifier renames the class and leaves this.
    expect(Object.getOwnPropertyDescriptor(error, 'name')?.value).toBe(error.constructor.name);
  }
});
