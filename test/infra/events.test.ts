import { beforeAll, expect, test } from 'vitest';
import { allowStatements, listOf, text } from './iam-statements.ts';
import { type Assembly, type Resource, sharedAssembly } from './synthesized-app.ts';

let assembly: Assembly;
let archiving: Assembly;
beforeAll(async () => {
  assembly = await sharedAssembly('default');
  archiving = await sharedAssembly('guardedBackups');
});

const ofType = (type: string, of: Assembly = assembly): Resource[] =>
  of.resources.filter(({ Type }) => Type === type);

test('each region has one bus, under the key of its data, which lets in this account only', async () => {
  const three = await sharedAssembly('threeRegions');
  const names = ofType('AWS::Events::EventBus', three).map(({ Properties }) => Properties.Name);
  expect(names.sort()).toEqual(['strata-apac-events', 'strata-eu-events', 'strata-us-events']);
  const [bus] = ofType('AWS::Events::EventBus');
  expect(text(bus?.Properties.KmsKeyIdentifier)).toContain('Strata-us-network');
  const policies = ofType('AWS::Events::EventBusPolicy');
  expect(policies).toHaveLength(1);
  const statement = policies[0]?.Properties.Statement as Record<string, unknown>;
  expect(statement).toMatchObject({ Effect: 'Allow', Action: 'events:PutEvents' });
  expect(text(statement.Principal)).toMatch(/AWS::AccountId.*:root/);
});

test('EventBridge may use the key for that bus and for nothing else', () => {
  const statements = ofType('AWS::KMS::Key').flatMap(
    ({ Properties }) => (Properties.KeyPolicy as { Statement: Record<string, unknown>[] }).Statement,
  );
  const ofEvents = statements.filter(({ Principal }) => text(Principal).includes('events.amazonaws.com'));
  expect(ofEvents.map(({ Action }) => listOf(Action as string))).toEqual([
    ['kms:Decrypt', 'kms:GenerateDataKey', 'kms:ReEncrypt*'],
    ['kms:DescribeKey'],
  ]);
  expect(JSON.stringify(ofEvents[0]?.Condition)).toContain('event-bus/strata-us-events');
  for (const { Condition } of ofEvents) expect(JSON.stringify(Condition)).toContain('aws:SourceAccount');
});

test('only the publisher puts events, only on that bus and only under our source', () => {
  const puts = allowStatements(assembly.resources).filter(({ statement }) =>
    listOf(statement.Action).some((action) => text(action).startsWith('events:Put')),
  );
  const events = puts.filter(({ statement }) => text(statement.Action).includes('PutEvents'));
  expect(events).toHaveLength(1);
  const [{ roles, statement } = { roles: [], statement: {} as never }] = events;
  expect(text(roles)).toContain('EventsPublishRole');
  expect(text(statement.Resource)).toContain('event-bus/strata-us-events');
  expect(statement.Condition).toEqual({ StringEquals: { 'events:source': 'strata' } });
});

test('the publisher runs every minute, and at once when a workflow has ended that is not one of hundreds', () => {
  const [schedule] = ofType('AWS::Scheduler::Schedule').filter(
    ({ Properties }) => Properties.Name === 'strata-us-events',
  );
  expect(schedule?.Properties.ScheduleExpression).toBe('rate(1 minute)');
  const [rule] = ofType('AWS::Events::Rule').filter(({ Properties }) =>
    text(Properties.Description).includes('publish'),
  );
  const { detail } = rule!.Properties.EventPattern as { detail: Record<string, unknown[]> };
  expect(detail.status).toEqual(['SUCCEEDED', 'FAILED', 'TIMED_OUT', 'ABORTED']);
  const machines = detail.stateMachineArn?.map((arn) => text(arn).match(/stateMachine:([\w-]+)/)?.[1]);
  expect(machines).toEqual([
    'tenant-onboarding',
    'tenant-move',
    'tenant-restore',
    'tenant-export',
    'schema-rollout',
  ]);
});

test('an alarm is raised when events wait, and when nobody looks whether they do', () => {
  const [alarm] = ofType('AWS::CloudWatch::Alarm').filter(
    ({ Properties }) => Properties.MetricName === 'EventBacklogSeconds',
  );
  expect(alarm?.Properties).toMatchObject({
    Namespace: 'Strata',
    Threshold: 900,
    TreatMissingData: 'breaching',
    Dimensions: [{ Name: 'service', Value: 'publish-events' }],
  });
});

test('events are archived where the configuration says for how long', () => {
  expect(ofType('AWS::Events::Archive')).toEqual([]);
  const [archive] = ofType('AWS::Events::Archive', archiving);
  expect(archive?.Properties).toMatchObject({ ArchiveName: 'strata-us-events', RetentionDays: 30 });
  expect(text(archive?.Properties.KmsKeyIdentifier)).toContain('Strata-us-network');
});
