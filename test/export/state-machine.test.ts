import aslValidator from 'asl-validator';
import { App, Stack } from 'aws-cdk-lib';
import { Match, Template } from 'aws-cdk-lib/assertions';
import { Function as LambdaFunction } from 'aws-cdk-lib/aws-lambda';
import { LogGroup } from 'aws-cdk-lib/aws-logs';
import { expect, test } from 'vitest';
import * as backupErrors from '../../functions/backups/errors.ts';
import * as errors from '../../functions/exports/errors.ts';
import * as placeErrors from '../../functions/places/errors.ts';
import { phases, toExportError } from '../../functions/tasks/export-data.ts';
import { TenantExport } from '../../workflows/tenant-export.ts';

interface State {
  Type: string;
  Parameters?: { phase?: string };
  Retry?: { ErrorEquals: string[]; JitterStrategy?: string }[];
  Catch?: { ErrorEquals: string[]; Next: string }[];
}

const template = synthesize();
const [machine] = Object.values(template.findResources('AWS::StepFunctions::StateMachine'));
const definition = JSON.parse(machine!.Properties.DefinitionString) as { States: Record<string, State> };
const tasks = Object.entries(definition.States).filter(([, { Type }]) => Type === 'Task');

function synthesize() {
  const stack = new Stack(new App({ builtinCloudFormationValidation: false }), 'Test', {
    env: { account: '000000000000', region: 'us-east-1' },
  });
  const arn = 'arn:aws:lambda:us-east-1:000000000000:function:data';
  const task = LambdaFunction.fromFunctionArn(stack, 'data', arn);
  new TenantExport(stack, 'Export', { task, logGroup: new LogGroup(stack, 'Log') });
  return Template.fromStack(stack);
}

test('the state machine is valid and standard; it is logged without data, and traced', () => {
  const { isValid, errorsText } = aslValidator(definition);
  expect([isValid, errorsText()]).toEqual([true, '']);
  template.hasResourceProperties('AWS::StepFunctions::StateMachine', {
    StateMachineName: 'tenant-export',
    StateMachineType: Match.absent(),
    TracingConfiguration: { Enabled: true },
    LoggingConfiguration: Match.objectLike({ Level: 'ALL', IncludeExecutionData: false }),
  });
});

test('the state machine calls every phase of its function, and no other phase', () => {
  expect(tasks.map(([, { Parameters }]) => Parameters!.phase).sort()).toEqual(Object.keys(phases).sort());
});

test('every failure is recorded, retries have jitter, and retried errors are our classes or errors of AWS', () => {
  for (const name of ['Begin', 'Source', 'Write', 'Finish']) {
    expect(definition.States[name]!.Catch, name).toEqual([
      { ErrorEquals: ['States.ALL'], ResultPath: '$.failure', Next: 'Record failure' },
    ]);
  }
  const ours = new Set(Object.keys({ ...errors, ...backupErrors, ...placeErrors }));
  for (const [name, { Retry = [] }] of tasks) {
    expect(Retry.length, name).toBeGreaterThan(0);
    for (const { JitterStrategy, ErrorEquals } of Retry) {
      expect(JitterStrategy, name).toBe('FULL');
      for (const error of ErrorEquals.filter((one) => !ours.has(one)))
        expect(error).toMatch(/^(States|Lambda|Runtime|Sandbox)\./);
    }
  }
});

test('an error of S3 or of the network is retried, our errors keep their names, and any other error is hidden', () => {
  expect(toExportError(Object.assign(new Error('reset'), { code: 'ECONNRESET' })).name).toBe(
    'DependencyUnavailable',
  );
  expect(toExportError(new errors.ExportOvertaken()).name).toBe('ExportOvertaken');
  expect(toExportError(new TypeError('secret')).message).toBe('An internal error stopped the export.');
});
