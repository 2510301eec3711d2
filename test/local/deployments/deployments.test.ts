import { execFile } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import {
  CloudFormationClient,
  CreateStackCommand,
  DescribeStackEventsCommand,
  DescribeStacksCommand,
} from '@aws-sdk/client-cloudformation';
import { DescribeDBProxiesCommand, ModifyDBProxyCommand, RDSClient } from '@aws-sdk/client-rds';
import { GetScheduleCommand, SchedulerClient } from '@aws-sdk/client-scheduler';
import { DescribeStateMachineCommand, SFNClient } from '@aws-sdk/client-sfn';
import { RemovalPolicy } from 'aws-cdk-lib';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { type Platform, startPlatform } from '../../../infra/local/index.ts';
import { sampled } from '../../full-run.ts';
import { newDirectory, unusedPorts } from '../running-fixture.ts';
import { type Release, synthesizeRelease } from './releases.ts';

let directory: string;
let record: string;
let platform: Platform;
const synthesized = new Map<string, string>();
function synthesize(release: Release): string {
  const key = JSON.stringify(release);
  const assembly = synthesized.get(key) ?? synthesizeRelease(directory, record, release);
  synthesized.set(key, assembly);
  return assembly;
}
const ONE: Release = { name: 'one', path: '/old' };

beforeAll(async () => {
  directory = newDirectory();
  record = join(directory, 'record.jsonl');
  const [apiPort, awsPort] = await unusedPorts();
  const options = { projectDir: directory, stateDir: join(directory, 'state'), apiPort, awsPort };
  platform = await startPlatform({ ...options, waitScale: 0, cdkOut: synthesize(ONE), log: () => {} });
});
afterAll(async () => {
  await platform?.stop();
  rmSync(directory, { recursive: true, force: true });
});
/** Each test begins with release `one` deployed and nothing recorded. */
beforeEach(async () => {
  expect(await platform.deploy(synthesize(ONE))).toMatchObject({ status: 'deployed' });
  rmSync(record, { force: true });
});

interface Recorded {
  code: string;
  type: string;
  id: string;
  physicalId?: string;
  release: string;
  old?: string;
}
function recorded(): Recorded[] {
  if (!existsSync(record)) return [];
  const lines = readFileSync(record, 'utf8').trim().split('\n');
  return lines.map((line) => JSON.parse(line) as Recorded);
}

async function get(path: string): Promise<{ status: number; body: Record<string, unknown> }> {
  const response = await fetch(platform.apiUrl + path);
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
}

const client = <Client>(Type: new (options: object) => Client): Client =>
  new Type({
    endpoint: platform.awsUrl,
    region: 'us-east-1',
    credentials: { accessKeyId: 'administrator', secretAccessKey: 'local' },
  });

/** What release of everything runs, as its users see it. */
async function running(): Promise<unknown> {
  const arn = 'arn:aws:states:us-east-1:000000000000:stateMachine:machine';
  const machine = await client(SFNClient).send(new DescribeStateMachineCommand({ stateMachineArn: arn }));
  const schedule = await client(SchedulerClient).send(new GetScheduleCommand({ Name: 'nightly' }));
  return {
    function: (await get('/release')).body,
    machine: /"release":"(\w+)"/.exec(machine.definition ?? '')?.[1],
    schedule: JSON.parse(schedule.Target?.Input ?? '{}'),
    secrets: (await get('/secrets')).body.status,
    paths: { old: (await get('/old')).status, new: (await get('/new')).status },
  };
}
const all = (release: string, secrets: number, paths: object) => ({
  function: { code: release, release },
  machine: release,
  schedule: { release },
  secrets,
  paths,
});
const IS_ONE = all('one', 400, { old: 200, new: 404 });
const IS_TWO = all('two', 200, { old: 404, new: 200 });
const TWO: Release = { name: 'two', path: '/new', mayListSecrets: true };

