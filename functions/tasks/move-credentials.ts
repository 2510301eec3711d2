import { regionOf } from '../middleware/launch-settings.ts';
import { moveTask } from '../middleware/move-task.ts';
import { crossesBorder } from '../move/regions.ts';
import { provideCredentials } from '../move/target/provide-credentials.ts';

/** Creates the secret of the role that the tenant signs in with at the target. */
export const handler = moveTask('credentials', async (context, _cursor, _registry, regions) => {
  const { hop } = context;
  if (!crossesBorder(hop)) return provideCredentials(context, { kmsKeyArn: process.env.SECRETS_KMS_KEY_ARN });
  const { awsRegion, secretsKeyArn } = await regionOf(regions, hop.target.region);
  return provideCredentials(context, { kmsKeyArn: secretsKeyArn, awsRegion });
});
