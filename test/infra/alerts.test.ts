import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { alarmMetrics } from './alarm-metrics.ts';
import { allowStatements, listOf, text } from './iam-statements.ts';
import { type Assembly, type Resource, sharedAssembly } from './synthesized-app.ts';

let assembly: Assembly;
beforeAll(async () => {
  assembly = await sharedAssembly('default');
});

const functionNamed = (entry: string): Resource =>
  assembly.resources.find(({ Properties }) => Properties?.Handler === `${entry}.handler`) as Resource;
/** `action resource` of all that the function may do. */
function rightsOf(entry: string): string[] {
  const role = text(functionNamed(entry).Properties.Role);
  return allowStatements(assembly.resources)
    .filter(({ roles }) => roles.some((one) => role.includes(one)))
    .flatMap(({ statement }) =>
      listOf(statement.Action).flatMap((action) =>
        listOf(statement.Resource).map((resource) => `${text(action)} ${text(resource)}`),
      ),
    );
}

test('who surveys may sign in as owners, reads the registry, and tells nobody', () => {
  const rights = rightsOf('tasks/survey-alerts').join('\n');
  expect(rights).toMatch(/secretsmanager:GetSecretValue .*us-1\/owner/);
  expect(rights).toMatch(/secretsmanager:GetSecretValue .*strata\/dedicated/);
  expect(rights).toMatch(/secretsmanager:GetSecretValue .*Registry.*Reader/);
  expect(rights).not.toMatch(/master|Writer|states:|sns:|lambda:|strata\/tenant|rds:/);
});

test('who judges may publish, describe proxies and call the survey, and reaches no tenant’s data', () => {
  const rights = rightsOf('tasks/evaluate-alerts');
  const secrets = rights.filter((right) => right.startsWith('secretsmanager:GetSecretValue'));
  expect(secrets).toEqual([expect.stringMatching(/Registry.*Writer/)]);
  expect(functionNamed('tasks/evaluate-alerts').Properties).not.toHaveProperty('VpcConfig');
  const others = rights.filter((right) => /^(states|sns|lambda|rds):/.test(right)).sort();
  expect(others).toEqual([
    expect.stringMatching(/^lambda:InvokeFunction <AlertsSurvey\w+\.Arn>$/),
    expect.stringMatching(/^rds:DescribeDBProxies .*:db-proxy:\*$/),
    expect.stringMatching(/^rds:DescribeDBProxyTargets .*:db-proxy:\*$/),
    expect.stringMatching(/^rds:DescribeDBProxyTargets .*:target-group:\*$/),
    expect.stringMatching(/^sns:Publish <AlertsTopic\w+>$/),
  ]);
});

test('alerts are evaluated every five minutes', () => {
  const schedule = assembly.resources.find(({ Properties }) => Properties?.Name === 'strata-us-alerts');
  expect(schedule?.Properties.ScheduleExpression).toBe('rate(5 minutes)');
});

test.each(['default', 'threeRegionsOfThreeCells'] as const)(
  'in %s, the dashboard of each region shows all alarms of its stacks',
  async (variant) => {
    const { resources } = await sharedAssembly(variant);
    const dashboards = resources.filter(({ Type }) => Type === 'AWS::CloudWatch::Dashboard');
    const shown = dashboards.flatMap(({ Properties }) => [
      ...text(Properties.DashboardBody).matchAll(/:alarm:([\w-]+)/g),
    ]);
    const alarms = resources.filter(({ Type }) => Type === 'AWS::CloudWatch::Alarm');
    expect(shown.map(([, name]) => name).sort()).toEqual(
      alarms.map(({ Properties }) => Properties.AlarmName).sort(),
    );
    expect(new Set(alarms.map(({ stack, Properties }) => `${stack} ${Properties.AlarmName}`)).size).toBe(
      alarms.length,
    );
    expect(dashboards.map(({ Properties }) => Properties.DashboardName)).toEqual(
      variant === 'default' ? ['strata-us'] : ['strata-us', 'strata-eu', 'strata-apac'],
    );
  },
);

test('the dashboard graphs API, functions, clusters, proxies and workflows', () => {
  const dashboard = assembly.resources.find(({ Type }) => Type === 'AWS::CloudWatch::Dashboard');
  const body = text(dashboard?.Properties.DashboardBody);
  for (const metric of [
    ...['Latency', '5xx', 'Errors', 'CPUUtilization', 'ACUUtilization', 'DatabaseConnections'],
    ...['VolumeBytesUsed', 'FreeLocalStorage', 'DatabaseConnectionsBorrowLatency', 'ExecutionsFailed'],
  ]) {
    expect(body, metric).toContain(`MetricName=\\"${metric}\\"`);
  }
});

test('docs/deploy.md counts alarms and metrics as they are', () => {
  const alarms = assembly.resources.filter(({ Type }) => Type === 'AWS::CloudWatch::Alarm');
  const metrics = alarmMetrics(alarms);
  const page = readFileSync(join(import.meta.dirname, '../../docs/deploy.md'), 'utf8');
  const price = (metrics * 0.1).toFixed(2);
  expect(page).toContain(`| alarms | ${alarms.length}, of ${metrics} metrics × 0.10 | ${price} |`);
});