test('a deployment changes code, environment, policies, routes, state machines and schedules', async () => {
  expect(await running()).toEqual(IS_ONE);
  // Nothing has changed since the start, so the stack keeps that status.
  await platform.deploy(synthesize(ONE));
  const { Stacks } = await client(CloudFormationClient).send(
    new DescribeStacksCommand({ StackName: 'Shop' }),
  );
  expect(Stacks).toMatchObject([{ StackStatus: 'CREATE_COMPLETE' }]);
  const steps: string[] = [];
  const outcome = await platform.deploy(synthesize(TWO), { report: (line) => steps.push(line) });
  expect(outcome).toEqual({
    status: 'deployed',
    stacks: [{ name: 'Shop', region: 'us-east-1', status: 'UPDATE_COMPLETE' }],
  });
  expect(await running()).toEqual(IS_TWO);
  // The new code is there before the custom resource that it serves, and the first one before the second.
  expect(recorded()).toEqual(
    ['First', 'Second'].map((id) => ({
      code: 'two',
      type: 'Update',
      id,
      physicalId: `thing-${id}`,
      release: 'two',
      old: 'one',
    })),
  );
  expect(steps.filter((step) => step.includes('AWS::SNS::Topic'))).toEqual([]);
});

test('a deployment without changes touches nothing', async () => {
  expect(await platform.deploy(synthesize(ONE))).toMatchObject({ stacks: [{ status: 'NO_CHANGES' }] });
  expect(recorded()).toEqual([]);
});

test('a request in flight is served by the version that it began with, and none fails', async () => {
  const slow = get('/slow');
  await expect.poll(() => get('/release'), { timeout: 10_000 }).toMatchObject({ body: { code: 'one' } });
  const deploying = platform.deploy(synthesize(TWO));
  const seen = new Set<unknown>();
  let deployed = false;
  void deploying.finally(() => {
    deployed = true;
  });
  while (!deployed) {
    const { status, body } = await get('/release');
    expect(status).toBe(200);
    expect(body.code).toBe(body.release);
    seen.add(body.code);
  }
  expect(await deploying).toMatchObject({ status: 'deployed' });
  expect((await slow).body).toEqual({ code: 'one', release: 'one' });
  expect((await get('/release')).body).toEqual({ code: 'two', release: 'two' });
});

const REASONS = {
  'its handler answers FAILED': 'Shop/Second (Custom::Thing): it was asked to fail',
  'a failure elsewhere': 'Shop/Second: the deployment was told to fail after this resource',
};
test.each(sampled(Object.entries(REASONS).slice(0, 1), Object.entries(REASONS)))(
  'a deployment that fails at its last custom resource (%s) is rolled back: the old code brings back the old properties',
  async (how, reason) => {
    const failing = how.includes('FAILED');
    const release = synthesize({
      ...TWO,
      third: RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
      ...(failing ? { failing: 'Second' } : {}),
    });
    const outcome = await platform.deploy(release, failing ? {} : { failAfter: 'Shop/Second' });
    expect(outcome).toMatchObject({
      status: 'rolled-back',
      reason,
      stacks: [{ status: 'UPDATE_ROLLBACK_COMPLETE' }],
    });
    expect(await running()).toEqual(IS_ONE);
    const events = recorded().filter(({ id }) => id !== 'Third');
    const updates = ['First', 'Second'].map((id) => ({
      id,
      type: 'Update',
      physicalId: `thing-${id}`,
    }));
    expect(events).toEqual([
      ...updates.map((update) => ({ ...update, code: 'two', release: 'two', old: 'one' })),
      ...updates.map((update) => ({ ...update, code: 'one', release: 'one', old: 'two' })),
    ]);
    // It is new, so it is not changed back but deleted.
    const ofThird = recorded().filter(({ id }) => id === 'Third');
    expect(ofThird.map(({ type }) => type)).toEqual(['Create', 'Delete']);
    expect(await platform.deploy(synthesize(TWO))).toMatchObject({ status: 'deployed' });
    expect(await running()).toEqual(IS_TWO);
  },
);

const POLICIES = {
  'removed once everything else stands': [RemovalPolicy.DESTROY, 'Delete'],
  'kept where its policy spares only what a rollback takes back': [RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE],
  'kept where its policy says so': [RemovalPolicy.RETAIN],
} as const;
test.each(sampled(Object.entries(POLICIES).slice(0, 2), Object.entries(POLICIES)))(
  'a resource that the next release has no more is %s',
  async (_how, [third, ...types]) => {
    await platform.deploy(synthesize({ ...TWO, third }));
    rmSync(record);
    await platform.deploy(synthesize(TWO));
    expect(recorded()).toMatchObject(types.map((type) => ({ id: 'Third', type })));
  },
);

