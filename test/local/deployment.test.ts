import { expect, test } from 'vitest';
import { stackNamed, startFixture } from './running-fixture.ts';

test('custom resources are created, then updated at the next start, and their data are attributes', async () => {
  const fixture = await startFixture();
  try {
    const outputs = () => stackNamed(fixture.platform, 'Api').outputs;
    expect(outputs()).toMatchObject({ Request: 'Create', Count: '3' });
    const stack = stackNamed(fixture.platform, 'Api');
    await fixture.platform.context.deployer.deploy({ ...stack, parameters: {} });
    expect(outputs()).toMatchObject({ Request: 'Update', Count: '3' });
  } finally {
    await fixture.stop();
  }
});

test('references across stacks are resolved', async () => {
  const fixture = await startFixture();
  try {
    const resourcesOf = (name: string) => [...stackNamed(fixture.platform, name).resources.values()];
    const pool = resourcesOf('Home').find(({ type }) => type === 'AWS::Cognito::UserPool')!;
    const main = resourcesOf('Api').find(({ logicalId }) => /^Main[^S]/.test(logicalId))!;
    expect(main.properties.Environment).toEqual({ Variables: { POOL_ID: pool.ref } });
  } finally {
    await fixture.stop();
  }
});

test('a custom resource that fails stops the start with its reason', async () => {
  await expect(startFixture({ failingResource: true })).rejects.toThrow(
    'Api/Thing (Custom::Thing): it was asked to fail',
  );
});

test('an unknown resource type stops the start, in one line', async () => {
  const message = 'Api/Odd (AWS::Quantum::Computer): this resource type is not supported locally';
  await expect(startFixture({ unknownResource: true })).rejects.toThrow(message);
});
