import { beforeAll, expect, test } from 'vitest';
import { allowStatements, listOf, text } from './iam-statements.ts';
import { type Assembly, type Resource, sharedAssembly } from './synthesized-app.ts';

let assembly: Assembly;
beforeAll(async () => {
  assembly = await sharedAssembly('twoRegions');
});

type Found = Assembly['resources'][number];
const inUs = (type: string): Found[] =>
  assembly.resources.filter(({ stack, Type }) => stack.startsWith('Strata-us-') && Type === type);
const functionOf = (entry: string): Found =>
  assembly.resources.find(
    ({ stack, Properties }) => !stack.startsWith('Strata-eu-') && Properties.Handler === `${entry}.handler`,
  ) as Found;
const moveTasks = () =>
  inUs('AWS::Lambda::Function').filter(({ Properties }) => /^tasks\/move-/.test(String(Properties.Handler)));
const taskName = ({ Properties }: Resource) =>
  String(Properties.Handler).replace(/^tasks\/move-|\.handler$/g, '');
const variablesOf = ({ Properties }: Resource) =>
  (Properties.Environment as { Variables: Record<string, unknown> }).Variables;

/** Entries of the move's tasks, sorted, that may do this to a resource like that. */
function mayDo(action: string, resource: RegExp): string[] {
  const allowed = allowStatements(assembly.resources).filter(
    ({ where, statement }) =>
      where.startsWith('Strata-us-') &&
      listOf(statement.Action).includes(action) &&
      listOf(statement.Resource).some((one) => resource.test(text(one))),
  );
  return moveTasks()
    .filter(({ Properties }) =>
      allowed.some(({ roles }) => roles.some((role) => text(Properties.Role) === `<${role}.Arn>`)),
    )
    .map(taskName)
    .sort();
}

interface Machine {
  readonly definition: {
    States: Record<string, { Type: string; Seconds?: number; TimeoutSeconds?: number }>;
  };
  /** Logical id of the function that a Task state calls. */
  calls(state: string): string;
}

function machineNamed(name: string): Machine {
  const [machine] = inUs('AWS::StepFunctions::StateMachine').filter(
    ({ Properties }) => Properties.StateMachineName === name,
  ) as [Found];
  const definition = JSON.parse(text(machine.Properties.DefinitionString)) as Machine['definition'];
  return {
    definition,
    calls: (state) =>
      (definition.States[state] as unknown as { Resource: string }).Resource.replace(/^<(\w+)\.Arn>$/, '$1'),
  };
}

test('a state waits a little longer for its function than the function may run', () => {
  for (const name of ['tenant-move', 'tenant-move-cleanup']) {
    const { definition, calls } = machineNamed(name);
    const tasks = Object.entries(definition.States).filter(([, { Type }]) => Type === 'Task');
    expect(tasks.length).toBeGreaterThan(0);
    for (const [state, { TimeoutSeconds = 0 }] of tasks) {
      const task = inUs('AWS::Lambda::Function').find(({ logicalId }) => logicalId === calls(state)) as Found;
      expect(TimeoutSeconds - Number(task.Properties.Timeout), state).toBe(10);
    }
  }
});

test('every task of a move but surveys is called by a workflow', () => {
  const called = ['tenant-move', 'tenant-move-cleanup'].flatMap((name) => {
    const { definition, calls } = machineNamed(name);
    return Object.entries(definition.States).flatMap(([state, { Type }]) =>
      Type === 'Task' ? [calls(state)] : [],
    );
  });
  const others = moveTasks().filter(({ logicalId }) => !called.includes(logicalId));
  expect(others.map(taskName).sort()).toEqual(['survey']);
});

test('the grace period, the pause and the duty cycle are the configuration’s', () => {
  expect(machineNamed('tenant-move-cleanup').definition.States['Grace period']!.Seconds).toBe(180);
  expect(variablesOf(functionOf('tasks/move-data'))).toMatchObject({
    KEEP_DEDICATED_DAYS: '30',
    MOVE_MAX_PAUSE_MS: '80',
    MOVE_DUTY_CYCLE: '0.25',
  });
});

test('who reaches a database runs in the network, who calls other services does not', () => {
  const outside = moveTasks().filter(({ Properties }) => Properties.VpcConfig === undefined);
  expect(outside.map(taskName).sort()).toEqual(['aws', 'registry']);
});

