/** Deployments that fail, at each place where one can fail in code of ours, while all tiers' tenants are at work. */
import { execFile } from 'node:child_process';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ClientLoad } from '../../infra/cli/client-load.ts';
import { requestDeployment } from '../../infra/local/index.ts';
import { makeNextRelease, ownCustomResources } from '../infra/next-release.ts';
import { sharedAssembly } from '../infra/synthesized-app.ts';
import { OwnPlatform } from './own-platform.ts';

const PROJECT = resolve(import.meta.dirname, '../..');
const TENANTS = { starter: 'initech', business: 'globex', enterprise: 'acme' };
let platform: OwnPlatform;
let assembly: string;
const loads = new Map<string, ClientLoad>();

beforeAll(async () => {
  assembly = (await sharedAssembly('local')).directory;
  platform = new OwnPlatform(PROJECT, undefined, { STRATA_ASSEMBLY: assembly });
  await platform.start();
  const operator = await platform.client();
  for (const [tier, slug] of Object.entries(TENANTS)) {
    const { tenantId } = await operator.get<{ tenantId: string }>(`/tenants/${slug}`);
    const send = await platform.sender({ tenantId, email: `admin@${slug}.test` });
    const load = new ClientLoad(send, { prefix: 'd', writers: 1, readers: 1, restMs: 10, atMost: 10 });
    load.start();
    loads.set(tier, load);
  }
}, 300_000);
afterAll(async () => {
  await Promise.all([...loads.values()].map((load) => load.stop()));
  await platform?.stop();
});

/** All tenants write and read now, and none has met a violation since the platform started. */
async function allAreServed(): Promise<void> {
  await Promise.all([...loads.values()].map((load) => load.written(5)));
  for (const [tier, { violations }] of loads) expect(violations, tier).toEqual([]);
}

let releases = 0;
const nextRelease = (adjust: Partial<Parameters<typeof makeNextRelease>[2]> = {}) => {
  const name = `release-${++releases}`;
  return makeNextRelease(assembly, join(platform.directory, name), {
    name,
    code: true,
    custom: true,
    ...adjust,
  });
};
const deploy = (directory: string, failAfter?: string) =>
  requestDeployment(platform.awsUrl, async () => directory, failAfter === undefined ? {} : { failAfter });

describe('a deployment that fails after each of its custom resources is rolled back and repeated locally', () => {
  test('the platform serves throughout', async () => {
    const resources = ownCustomResources(assembly);
    expect(resources.length).toBeGreaterThanOrEqual(4);
    for (const resource of resources) {
      const release = nextRelease();
      await allAreServed();
      const failed = await deploy(release, resource);
      expect(failed, resource).toMatchObject({
        status: 'rolled-back',
        reason: `${resource}: the deployment was told to fail after this resource`,
      });
      const [stack] = resource.split('/');
      expect(failed.stacks.at(-1)).toMatchObject({ name: stack, status: 'UPDATE_ROLLBACK_COMPLETE' });
      await allAreServed();
      expect(await deploy(release), resource).toMatchObject({ status: 'deployed' });
      await allAreServed();
    }
  }, 600_000);
});

test('npm run deploy:local synthesizes the project and deploys it', async () => {
  const AWS_PORT = new URL(platform.awsUrl).port;
  const { stdout } = await promisify(execFile)('npm', ['run', '--silent', 'deploy:local'], {
    cwd: PROJECT,
    env: { ...process.env, AWS_PORT, STRATA_CELLS: 'us=2', MOVE_MAX_PAUSE_MS: '250' },
  });
  expect(stdout).toMatch(/^synthesizing the CDK app\n/);
  expect(stdout).toMatch(/\nStrata-us-fleet {2}UPDATE_COMPLETE\ndeployed\n$/);
  await allAreServed();
}, 300_000);

test('nothing that was acknowledged meanwhile is lost', async () => {
  for (const [tier, load] of loads) {
    // A row that is written while the list is read would count as lost.
    await load.stop();
    expect(await load.verify(), tier).toEqual([]);
  }
});
