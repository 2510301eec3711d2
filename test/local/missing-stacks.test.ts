import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type FixtureStack, writeAssembly } from './aws/assembly.ts';
import { type EndpointFixture, startEndpoint } from './aws/endpoint-fixture.ts';

const EU = 'eu-west-1';
const HOME: FixtureStack = {
  name: 'Home',
  resources: { Topic: { Type: 'AWS::SNS::Topic', Properties: { TopicName: 'alarms' } } },
};
const CELL = cell('Cell-2', 'second-cell');
const EU_CELL: FixtureStack = { ...cell('Cell-eu', 'eu-cell'), region: EU };
const ALL = [HOME, CELL, EU_CELL];
const MISSING =
  'the app has no stack Cell-2, whose databases are in this state: give it the same configuration and variables as before (STRATA_CELLS, STRATA_REGIONS), or start over with --fresh';
let fixture: EndpointFixture;

beforeAll(async () => {
  fixture = await startEndpoint([HOME, EU_CELL]);
}, 60_000);
afterAll(() => fixture?.stop());

const assembly = (name: string, stacks: FixtureStack[]) =>
  writeAssembly(join(fixture.stateDir, '..', name), stacks);
const restart = (stacks: FixtureStack[]) => fixture.restart(() => assembly('cdk.out', stacks));

test('a stack with databases that is missing later stops a deployment and a start; a region may be left out', async () => {
  const other = { ...HOME, name: 'Other', region: EU };
  await expect(fixture.platform.deploy(assembly('other', [HOME, other]))).rejects.toThrow(
    'the app has no stack Cell-eu,',
  );
  // Added by a deployment.
  expect(await fixture.platform.deploy(assembly('all', ALL))).toMatchObject({ status: 'deployed' });
  const without = assembly('without', [HOME, EU_CELL]);
  await expect(fixture.platform.deploy(without)).rejects.toThrow(MISSING);
  await expect(restart([HOME, EU_CELL])).rejects.toThrow(MISSING);
  // Without the whole region, and with it again.
  await restart([HOME, CELL]);
  await restart(ALL);
  // A stack without databases may go.
  await restart([CELL, EU_CELL]);
}, 60_000);

function cell(name: string, identifier: string): FixtureStack {
  const Properties = {
    DBClusterIdentifier: identifier,
    Engine: 'aurora-postgresql',
    MasterUsername: 'postgres',
    MasterUserPassword: 'not-a-secret',
  };
  return { name, resources: { Cluster: { Type: 'AWS::RDS::DBCluster', Properties } } };
}