test('secrets are read, made and deleted only where that is the work of the phases', () => {
  const read = 'secretsmanager:GetSecretValue';
  expect(mayDo(read, /strata\/us-1\/owner/)).toEqual(['data', 'survey']);
  expect(mayDo(read, /strata\/dedicated/)).toEqual(['data', 'survey']);
  expect(mayDo(read, /strata\/tenant/)).toEqual(['aws', 'data']);
  expect(mayDo(read, /strata\/us-1\/starter/)).toEqual(['data']);
  expect(mayDo(read, /master/i)).toEqual([]);
  expect(mayDo('secretsmanager:CreateSecret', /strata\/tenant/)).toEqual(['aws']);
  expect(mayDo('secretsmanager:DeleteSecret', /strata\/tenant/)).toEqual(['aws', 'data']);
  // Of a launch that failed, and of a database that its tenant has left.
  expect(mayDo('secretsmanager:DeleteSecret', /dedicated|owner|starter|master/i)).toEqual(['aws']);
});

test('only one task launches and deletes dedicated databases and changes proxies, and it signs in to none', () => {
  expect(mayDo('cloudformation:CreateStack', /./)).toEqual(['aws']);
  for (const action of ['rds:DeleteDBCluster', 'rds:DeleteDBInstance', 'rds:ModifyDBCluster']) {
    expect(mayDo(action, /:strata-tenant-\*$/), action).toEqual(['aws']);
    expect(mayDo(action, /^(?!.*:strata-tenant-\*$)/), action).toEqual([]);
  }
  expect(mayDo('rds:CreateDBClusterSnapshot', /./)).toEqual(['aws']);
  expect(mayDo('cloudformation:DeleteStack', /stack\/strata-tenant-\*$/)).toEqual(['aws']);
  expect(mayDo('rds:ModifyDBProxy', /./)).toEqual(['aws']);
});

test('clean-ups are started, and executions looked at, by those who settle and recover', () => {
  expect(mayDo('states:StartExecution', /stateMachine:tenant-move-cleanup$/)).toEqual(['data']);
  // Moves go on where the tenant has gone; here nobody starts one.
  expect(mayDo('states:StartExecution', /eu-west-1:.*stateMachine:tenant-move$/)).toEqual([
    'data',
    'registry',
  ]);
  expect(mayDo('states:StartExecution', /us-east-1:.*stateMachine:tenant-move$/)).toEqual([]);
  expect(mayDo('states:DescribeExecution', /execution:tenant-move:\*$/)).toEqual(['data']);
  expect(mayDo('states:DescribeExecution', /execution:tenant-move-cleanup:\*$/)).toEqual(['data']);
  expect(text(variablesOf(functionOf('tasks/move-data')).MOVE_CLEANUP_STATE_MACHINE_ARN)).toMatch(
    /stateMachine:tenant-move-cleanup$/,
  );
  const services = inUs('AWS::EC2::VPCEndpoint').map(({ Properties }) => text(Properties.ServiceName));
  expect(services).toContainEqual(expect.stringMatching(/\.states$/));
});

test.each([
  ['move', 'tasks/move-data', [[/^Moves.*Workflow/, /^Moves.*Cleanup/], [/^Restores.*Workflow/]]],
  ['onboarding', 'tasks/onboarding-registry', [[/^Onboarding.*Workflow/]]],
] as const)(
  'an execution of a %s that ends badly is told to %s, which also looks every five minutes',
  (what, entry, machines) => {
    const recover = `<${functionOf(entry).logicalId}.Arn>`;
    const rules = inUs('AWS::Events::Rule').filter(
      ({ Properties }) => text((Properties.Targets as { Arn: unknown }[])[0]?.Arn) === recover,
    );
    expect(rules.map(({ Properties }) => Properties)).toMatchObject(
      machines.map((ofRule) => ({
        State: 'ENABLED',
        EventPattern: {
          source: ['aws.states'],
          'detail-type': ['Step Functions Execution Status Change'],
          detail: {
            stateMachineArn: ofRule.map((id) => ({ Ref: expect.stringMatching(id) })),
            status: ['ABORTED', 'TIMED_OUT', 'FAILED'],
          },
        },
      })),
    );
    const schedule = inUs('AWS::Scheduler::Schedule').find(
      ({ Properties }) => Properties.Name === `strata-us-${what}-recovery`,
    ) as Found;
    expect(schedule.Properties.ScheduleExpression).toBe('rate(5 minutes)');
    expect(text((schedule.Properties.Target as { Arn: unknown }).Arn)).toBe(recover);
  },
);

