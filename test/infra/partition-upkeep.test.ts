import { beforeAll, expect, test } from 'vitest';
import { allowStatements, listOf, text } from './iam-statements.ts';
import { type Assembly, sharedAssembly } from './synthesized-app.ts';

let assembly: Assembly;
beforeAll(async () => {
  assembly = await sharedAssembly('default');
});

const find = (name: string, value: string) =>
  assembly.resources.find(({ Properties }) => text(Properties?.[name] ?? '') === value)!;

interface State {
  readonly Type: string;
  readonly Next?: string;
  readonly Default?: string;
  readonly Catch?: { ErrorEquals: string[]; Next: string }[];
  readonly ItemProcessor?: { StartAt: string; States: Record<string, State> };
  readonly MaxConcurrency?: number;
}

test('a database that fails is caught in its own item, and the execution fails after all others were kept', () => {
  const machine = find('StateMachineName', 'partition-upkeep');
  const definition = JSON.parse(text(machine.Properties.DefinitionString)) as {
    States: Record<string, State>;
  };
  const each = definition.States['Each database']!;
  expect(each).toMatchObject({ Type: 'Map', MaxConcurrency: 4, Next: 'Report' });
  const { Upkeep, Summaries, ...states } = each.ItemProcessor!.States;
  expect(Upkeep?.Catch).toMatchObject([{ ErrorEquals: ['States.ALL'], Next: 'Upkeep left out' }]);
  expect(states['Upkeep left out']).toMatchObject({ Type: 'Pass', Next: 'Summaries' });
  expect(Summaries?.Catch).toMatchObject([{ ErrorEquals: ['States.ALL'], Next: 'Summaries left out' }]);
  expect(states['Summaries left out']).toMatchObject({ Type: 'Pass', End: true });
  expect(definition.States['Complete?']).toMatchObject({ Default: 'Incomplete' });
  expect(definition.States.Incomplete).toMatchObject({ Type: 'Fail', Error: 'UpkeepIncomplete' });
});

test.each([
  ['partition-upkeep', 'cron(15 5 * * ? *)', '{}'],
  ['summary-refresh', 'rate(1 hour)', '{"work":"summaries"}'],
])('the schedule %s starts an execution, and may do nothing else', (name, expression, input) => {
  const { Properties } = find('Name', `strata-us-${name}`);
  expect(Properties.ScheduleExpression).toBe(expression);
  expect(text((Properties.Target as { Input: unknown }).Input)).toBe(input);
  const { Arn, RoleArn } = Properties.Target as { Arn: unknown; RoleArn: unknown };
  const rights = allowStatements(assembly.resources)
    .filter(({ roles }) => roles.some((one) => text(RoleArn).includes(one)))
    .flatMap(({ statement }) => listOf(statement.Action).map((action) => [action, statement.Resource]));
  expect(rights).toEqual([['states:StartExecution', Arn]]);
});

test('the task may sign in as owners and read the registry, and start nothing', () => {
  const role = text(find('Handler', 'tasks/partition-upkeep.handler').Properties.Role);
  const rights = allowStatements(assembly.resources)
    .filter(({ roles }) => roles.some((one) => role.includes(one)))
    .flatMap(({ statement }) =>
      listOf(statement.Action).flatMap((action) =>
        listOf(statement.Resource).map((resource) => `${text(action)} ${text(resource)}`),
      ),
    )
    .join('\n');
  expect(rights).toMatch(/secretsmanager:GetSecretValue .*owner/i);
  expect(rights).toMatch(/secretsmanager:GetSecretValue .*strata\/dedicated/);
  expect(rights).toMatch(/secretsmanager:GetSecretValue .*Reader/);
  expect(rights).not.toMatch(/master|writer/i);
  expect(rights).not.toMatch(/states:|sns:|lambda:|strata\/tenant/);
});

test('an execution that fails or times out, or a throttled task, raises an alarm', () => {
  const alarms = assembly.resources.filter(
    ({ Type, logicalId }) => Type === 'AWS::CloudWatch::Alarm' && logicalId.startsWith('UpkeepFailures'),
  );
  expect(alarms).toHaveLength(1);
  expect(JSON.stringify(alarms[0]!.Properties.Metrics).match(/(?<="MetricName":")\w+/g)).toEqual([
    'ExecutionsFailed',
    'ExecutionsTimedOut',
    'Throttles',
  ]);
  expect(text(alarms[0]!.Properties.AlarmActions)).toMatch(/Alarms/);
});
