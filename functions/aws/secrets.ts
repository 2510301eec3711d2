import { secretsManagerClient, secretsManagerClientOfRequests } from './clients.ts';

/**
 * The text of a secret, for a request that waits for it.
 * @param region AWS region of the secret; the function's own when absent.
 * @param stage label of the version: `AWSPREVIOUS` has the password that the current one has replaced.
 * @throws Secrets Manager's own error (ResourceNotFoundException, AccessDeniedException, …).
 */
export async function secretText(
  nameOrArn: string,
  region: string | undefined,
  stage: 'AWSCURRENT' | 'AWSPREVIOUS' = 'AWSCURRENT',
): Promise<string | undefined> {
  const { GetSecretValueCommand } = await import('@aws-sdk/client-secrets-manager');
  const client = await secretsManagerClientOfRequests(region);
  const { SecretString } = await client.send(
    new GetSecretValueCommand({ SecretId: nameOrArn, VersionStage: stage }),
  );
  return SecretString;
}

/**
 * Looks up the ARN of a secret by its name. An ARN ends in random letters, so it cannot be computed.
 * @param region AWS region of the secret; the function's own when absent.
 * @throws Secrets Manager's own error.
 */
export async function secretArnOf(name: string, region: string | undefined): Promise<string> {
  const { DescribeSecretCommand } = await import('@aws-sdk/client-secrets-manager');
  const client = await secretsManagerClient(region);
  const { ARN } = await client.send(new DescribeSecretCommand({ SecretId: name }));
  if (!ARN) throw new Error(`the secret ${name} has no ARN`);
  return ARN;
}

/**
 * ARNs of the secrets whose names begin with a prefix, also of those that are pending deletion.
 * @param region AWS region of the secrets; the function's own when absent.
 * @throws Secrets Manager's own error.
 */
export async function secretsNamed(prefix: string, region?: string): Promise<string[]> {
  const { paginateListSecrets } = await import('@aws-sdk/client-secrets-manager');
  const client = await secretsManagerClient(region);
  const found: string[] = [];
  const query = { Filters: [{ Key: 'name' as const, Values: [prefix] }], IncludePlannedDeletion: true };
  for await (const { SecretList = [] } of paginateListSecrets({ client }, query)) {
    // The filter also matches names in which the prefix follows a slash.
    for (const { ARN, Name } of SecretList) if (ARN && Name?.startsWith(prefix)) found.push(ARN);
  }
  return found;
}