test('rules are told of the statuses of stacks: how deployments end, and all of run-time stacks', async () => {
  // The deployment before this test may be told of as well.
  const told = () => {
    const statuses = readFileSync(`${record}.told`, 'utf8').trim().split('\n');
    return statuses.slice(statuses.lastIndexOf('Shop UPDATE_ROLLBACK_COMPLETE'));
  };
  const statuses = ['Shop UPDATE_ROLLBACK_COMPLETE'];
  const expectTold = () => expect.poll(told, { timeout: 10_000 }).toEqual(statuses);
  await platform.deploy(synthesize(TWO), { failAfter: 'Shop/First' });
  await expectTold();
  // Without changes there is nothing to tell of.
  await platform.deploy(synthesize(ONE));
  await platform.deploy(synthesize(TWO));
  statuses.push('Shop UPDATE_COMPLETE');
  await expectTold();
  const TemplateBody = JSON.stringify({ Resources: { Topic: { Type: 'AWS::SNS::Topic' } } });
  await client(CloudFormationClient).send(new CreateStackCommand({ StackName: 'More', TemplateBody }));
  statuses.push('More CREATE_IN_PROGRESS', 'More CREATE_COMPLETE');
  await expect.poll(() => told().sort(), { timeout: 10_000 }).toEqual(statuses.toSorted());
});

test('a rollback that fails says so, and the next deployment begins with what stands', async () => {
  const outcome = await platform.deploy(synthesize(TWO), {
    report(line) {
      if (/UPDATE_COMPLETE.*First$/.test(line)) writeFileSync(`${record}.broken`, '');
    },
  });
  expect(outcome).toMatchObject({
    status: 'rollback-failed',
    stacks: [{ status: 'UPDATE_ROLLBACK_FAILED' }],
    reason: expect.stringMatching(/^Shop\/Second .*; the rollback: Shop\/First .*it was asked to fail$/),
  });
  rmSync(`${record}.broken`);
  expect(await platform.deploy(synthesize(TWO))).toMatchObject({ status: 'deployed' });
  expect(await running()).toEqual(IS_TWO);
});

test('CloudFormation describes how a deployment ended, and which resource failed', async () => {
  await platform.deploy(synthesize({ ...TWO, failing: 'Second' }));
  const cloudFormation = client(CloudFormationClient);
  const { Stacks } = await cloudFormation.send(new DescribeStacksCommand({ StackName: 'Shop' }));
  const reason = 'Shop/Second (Custom::Thing): it was asked to fail';
  expect(Stacks).toMatchObject([{ StackStatus: 'UPDATE_ROLLBACK_COMPLETE', StackStatusReason: reason }]);
  const { StackEvents = [] } = await cloudFormation.send(
    new DescribeStackEventsCommand({ StackName: 'Shop' }),
  );
  const ofSecond = StackEvents.filter(({ LogicalResourceId }) => LogicalResourceId === 'Second');
  // The newest one first.
  expect(
    ofSecond.map(({ ResourceStatus, ResourceStatusReason }) => [ResourceStatus, ResourceStatusReason]),
  ).toEqual([
    ['UPDATE_COMPLETE', undefined],
    ['UPDATE_IN_PROGRESS', undefined],
    ['UPDATE_FAILED', 'it was asked to fail'],
    ['UPDATE_IN_PROGRESS', undefined],
  ]);
  // A rehearsed failure is found in the same way.
  await platform.deploy(synthesize(TWO), { failAfter: 'Shop/Second' });
  const rehearsed = await cloudFormation.send(new DescribeStackEventsCommand({ StackName: 'Shop' }));
  const failed = rehearsed.StackEvents?.filter((event) => event.ResourceStatus?.endsWith('FAILED'));
  expect(failed).toMatchObject([
    {
      LogicalResourceId: 'Second',
      ResourceStatus: 'UPDATE_FAILED',
      ResourceStatusReason: 'Shop/Second: the deployment was told to fail after this resource',
    },
  ]);
});