test('a tenant that is provisioning too long raises an alarm, and recovery may start what was planned', () => {
  const [filter] = inUs('AWS::Logs::MetricFilter').filter(({ Properties }) =>
    String(Properties.FilterPattern).includes('TenantProvisioningAlert'),
  ) as [Found];
  const [{ MetricName }] = filter.Properties.MetricTransformations as [{ MetricName: string }];
  const alarms = inUs('AWS::CloudWatch::Alarm').filter(
    ({ Properties }) => Properties.MetricName === MetricName,
  );
  expect(alarms.map(({ Properties }) => Properties)).toMatchObject([
    { Namespace: 'Strata', Threshold: 1, AlarmActions: [expect.anything()] },
  ]);
  const role = text(functionOf('tasks/onboarding-registry').Properties.Role);
  const allowed = (action: string) =>
    allowStatements(assembly.resources)
      .filter(
        ({ where, roles }) => where.startsWith('Strata-us-') && roles.some((one) => `<${one}.Arn>` === role),
      )
      .filter(({ statement }) => listOf(statement.Action).includes(action))
      .flatMap(({ statement }) => listOf(statement.Resource).map(text));
  expect(allowed('states:StartExecution')).toEqual([
    expect.stringMatching(/:stateMachine:tenant-onboarding$/),
  ]);
  expect(allowed('states:DescribeExecution')).toEqual([
    expect.stringMatching(/:execution:tenant-onboarding:\*$/),
  ]);
});

test('the operators’ API may start and watch the workflows that an operator asks for in every region, measure tenants of any, and ask for their accounts', () => {
  const tenants = functionOf('api/tenants/handler');
  const allowed = (action: string) =>
    allowStatements(assembly.resources)
      .filter(({ roles }) => roles.some((role) => text(tenants.Properties.Role) === `<${role}.Arn>`))
      .filter(({ statement }) => listOf(statement.Action).includes(action))
      .flatMap(({ statement }) => listOf(statement.Resource).map(text))
      .map((arn) => arn.replaceAll(/<AWS::\w+>/g, ''))
      .sort();
  expect(allowed('states:StartExecution')).toEqual([
    'arn:aws:states:eu-west-1::stateMachine:credential-rotation',
    'arn:aws:states:eu-west-1::stateMachine:schema-rollout',
    'arn:aws:states:eu-west-1::stateMachine:tenant-backup',
    'arn:aws:states:eu-west-1::stateMachine:tenant-export',
    'arn:aws:states:eu-west-1::stateMachine:tenant-move',
    'arn:aws:states:eu-west-1::stateMachine:tenant-offboarding',
    'arn:aws:states:eu-west-1::stateMachine:tenant-onboarding',
    'arn:aws:states:eu-west-1::stateMachine:tenant-restore',
    'arn:aws:states:us-east-1::stateMachine:credential-rotation',
    'arn:aws:states:us-east-1::stateMachine:schema-rollout',
    'arn:aws:states:us-east-1::stateMachine:tenant-backup',
    'arn:aws:states:us-east-1::stateMachine:tenant-export',
    'arn:aws:states:us-east-1::stateMachine:tenant-move',
    'arn:aws:states:us-east-1::stateMachine:tenant-offboarding',
    'arn:aws:states:us-east-1::stateMachine:tenant-onboarding',
    'arn:aws:states:us-east-1::stateMachine:tenant-restore',
  ]);
  expect(allowed('states:DescribeExecution')).toContain('arn:aws:states:us-east-1::execution:tenant-move:*');
  expect(allowed('states:StopExecution')).toEqual([]);
  expect(allowed('lambda:InvokeFunction')).toEqual([
    'arn:aws:lambda:eu-west-1::function:strata-eu-accounts',
    'arn:aws:lambda:eu-west-1::function:strata-eu-move-survey',
    'arn:aws:lambda:us-east-1::function:strata-us-accounts',
    'arn:aws:lambda:us-east-1::function:strata-us-move-survey',
  ]);
  expect(text(variablesOf(tenants).MOVE_STATE_MACHINE_ARN)).toMatch(/us-east-1.*:stateMachine:tenant-move$/);
  expect(variablesOf(tenants).MOVE_SURVEY_FUNCTION).toBe('strata-us-move-survey');
  expect(functionOf('tasks/move-survey').Properties.FunctionName).toBe('strata-us-move-survey');
});

test.each(['MoveMismatchAlert', 'MoveRecoveryAlert'])(
  '%s in the log of the phases at databases raises an alarm',
  (word) => {
    const filters = inUs('AWS::Logs::MetricFilter').filter(({ Properties }) =>
      String(Properties.FilterPattern).includes(word),
    );
    const { LogGroup } = functionOf('tasks/move-data').Properties.LoggingConfig as { LogGroup: unknown };
    expect(filters.map(({ Properties }) => Properties.LogGroupName)).toEqual([LogGroup]);
    const alarms = inUs('AWS::CloudWatch::Alarm').filter(({ Properties }) =>
      JSON.stringify(Properties).includes(`"${word}s"`),
    );
    expect(alarms).toHaveLength(1);
  },
);
