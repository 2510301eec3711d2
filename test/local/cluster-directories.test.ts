import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { internals } from '../../infra/local/index.ts';
import { newDirectory } from './running-fixture.ts';

const { ClusterDirectories } = await internals();

let directory: string;
beforeEach(() => {
  directory = newDirectory();
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const cluster = (clusterIdentifier: string, region: string) => ({
  clusterIdentifier,
  arn: `arn:aws:rds:${region}:000000000000:cluster:${clusterIdentifier}`,
});

/** As a run leaves it behind. */
function left(name: string, record: string): void {
  mkdirSync(join(directory, name));
  writeFileSync(join(directory, name, 'cluster.json'), record);
}

test('a cluster of an earlier run is found under its plain name, whichever region asks first', () => {
  const home = cluster('registry', 'us-east-1');
  left('registry', JSON.stringify({ ...home, port: 1 }));
  const directories = new ClusterDirectories(directory);
  expect(directories.of(cluster('registry', 'eu-west-1'))).toBe('registry.eu-west-1');
  expect(directories.of(home)).toBe('registry');
  expect(directories.entries()).toContainEqual([home.arn, 'registry']);
});

test('the second cluster of an identifier has its region in the name, and keeps it', () => {
  const [us, eu] = [cluster('tenant', 'us-east-1'), cluster('tenant', 'eu-west-1')];
  const directories = new ClusterDirectories(directory);
  expect([directories.of(eu), directories.of(us)]).toEqual(['tenant', 'tenant.us-east-1']);
  left('tenant', JSON.stringify(eu));
  left('tenant.us-east-1', JSON.stringify(us));
  const later = new ClusterDirectories(directory);
  later.release(eu.arn);
  expect([later.of(us), later.of(eu)]).toEqual(['tenant.us-east-1', 'tenant']);
});

test('a record that is damaged stands in the way of nothing else', () => {
  left('broken', '{"arn":"arn:aw');
  left('whole', JSON.stringify(cluster('whole', 'us-east-1')));
  expect(new ClusterDirectories(directory).entries().map(([, name]) => name)).toEqual(['whole']);
});
