import { deleteSecret } from '../../places/tenant-secret.ts';

/**
 * Deletes the secret of a schema in a cell, by ARN or by its name in an AWS region, at once and for good; succeeds where there is none. The role
 * must be gone, or go: nobody knows its password afterwards. Never for a dedicated database, whose secrets are its
 * stack's.
 *
 * A name is never used by another attempt, so there is nothing to keep it free for, and no recovery window that could
 * bring back a role that does not exist.
 * @throws Secrets Manager's own error.
 */
export const discardCredentials = (secretId: string, awsRegion?: string): Promise<void> =>
  deleteSecret(secretId, awsRegion);
