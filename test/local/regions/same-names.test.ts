import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { InvokeCommand, type LambdaClient } from '@aws-sdk/client-lambda';
import { GetSecretValueCommand } from '@aws-sdk/client-secrets-manager';
import { DescribeExecutionCommand, type SFNClient, StartExecutionCommand } from '@aws-sdk/client-sfn';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { stateFile } from '../../../infra/local/index.ts';
import { strata } from '../../infra/cli/run-command.ts';
import { recordedLines } from '../aws/recorded-lines.ts';
import { EU, US } from './twin-stacks.ts';
import { clientsOf, startTwins, type TwoRegions } from './two-regions.ts';

let twins: TwoRegions;
let clients: ReturnType<typeof clientsOf>;

beforeAll(async () => {
  twins = await startTwins([US]);
});
afterAll(() => twins?.stop());

const functionArn = (region: string) => `arn:aws:lambda:${region}:000000000000:function:where`;
const machineArn = (region: string) => `arn:aws:states:${region}:000000000000:stateMachine:twin`;
const recorded = (region: string) => recordedLines<unknown>(twins.record(region));

async function whereIs(client: LambdaClient, FunctionName: string): Promise<unknown> {
  const { Payload } = await client.send(new InvokeCommand({ FunctionName }));
  return JSON.parse(Buffer.from(Payload!).toString());
}

async function outputOf(client: SFNClient, region: string): Promise<unknown> {
  const { executionArn } = await client.send(
    new StartExecutionCommand({ stateMachineArn: machineArn(region) }),
  );
  const execution = () => client.send(new DescribeExecutionCommand({ executionArn }));
  await expect.poll(async () => (await execution()).status, { interval: 10 }).toBe('SUCCEEDED');
  return JSON.parse((await execution()).output!);
}

/** Custom resources went by the name of their stack. */
function asByEarlierVersions(): void {
  const state = stateFile(join(twins.fixture.stateDir, 'state'));
  const document = state.load<Record<string, unknown>>('custom-resources', {});
  const entries = Object.entries(document).map(([key, value]) => [
    key.replace(/.*stack\/Twin\/local/, 'Twin'),
    value,
  ]);
  expect(Object.keys(Object.fromEntries(entries))).toEqual(['Twin/Thing']);
  state.save('custom-resources', Object.fromEntries(entries));
}

test('a region that is added changes nothing at home, and shares nothing with it', async () => {
  const { apiUrl } = twins.fixture.platform;
  expect([...twins.fixture.platform.apiUrls]).toEqual([[US, apiUrl]]);
  const { Request, ...before } = twins.outputs(US);
  await twins.restart([US, EU], asByEarlierVersions);
  clients = clientsOf(twins);
  expect(twins.fixture.platform).toMatchObject({ apiUrl, homeRegion: US });
  expect([...twins.fixture.platform.apiUrls.keys()]).toEqual([US, EU]);
  const there = twins.outputs(EU);
  expect([Request, twins.outputs(US).Request, there.Request]).toEqual(['Create', 'Update', 'Create']);
  expect(twins.outputs(US)).toEqual({ ...before, Request: 'Update' });
  expect(there.Endpoint).toBe(twins.fixture.platform.apiUrls.get(EU));
  for (const [name, value] of Object.entries(before)) expect([name, there[name]]).not.toEqual([name, value]);
});

describe('of two things with one name, a caller gets that of its own region', () => {
  test('as a function', async () => {
    const { us, eu } = clients.lambda;
    expect(await whereIs(us, 'where')).toEqual({ region: US, arn: functionArn(US) });
    expect(await whereIs(eu, 'where')).toEqual({ region: EU, arn: functionArn(EU) });
    expect(await whereIs(eu, `${functionArn(EU)}:$LATEST`)).toEqual({ region: EU, arn: functionArn(EU) });
    await expect(whereIs(eu, functionArn(US))).rejects.toMatchObject({
      name: 'ResourceNotFoundException',
      message: `Functions from '${US}' are not reachable in this region ('${EU}')`,
    });
    const log = (name: string) => existsSync(join(twins.fixture.stateDir, 'logs', name));
    await expect.poll(() => log('where.log') && log(`where.${EU}.log`)).toBe(true);
  });

  test('as a state machine and its tasks, whose role may invoke its own region’s function only', async () => {
    const { us, eu } = clients.states;
    expect(await outputOf(us, US)).toEqual({ region: US, arn: functionArn(US) });
    expect(await outputOf(eu, EU)).toEqual({ region: EU, arn: functionArn(EU) });
    await expect(
      eu.send(new StartExecutionCommand({ stateMachineArn: machineArn(US) })),
    ).rejects.toMatchObject({ name: 'StateMachineDoesNotExist' });
  });

  test('as a rule, which the other region’s permission does not let', async () => {
    await expect.poll(() => recorded(EU)).toEqual([EU]);
    await expect
      .poll(() => twins.fixture.log)
      .toContainEqual(expect.stringMatching(/^rule ended: .* not authorized .*:us-east-1:.*function:record/));
    expect(recorded(US)).toEqual([]);
  });

  test('as a schedule; the command line runs those of all regions', async () => {
    const environment = {
      AWS_ENDPOINT_URL: twins.fixture.platform.awsUrl,
      STRATA_DIR: twins.fixture.stateDir,
    };
    const inAll = await strata(['tick', 'daily'], environment);
    expect([inAll.code, inAll.error]).toEqual([0, '']);
    expect(inAll.out.match(/✔ nightly/g)).toHaveLength(2);
    const inOne = await strata(['tick', 'nightly'], { ...environment, AWS_REGION: EU });
    expect(inOne.out.match(/✔ nightly/g)).toHaveLength(1);
    expect(recorded(US)).toEqual([{ scheduled: US }]);
    expect(recorded(EU).slice(1)).toEqual([{ scheduled: EU }, { scheduled: EU }]);
  });

  test('as a secret, also in a template', async () => {
    const read = async (SecretId: string, client = clients.secrets.eu) =>
      (await client.send(new GetSecretValueCommand({ SecretId }))).SecretString;
    expect(await read('twin/secret')).toBe(`{"password":"of-${EU}"}`);
    expect(await read(twins.outputs(EU).Secret!)).toBe(`{"password":"of-${EU}"}`);
    await expect(read(twins.outputs(US).Secret!)).rejects.toMatchObject({
      name: 'ResourceNotFoundException',
    });
    expect([US, EU].map((region) => twins.outputs(region).Password)).toEqual([`of-${US}`, `of-${EU}`]);
  });

  test('as a key', async () => {
    const describeKey = (KeyId: string | undefined) =>
      twins.fixture.call('TrentService.DescribeKey', { KeyId });
    expect(await describeKey('alias/twin')).toMatchObject({
      status: 200,
      body: { KeyMetadata: { KeyId: twins.outputs(US).Key } },
    });
    expect(await describeKey(twins.outputs(EU).Key)).toMatchObject({ body: { __type: 'NotFoundException' } });
  });
});
