import type { App, Stack } from 'aws-cdk-lib';
import { PolicyStatement, type Role } from 'aws-cdk-lib/aws-iam';
import { Bucket } from 'aws-cdk-lib/aws-s3';
import { expect, test } from 'vitest';
import { VARIANTS } from './assemblies.ts';
import { validateForThisTest } from './synthesized-app.ts';

/** What the synth of a changed app is refused with. */
async function refusalOf(adjust: (app: App) => void): Promise<string> {
  try {
    await validateForThisTest(VARIANTS.default, adjust);
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error('the synth was not refused');
}

test.each(Object.entries(VARIANTS))(
  'the configuration "%s" passes cdk-nag and CloudFormation validation',
  async (_name, config) => {
    await expect(validateForThisTest(config)).resolves.toBeDefined();
  },
);

test('a finding that nobody acknowledged fails the synth and is named with its place', async () => {
  const refusal = await refusalOf((app) => {
    new Bucket(app.node.findChild('Strata-us-network') as Stack, 'Forgotten');
  });
  expect(refusal).toContain('Strata-us-network/Forgotten');
  expect(refusal).toContain('AwsSolutions-S10');
});

test('an acknowledgement covers only the finding it names: a second wildcard on the same role fails', async () => {
  const refusal = await refusalOf((app) => {
    const role = app.node.findChild('Strata-us-api').node.findChild('PeopleRole') as Role;
    role.addToPolicy(new PolicyStatement({ actions: ['rds-data:*'], resources: ['*'] }));
  });
  expect(refusal).toContain('AwsSolutions-IAM5[Action::rds-data:*]');
  expect(refusal).toContain('AwsSolutions-IAM5[Resource::*]');
});
