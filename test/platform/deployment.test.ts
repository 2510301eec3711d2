import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { requestDeployment } from '../../infra/local/index.ts';
import { makeNextRelease, ownCustomResources } from '../infra/next-release.ts';
import { call, platform, userToken } from './running-platform.ts';

/** test/boot/deployments.full.test.ts has each custom resource, with new code, and the deployment repeated. */
test('a deployment that fails after its last custom resource is rolled back: all tiers are served throughout', async () => {
  const { awsUrl, stateDir } = platform();
  const assembly = join(stateDir, 'cdk.out');
  const failAfter = ownCustomResources(assembly).find((id) => id.includes('/Registered')) ?? '';
  const answers: string[] = [];
  let deploying = true;
  const loads = ['initech', 'globex', 'acme'].map(async (slug) => {
    const token = await userToken(slug);
    while (deploying) {
      const { status } = await call('GET', '/employees?limit=1', { token });
      answers.push(`${slug} ${status}`);
      await delay(20);
    }
  });
  const steps: string[] = [];
  let outcome: unknown;
  try {
    await expect.poll(() => new Set(answers).size, { timeout: 30_000 }).toBe(3);
    outcome = await requestDeployment(
      awsUrl,
      async (assemblies) =>
        makeNextRelease(assembly, join(assemblies, 'failing'), { name: 'failing', custom: true }),
      { failAfter, report: (step) => steps.push(step) },
    );
  } finally {
    deploying = false;
  }
  await Promise.all(loads);
  expect(outcome).toMatchObject({
    status: 'rolled-back',
    stacks: [
      { name: 'Strata-ControlPlane', status: 'UPDATE_COMPLETE' },
      { name: 'Strata-us-network', status: 'NO_CHANGES' },
      { name: 'Strata-us-cell-us-1', status: 'UPDATE_COMPLETE' },
      { name: 'Strata-us-cell-us-2', status: 'UPDATE_COMPLETE' },
      { name: 'Strata-us-api', status: 'NO_CHANGES' },
      { name: 'Strata-us-backups', status: 'NO_CHANGES' },
      { name: 'Strata-us-operations', status: 'UPDATE_ROLLBACK_COMPLETE' },
    ],
  });
  // Forward and back.
  expect(steps.filter((step) => /UPDATE_COMPLETE.*\/?Registered/.test(step))).toHaveLength(2);
  expect(new Set(answers)).toEqual(new Set(['initech 200', 'globex 200', 'acme 200']));
});
