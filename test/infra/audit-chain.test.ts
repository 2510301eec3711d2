import { beforeAll, expect, test } from 'vitest';
import { allowStatements, listOf, text } from './iam-statements.ts';
import { type Assembly, sharedAssembly } from './synthesized-app.ts';

let assembly: Assembly;
beforeAll(async () => {
  assembly = await sharedAssembly('default');
});

const find = (name: string, value: string) =>
  assembly.resources.find(({ Properties }) => text(Properties?.[name] ?? '') === value)!;

test.each([
  ['strata-us-audit-sealing', 'rate(10 minutes)', 'seal'],
  ['strata-us-audit-verification', 'cron(45 6 * * ? *)', 'verify'],
])('%s starts an execution with its task, and may do nothing else', (name, expression, task) => {
  const { Properties } = find('Name', name);
  expect(Properties.ScheduleExpression).toBe(expression);
  const { Arn, RoleArn, Input } = Properties.Target as { Arn: unknown; RoleArn: unknown; Input: string };
  expect(JSON.parse(Input)).toEqual({ task });
  expect(text(Arn)).toMatch(/AuditChain/);
  const rights = allowStatements(assembly.resources)
    .filter(({ roles }) => roles.some((one) => text(RoleArn).includes(one)))
    .flatMap(({ statement }) => listOf(statement.Action).map((action) => [action, statement.Resource]));
  expect(rights).toEqual([['states:StartExecution', Arn]]);
});

test('a database that fails is caught in its own item, and the execution fails after all others were worked on', () => {
  const machine = find('StateMachineName', 'audit-chain');
  const { States } = JSON.parse(text(machine.Properties.DefinitionString));
  expect(States['Each database']).toMatchObject({ Type: 'Map', MaxConcurrency: 4, Next: 'Report' });
  const { Chains, 'Left out': leftOut } = States['Each database'].ItemProcessor.States;
  expect(Chains.Catch).toMatchObject([{ ErrorEquals: ['States.ALL'], Next: 'Left out' }]);
  expect(leftOut).toMatchObject({ Type: 'Pass', End: true });
  expect(States['Complete?']).toMatchObject({ Default: 'Incomplete' });
  expect(States.Incomplete).toMatchObject({ Type: 'Fail', Error: 'ChainsIncomplete' });
});

test('a broken chain raises an alarm, and so does work that was left undone', () => {
  const filter = find('FilterPattern', '{ $.message = "AuditChainAlert" }');
  expect(filter.Properties.MetricTransformations).toMatchObject([
    { MetricName: 'AuditChainAlerts', MetricNamespace: 'Strata', MetricValue: '1' },
  ]);
  const { LogGroupName } = filter.Properties;
  const task = find('Handler', 'tasks/backup-data.handler');
  expect(text((task.Properties.LoggingConfig as { LogGroup: unknown }).LogGroup)).toBe(text(LogGroupName));
  const alarms = assembly.resources.filter(
    ({ Type, logicalId }) => Type === 'AWS::CloudWatch::Alarm' && logicalId.startsWith('AuditChain'),
  );
  expect(alarms.map(({ Properties }) => Properties.MetricName ?? Properties.Metrics !== undefined)).toEqual(
    expect.arrayContaining(['AuditChainAlerts', true]),
  );
  for (const { Properties } of alarms) expect(text(Properties.AlarmActions)).toMatch(/Alarms/);
});
