import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { schedulePeriod } from '../../../infra/cli/schedules.ts';
import { att, lambdaFunction, type Resources, role } from '../../local/aws/assembly.ts';
import { type EndpointFixture, startEndpoint } from '../../local/aws/endpoint-fixture.ts';
import { recordedLines } from '../../local/aws/recorded-lines.ts';
import { newDirectory } from '../../local/running-fixture.ts';
import { strata } from './run-command.ts';

const recordFile = join(newDirectory(), 'record');
const machineArn = 'arn:aws:states:us-east-1:000000000000:stateMachine:nightly';

function schedule(name: string, expression: string, target: object, properties: object = {}): Resources {
  return {
    [name.replaceAll('-', '')]: {
      Type: 'AWS::Scheduler::Schedule',
      Properties: {
        Name: name,
        ScheduleExpression: expression,
        FlexibleTimeWindow: { Mode: 'OFF' },
        Target: { RoleArn: att('SchedulerRole', 'Arn'), ...target },
        ...properties,
      },
    },
  };
}

const recorder = (input: object) => ({ Arn: att('Recorder', 'Arn'), Input: JSON.stringify(input) });

let fixture: EndpointFixture;
beforeAll(async () => {
  fixture = await startEndpoint([
    {
      name: 'Schedules',
      resources: {
        ...role('FunctionRole', []),
        ...role('SchedulerRole', []),
        ...lambdaFunction('Recorder', 'record', 'FunctionRole', { RECORD_FILE: recordFile }),
        Nightly: {
          Type: 'AWS::StepFunctions::StateMachine',
          Properties: {
            StateMachineName: 'nightly',
            RoleArn: att('FunctionRole', 'Arn'),
            DefinitionString: '{"StartAt":"Done","States":{"Done":{"Type":"Pass","End":true}}}',
          },
        },
        ...schedule(
          'us-metering-1A2B',
          'cron(0 2 * * ? *)',
          recorder({ ran: 'metering', at: '<aws.scheduler.scheduled-time>' }),
        ),
        ...schedule('us-promotion', 'rate(24 hours)', recorder({ ran: 'promotion' })),
        ...schedule('us-paused', 'rate(1 day)', recorder({ ran: 'paused' }), { State: 'DISABLED' }),
        ...schedule('us-upkeep', 'rate(1 hour)', { Arn: machineArn, Input: '{"night":1}' }),
        ...schedule(
          'us-broken',
          'rate(5 minutes)',
          recorder({ ran: 'broken', error: 'Unlucky', key: 'tick' }),
        ),
      },
    },
  ]);
});
afterAll(() => fixture.stop());

const tick = (which: string) => strata(['tick', which], { AWS_ENDPOINT_URL: fixture.platform.awsUrl });
const ran = () => recordedLines<{ ran: string; at?: string }>(recordFile).map((line) => line.ran);

describe('tick', () => {
  test('daily runs what runs once a day and is enabled, with its input', async () => {
    const { code, out, error } = await tick('daily');
    expect([code, error]).toEqual([0, '']);
    expect(out.trimEnd().split('\n')).toEqual([
      expect.stringMatching(/^✔ us-metering-1A2B {2}\d+\.\d s {2}answered \{\}$/),
      expect.stringMatching(/^✔ us-promotion {2}\d+\.\d s {2}answered \{\}$/),
    ]);
    expect(ran()).toEqual(['metering', 'promotion']);
    expect(recordedLines<{ at?: string }>(recordFile)[0]!.at).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
  });

  test('hourly starts state machines', async () => {
    const { code, out } = await tick('hourly');
    expect(code).toBe(0);
    expect(out).toMatch(
      /^✔ us-upkeep {2}\d\.\d s {2}started arn:aws:states:us-east-1:\d+:execution:nightly:/,
    );
  });

  test('executions are listed newest first, as a table or as JSON', async () => {
    await tick('hourly');
    const environment = { AWS_ENDPOINT_URL: fixture.platform.awsUrl };
    const [title, ...rows] = (await strata(['executions'], environment)).out.trimEnd().split('\n');
    expect(title).toMatch(/^STARTED +WORKFLOW +STATUS +TIME +EXECUTION$/);
    const line =
      /^\d{4}-\d\d-\d\d \d\d:\d\d {2}nightly {3}SUCCEEDED {2}\d\.\d s {2}arn:aws:states:.*:nightly:/;
    expect(rows.length).toBeGreaterThanOrEqual(2);
    for (const row of rows) expect(row).toMatch(line);
    const { out } = await strata(['executions', 'nightly', '--json'], environment);
    const listed = JSON.parse(out) as { startedAt: string }[];
    expect(listed).toHaveLength(rows.length);
    expect(listed[0]).toMatchObject({ stateMachine: 'nightly', status: 'SUCCEEDED' });
    const times = listed.map(({ startedAt }) => startedAt);
    expect(times).toEqual([...times].sort().reverse());
    expect(await strata(['executions', 'daily'], environment)).toMatchObject({
      code: 1,
      out: '',
      error: 'there is no state machine "daily": there are nightly\n',
    });
  });

  test('a name runs that one, also when it is paused; whole words of a name will do', async () => {
    expect(await tick('us-paused')).toMatchObject({ code: 0 });
    expect(await tick('Metering')).toMatchObject({ code: 0 });
    expect(ran().slice(-2)).toEqual(['paused', 'metering']);
  });

  test('a function that fails is told of, once, with exit code 1', async () => {
    const before = ran().length;
    const { code, out } = await tick('us-broken');
    expect(code).toBe(1);
    expect(out).toMatch(/^✘ us-broken {2}\d+\.\d s {2}Unlucky: failed on purpose\n$/);
    expect(ran()).toHaveLength(before + 1);
  });

  test.each([
    ['nobody', /^there is no schedule "nobody": there are us-broken, us-metering-1A2B, /],
    [
      'us',
      /^"us" names more than one schedule: us-broken, us-metering-1A2B, us-paused, us-promotion, us-upkeep$/,
    ],
    ['prom', /^there is no schedule "prom": /],
  ])('%s runs nothing', async (which, line) => {
    const before = ran().length;
    const outcome = await tick(which);
    expect(outcome).toMatchObject({ code: 1, out: '' });
    expect(outcome.error.trimEnd()).toMatch(line);
    expect(ran()).toHaveLength(before);
  });
});

test.each([
  ['rate(1 day)', 'daily'],
  ['rate(24 hours)', 'daily'],
  ['rate(2 days)', 'other'],
  ['rate(1 hour)', 'hourly'],
  ['rate(60 minutes)', 'hourly'],
  ['rate(15 minutes)', 'other'],
  ['cron(30 2 * * ? *)', 'daily'],
  ['cron(30 2 ? * * *)', 'daily'],
  ['cron(30 2 ? * MON *)', 'other'],
  ['cron(30 2 1 * ? *)', 'other'],
  ['cron(30 2,14 * * ? *)', 'other'],
  ['cron(30 * * * ? *)', 'hourly'],
  ['cron(*/5 * * * ? *)', 'other'],
  ['at(2026-05-01T00:00:00)', 'other'],
])('%s is %s', (expression, period) => {
  expect(schedulePeriod(expression)).toBe(period);
});
