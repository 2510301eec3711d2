import { moveTask } from '../middleware/move-task.ts';
import { provideCredentials } from '../move/target/provide-credentials.ts';

/** Creates the secret of the role that the tenant signs in with at the target. */
export const handler = moveTask('credentials', (context) =>
  provideCredentials(context, { kmsKeyArn: process.env.SECRETS_KMS_KEY_ARN }),
);
