import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { internals } from '../../infra/local/index.ts';
import { newDirectory } from './running-fixture.ts';

const { readCloudAssembly } = await internals();

let directory: string;
beforeEach(() => {
  directory = newDirectory();
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const stack = (region: string, dependencies: string[] = []) => ({
  type: 'aws:cloudformation:stack',
  environment: `aws://unknown-account/${region}`,
  dependencies,
  properties: { templateFile: 'empty.json' },
});

function assembly(path: string, artifacts: object): void {
  mkdirSync(path, { recursive: true });
  writeFileSync(join(path, 'empty.json'), '{"Resources":{}}');
  writeFileSync(join(path, 'manifest.json'), JSON.stringify({ artifacts }));
}

test('home is the region of the app’s first stack, also where that one waits for another region’s', () => {
  assembly(directory, { Home: stack('eu-west-1', ['Other']), Other: stack('us-east-1') });
  const { stacks, homeRegion } = readCloudAssembly(directory);
  expect(stacks.map(({ name }) => name)).toEqual(['Other', 'Home']);
  expect(homeRegion).toBe('eu-west-1');
});

test('home may be within a stage, and a stack without a region is in us-east-1', () => {
  const stage = { type: 'cdk:cloud-assembly', properties: { directoryName: 'stage' } };
  assembly(join(directory, 'stage'), { Inner: stack('unknown-region') });
  assembly(directory, { Stage: stage, Outer: stack('eu-west-1') });
  expect(readCloudAssembly(directory).homeRegion).toBe('us-east-1');
});