test('an update of a proxy erases the secrets that were registered at run time, and so does its rollback', async () => {
  const rds = client(RDSClient);
  const secrets = async () => {
    const { DBProxies } = await rds.send(new DescribeDBProxiesCommand({ DBProxyName: 'proxy' }));
    return DBProxies![0]!.Auth!.map(({ SecretArn }) => SecretArn!.split(':secret:')[1]!.slice(0, -7));
  };
  const register = async () => {
    const { DBProxies } = await rds.send(new DescribeDBProxiesCommand({ DBProxyName: 'proxy' }));
    const SecretArn = 'arn:aws:secretsmanager:us-east-1:000000000000:secret:tenant-abcdef';
    const Auth = [...DBProxies![0]!.Auth!, { AuthScheme: 'SECRETS' as const, SecretArn }];
    await rds.send(new ModifyDBProxyCommand({ DBProxyName: 'proxy', Auth }));
    expect(await secrets()).toEqual(['starter', 'tenant']);
  };
  await register();
  await platform.deploy(synthesize({ ...TWO, tag: 'same' }));
  expect(await secrets()).toEqual(['starter', 'tenant']);
  await platform.deploy(synthesize({ ...TWO, tag: 'other' }));
  expect(await secrets()).toEqual(['starter']);
  const sent: string[] = [];
  await register();
  await platform.deploy(synthesize({ ...TWO, tag: 'third' }), {
    failAfter: 'Shop/Proxy',
    report: (line) => sent.push(...(/UPDATE_COMPLETE.*DBProxy {2}Proxy/.exec(line) ?? [])),
  });
  expect(sent).toHaveLength(2);
  expect(await secrets()).toEqual(['starter']);
});

test('what cannot be deployed is refused before anything changes', async () => {
  const two = synthesize(TWO);
  await expect(platform.deploy(join(directory, 'nothing'))).rejects.toThrow('manifest.json is missing');
  await expect(platform.deploy(two, { failAfter: 'Shop/Nothing' })).rejects.toThrow(
    'the assembly has no resource Shop/Nothing',
  );
  const first = platform.deploy(two);
  await expect(platform.deploy(two)).rejects.toThrow('another deployment is running');
  expect(await first).toMatchObject({ status: 'deployed' });
});

/** `npm run deploy:local`, from another process. */
function deployLocal(...options: string[]): Promise<{ code: number; out: string; error: string }> {
  const env = { ...process.env, AWS_PORT: new URL(platform.awsUrl).port };
  const script = resolve(import.meta.dirname, '../../../infra/deploy-local.ts');
  return new Promise((done) => {
    execFile(process.execPath, [script, ...options], { env }, (failure, out, error) =>
      done({ code: failure ? Number(failure.code) : 0, out, error }),
    );
  });
}

test('a person deploys from another terminal, and reads how far it came and why it was rolled back', async () => {
  const two = synthesize(TWO);
  const failed = await deployLocal('--assembly', two, '--fail-after', 'Shop/First');
  expect(failed).toMatchObject({ code: 1, error: '' });
  expect(failed.out).toContain('Shop  UPDATE_COMPLETE  Custom::Thing  First\n');
  const reason = 'Shop/First: the deployment was told to fail after this resource';
  expect(failed.out).toMatch(
    new RegExp(`Shop  UPDATE_ROLLBACK_COMPLETE  ${reason}\nrolled back Shop: ${reason}\n$`),
  );
  expect(await running()).toEqual(IS_ONE);
  const deployed = await deployLocal('--assembly', two);
  expect(deployed).toMatchObject({ code: 0, error: '' });
  expect(deployed.out).toMatch(/Shop {2}UPDATE_COMPLETE\ndeployed\n$/);
  expect(await running()).toEqual(IS_TWO);
});

test('what a person cannot deploy is one line on stderr', async () => {
  expect(await deployLocal('--assembly', join(directory, 'nothing'))).toEqual({
    code: 1,
    out: '',
    error: expect.stringMatching(/^[^\n]*manifest.json is missing[^\n]*\n$/),
  });
  expect(await deployLocal('--wish')).toMatchObject({
    code: 1,
    error: expect.stringMatching(/^usage: .*\n$/),
  });
});
