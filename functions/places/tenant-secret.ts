/**
 * The secret of one tenant's login role.
 *
 * States:  (none) ──create──▶ present ──(offboarding)──▶ pending deletion ──restore──▶ present
 *
 * Invariant: the name is a function of tenant and epoch, and a password is never replaced here. So the second of two
 * concurrent runs uses the first one's password, and the role, which is made after the secret, can always get that
 * password again.
 */
import { randomBytes } from 'node:crypto';
import type { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { secretsManagerClient } from '../aws/clients.ts';
import { regionOfArn } from '../database/session/credentials.ts';
import { TenantSecretInvalid } from './errors.ts';

export interface SecretTarget {
  readonly name: string;
  readonly kmsKeyArn: string | undefined;
  readonly roleName: string;
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly tags: Record<string, string>;
  /** Region of the secret; the function's own AWS region when absent. */
  readonly awsRegion?: string | undefined;
}

/**
 * Creates the secret unless it exists; restores it when it is pending deletion.
 * @returns its ARN.
 * @throws {TenantSecretInvalid} the existing secret belongs to another role.
 */
export async function ensureTenantSecret(target: SecretTarget): Promise<string> {
  const client = await secretsManagerClient(target.awsRegion);
  const existing = await describe(client, target.name);
  if (existing === 'none') {
    const created = await create(client, target);
    if (created) return created;
  } else if (existing === 'pending deletion') {
    const { RestoreSecretCommand } = await import('@aws-sdk/client-secrets-manager');
    await client.send(new RestoreSecretCommand({ SecretId: target.name }));
  }
  const { arn, username } = await readSecret(target.name, target.awsRegion);
  if (username !== target.roleName) throw new TenantSecretInvalid();
  return arn;
}

/**
 * Reads a secret of the RDS form, by its ARN or its name; a name in the given AWS region, or in the function's own.
 * @throws {TenantSecretInvalid} it holds no username and password.
 */
export async function readSecret(
  secretId: string,
  awsRegion: string | undefined = regionOfArn(secretId),
): Promise<{ arn: string; username: string; password: string }> {
  const { GetSecretValueCommand } = await import('@aws-sdk/client-secrets-manager');
  const client = await secretsManagerClient(awsRegion);
  const { ARN, SecretString } = await client.send(new GetSecretValueCommand({ SecretId: secretId }));
  let value: { username?: unknown; password?: unknown };
  try {
    value = JSON.parse(SecretString ?? '{}') ?? {};
  } catch {
    // The parser's message quotes its input, which may be a password, so it is dropped.
    throw new TenantSecretInvalid();
  }
  const { username, password } = value;
  if (typeof username !== 'string' || typeof password !== 'string' || !username || !password) {
    throw new TenantSecretInvalid();
  }
  return { arn: ARN!, username, password };
}

/**
 * Deletes a secret, by its ARN or its name in an AWS region, immediately and permanently; succeeds when there is none.
 * @throws Secrets Manager's own error.
 */
export async function deleteSecret(
  secretId: string,
  awsRegion: string | undefined = regionOfArn(secretId),
): Promise<void> {
  const { DeleteSecretCommand, ResourceNotFoundException } = await import('@aws-sdk/client-secrets-manager');
  const client = await secretsManagerClient(awsRegion);
  try {
    await client.send(new DeleteSecretCommand({ SecretId: secretId, ForceDeleteWithoutRecovery: true }));
  } catch (error) {
    if (!(error instanceof ResourceNotFoundException)) throw error;
  }
}

async function describe(
  client: SecretsManagerClient,
  name: string,
): Promise<'none' | 'present' | 'pending deletion'> {
  const { DescribeSecretCommand, ResourceNotFoundException } = await import(
    '@aws-sdk/client-secrets-manager'
  );
  try {
    const { DeletedDate } = await client.send(new DescribeSecretCommand({ SecretId: name }));
    return DeletedDate ? 'pending deletion' : 'present';
  } catch (error) {
    if (error instanceof ResourceNotFoundException) return 'none';
    throw error;
  }
}

/** Returns undefined when another execution was faster. */
async function create(client: SecretsManagerClient, target: SecretTarget): Promise<string | undefined> {
  const { CreateSecretCommand, ResourceExistsException } = await import('@aws-sdk/client-secrets-manager');
  const { roleName: username, host, port, database: dbname } = target;
  const password = randomBytes(32).toString('base64url');
  try {
    const { ARN } = await client.send(
      new CreateSecretCommand({
        Name: target.name,
        ...(target.kmsKeyArn ? { KmsKeyId: target.kmsKeyArn } : {}),
        SecretString: JSON.stringify({ username, password, engine: 'postgres', host, port, dbname }),
        Tags: Object.entries(target.tags).map(([Key, Value]) => ({ Key, Value })),
      }),
    );
    return ARN;
  } catch (error) {
    if (error instanceof ResourceExistsException) return undefined;
    throw error;
  }
}
