import {
  DescribeExecutionCommand,
  ListExecutionsCommand,
  SFNClient,
  StartExecutionCommand,
} from '@aws-sdk/client-sfn';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { att, type Resources, ref, role } from './assembly.ts';
import { type EndpointFixture, startEndpoint } from './endpoint-fixture.ts';

const machineArn = (name: string) => `arn:aws:states:us-east-1:000000000000:stateMachine:${name}`;
let fixture: EndpointFixture;
let states: SFNClient;

const machine = (name: string): Resources => ({
  [name]: {
    Type: 'AWS::StepFunctions::StateMachine',
    Properties: {
      StateMachineName: name,
      RoleArn: att('Starter', 'Arn'),
      DefinitionString: '{"StartAt":"Done","States":{"Done":{"Type":"Pass","End":true}}}',
    },
  },
});

/** A rule on the successes of the machine `first`. */
const rule = (name: string, target: object): Resources => ({
  [name]: {
    Type: 'AWS::Events::Rule',
    Properties: {
      Name: name,
      EventPattern: { detail: { status: ['SUCCEEDED'], stateMachineArn: [machineArn('first')] } },
      Targets: [{ Id: 'target', InputPath: '$.detail.name', RoleArn: att('Starter', 'Arn'), ...target }],
    },
  },
});

beforeAll(async () => {
  fixture = await startEndpoint([
    {
      name: 'Targets',
      resources: {
        ...role('Starter', [
          { Action: 'states:StartExecution', Resource: machineArn('second') },
          { Action: 'sns:Publish', Resource: ref('notices') },
        ]),
        notices: { Type: 'AWS::SNS::Topic', Properties: { TopicName: 'notices' } },
        secrets: { Type: 'AWS::SNS::Topic', Properties: { TopicName: 'secrets' } },
        ...machine('first'),
        ...machine('second'),
        ...machine('third'),
        ...rule('ToSecond', { Arn: ref('second') }),
        ...rule('ToThird', { Arn: ref('third') }),
      },
    },
  ]);
  states = new SFNClient(fixture.client());
});
afterAll(() => fixture?.stop());

test("a rule starts a state machine with the rights of its target's role", async () => {
  await states.send(new StartExecutionCommand({ stateMachineArn: machineArn('first'), name: 'one' }));
  const executions = async (name: string) =>
    (await states.send(new ListExecutionsCommand({ stateMachineArn: machineArn(name) }))).executions!;
  await expect.poll(() => executions('second')).toHaveLength(1);
  const { executionArn } = (await executions('second'))[0]!;
  expect(await states.send(new DescribeExecutionCommand({ executionArn }))).toMatchObject({ input: '"one"' });
  await expect
    .poll(() => fixture.log)
    .toContainEqual(
      expect.stringMatching(/^rule ToThird: .*not authorized to perform: states:StartExecution/),
    );
  expect(await executions('third')).toEqual([]);
});

test("a schedule publishes to a topic with the rights of its target's role", async () => {
  const at = new Date(Date.now() + 2_000).toISOString().slice(0, 19);
  const schedule = (topic: string) => ({
    Type: 'AWS::Scheduler::Schedule',
    Properties: {
      Name: topic,
      ScheduleExpression: `at(${at})`,
      FlexibleTimeWindow: { Mode: 'OFF' },
      Target: {
        Arn: `arn:aws:sns:us-east-1:000000000000:${topic}`,
        RoleArn: 'arn:aws:iam::000000000000:role/Starter',
        Input: '"due"',
      },
    },
  });
  await fixture.platform.context.deployer.deploy({
    name: 'Soon',
    arn: 'arn:aws:cloudformation:us-east-1:000000000000:stack/Soon/x',
    region: 'us-east-1',
    template: { Resources: { Allowed: schedule('notices'), Denied: schedule('secrets') } },
    parameters: {},
  });
  await expect.poll(() => fixture.log, { timeout: 10_000 }).toContain('SNS notices: (no subject)');
  await expect
    .poll(() => fixture.log)
    .toContainEqual(expect.stringMatching(/^schedule secrets: .*not authorized to perform: sns:Publish/));
  expect(fixture.log).not.toContain('SNS secrets: (no subject)');
});

test('a rule without a role is not deployed for a state machine', async () => {
  const { Properties } = rule('Roleless', {}).Roleless!;
  const [target] = Properties!.Targets as [object];
  const Targets = [{ ...target, RoleArn: undefined, Arn: machineArn('second') }];
  const deploying = fixture.platform.context.deployer.deploy({
    name: 'Roleless',
    arn: 'arn:aws:cloudformation:us-east-1:000000000000:stack/Roleless/x',
    region: 'us-east-1',
    template: {
      Resources: { Roleless: { Type: 'AWS::Events::Rule', Properties: { ...Properties, Targets } } },
    },
    parameters: {},
  });
  await expect(deploying).rejects.toThrow(/a rule needs a role to start/);
});
