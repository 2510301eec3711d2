import { att, lambdaFunction, type Resources, role } from './assembly.ts';

const functionArn = (name: string) => `arn:aws:lambda:us-east-1:000000000000:function:${name}`;
export const machineArn = (name: string) => `arn:aws:states:us-east-1:000000000000:stateMachine:${name}`;

function machine(name: string, definition: unknown): Resources {
  return {
    [name]: {
      Type: 'AWS::StepFunctions::StateMachine',
      Properties: {
        StateMachineName: name,
        DefinitionString: JSON.stringify(definition),
        RoleArn: att('MachineRole', 'Arn'),
      },
    },
  };
}

const failTask = (extra: Record<string, unknown>) => ({
  StartAt: 'Try',
  States: {
    Try: { Type: 'Task', Resource: functionArn('Fail'), End: true, ...extra },
    Caught: { Type: 'Pass', End: true },
    Fallback: { Type: 'Pass', Result: 'fallback', End: true },
  },
});

/** State machines, their functions and roles. */
export const stateMachineResources: Resources = {
  ...role('FunctionRole', []),
  ...role('MachineRole', [
    {
      Action: 'lambda:InvokeFunction',
      Resource: [functionArn('Echo'), functionArn('Fail'), functionArn('Slow')],
    },
    { Action: 'secretsmanager:CreateSecret', Resource: '*' },
    {
      Action: 'states:StartExecution',
      Resource: ['retry', 'fail', 'long', 'forbidden'].map(machineArn),
    },
    // Not those of `forbidden`.
    {
      Action: ['states:DescribeExecution', 'states:StopExecution'],
      Resource: ['retry', 'fail', 'long'].map(
        (name) => `${machineArn(name).replace('stateMachine', 'execution')}:*`,
      ),
    },
  ]),
  ...role('OperatorRole', [{ Action: 'states:StartExecution', Resource: machineArn('context') }]),
  ...lambdaFunction('Echo', 'echo', 'FunctionRole'),
  ...lambdaFunction('Fail', 'fail', 'FunctionRole'),
  ...lambdaFunction('Slow', 'slow', 'FunctionRole'),
  ...lambdaFunction('Forbidden', 'echo', 'FunctionRole'),
  ...machine('context', {
    StartAt: 'Collect',
    States: {
      Collect: {
        Type: 'Pass',
        Parameters: {
          'input.$': '$',
          'id.$': '$$.Execution.Id',
          'name.$': '$$.Execution.Name',
          'start.$': '$$.Execution.StartTime',
          'machine.$': '$$.StateMachine.Id',
          'state.$': '$$.State.Name',
        },
        Next: 'Wait',
      },
      Wait: { Type: 'Wait', Seconds: 5, Next: 'Echo' },
      Echo: { Type: 'Task', Resource: functionArn('Echo'), ResultPath: '$.echoed', End: true },
    },
  }),
  ...machine('invoke', {
    StartAt: 'Invoke',
    States: {
      Invoke: {
        Type: 'Task',
        Resource: 'arn:aws:states:::lambda:invoke',
        Parameters: { FunctionName: functionArn('Echo'), 'Payload.$': '$' },
        ResultSelector: { 'answer.$': '$.Payload' },
        End: true,
      },
    },
  }),
  ...machine(
    'retry',
    failTask({ Retry: [{ ErrorEquals: ['Passing'], IntervalSeconds: 1, MaxAttempts: 3 }] }),
  ),
  ...machine(
    'catch',
    failTask({
      Catch: [
        { ErrorEquals: ['Expected'], Next: 'Caught', ResultPath: '$.failure' },
        { ErrorEquals: ['States.TaskFailed'], Next: 'Fallback' },
      ],
    }),
  ),
  ...machine('timeout', {
    StartAt: 'Slow',
    States: {
      Slow: {
        Type: 'Task',
        Resource: functionArn('Slow'),
        TimeoutSeconds: 1,
        Catch: [
          { ErrorEquals: ['States.TaskFailed'], Next: 'Wrong' },
          { ErrorEquals: ['States.Timeout'], Next: 'TimedOut' },
        ],
        End: true,
      },
      Wrong: { Type: 'Pass', Result: 'wrong', End: true },
      TimedOut: { Type: 'Pass', Result: 'timed out', End: true },
    },
  }),
  ...machine('forbidden', {
    StartAt: 'Call',
    States: { Call: { Type: 'Task', Resource: functionArn('Forbidden'), End: true } },
  }),
  ...machine('integration', {
    StartAt: 'Create',
    States: {
      Create: {
        Type: 'Task',
        Resource: 'arn:aws:states:::aws-sdk:secretsmanager:createSecret',
        Parameters: { 'Name.$': '$.name', SecretString: 'x' },
        ResultSelector: { 'name.$': '$.Name' },
        Retry: [{ ErrorEquals: ['Never'] }],
        Catch: [{ ErrorEquals: ['SecretsManager.ResourceExistsException'], Next: 'Exists' }],
        End: true,
      },
      Exists: { Type: 'Pass', Result: 'exists', End: true },
    },
  }),
  ...machine('fail', {
    StartAt: 'Fail',
    States: { Fail: { Type: 'Fail', ErrorPath: '$.error', CausePath: '$.reason' } },
  }),
  ...machine('fan-out', {
    StartAt: 'Each',
    States: {
      Each: {
        Type: 'Map',
        ItemsPath: '$.items',
        ItemSelector: { 'item.$': '$$.Map.Item.Value', 'index.$': '$$.Map.Item.Index' },
        ItemProcessor: {
          StartAt: 'One',
          States: { One: { Type: 'Task', Resource: functionArn('Echo'), End: true } },
        },
        End: true,
      },
    },
  }),
  ...machine('nested', {
    StartAt: 'Run',
    States: {
      Run: {
        Type: 'Task',
        Resource: 'arn:aws:states:::states:startExecution.sync:2',
        Parameters: { 'StateMachineArn.$': '$.machine', 'Input.$': '$.input' },
        ResultSelector: { 'status.$': '$.Status', 'output.$': '$.Output', 'arn.$': '$.ExecutionArn' },
        End: true,
      },
    },
  }),
  ...machine('long', {
    StartAt: 'Long',
    States: { Long: { Type: 'Wait', Seconds: 360_000, End: true } },
  }),
};
