/**
 * Versions of a secret of the RDS form, `{ username, password, … }`, while its password is replaced.
 *
 *   AWSCURRENT only ──addVersion('AWSPENDING')──▶ current and pending ──promoteVersion──▶ the pending one is current
 *                   ──addVersion('AWSCURRENT')───────────────────────────────────────────▶
 *
 * Invariant: a version is added under an id that the caller derives from its work, so a repetition adds nothing and the first password stays: the password of one version is never replaced.
 */
import { randomBytes } from 'node:crypto';
import type { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { secretsManagerClient } from './clients.ts';

export interface NewVersion {
  /** 32 to 64 characters. */
  readonly versionId: string;
  readonly stage: 'AWSCURRENT' | 'AWSPENDING';
  /** The role of the new version; that of the current one by default. */
  readonly username?: string;
}

const PASSWORD_BYTES = 32;

export const newPassword = (): string => randomBytes(PASSWORD_BYTES).toString('base64url');

/**
 * Adds a version with a new password, and otherwise the current version's values, unless the secret has one of that id.
 * @throws Secrets Manager's own error; {SyntaxError} without its text when the current version is not JSON.
 */
export async function addVersion(
  secretId: string,
  { versionId, stage, username }: NewVersion,
): Promise<void> {
  const { GetSecretValueCommand, PutSecretValueCommand, ResourceExistsException } = await import(
    '@aws-sdk/client-secrets-manager'
  );
  const client = await clientOf(secretId);
  if (versionId in (await stagesOf(client, secretId))) return;
  const { SecretString } = await client.send(new GetSecretValueCommand({ SecretId: secretId }));
  const next = { ...parsed(SecretString), ...(username ? { username } : {}), password: newPassword() };
  try {
    await client.send(
      new PutSecretValueCommand({
        SecretId: secretId,
        ClientRequestToken: versionId,
        SecretString: JSON.stringify(next),
        VersionStages: [stage],
      }),
    );
  } catch (error) {
    // Another run of the same work was faster.
    if (!(error instanceof ResourceExistsException)) throw error;
  }
}

/** The password of a version. @throws Secrets Manager's own error; {SyntaxError} it has none. */
export async function passwordOfVersion(secretId: string, versionId: string): Promise<string> {
  const { GetSecretValueCommand } = await import('@aws-sdk/client-secrets-manager');
  const client = await clientOf(secretId);
  const { SecretString } = await client.send(
    new GetSecretValueCommand({ SecretId: secretId, VersionId: versionId }),
  );
  const { password } = parsed(SecretString) as { password?: unknown };
  if (typeof password !== 'string' || !password) throw new SyntaxError('the version has no password');
  return password;
}

/** Makes a version the current one. Repeating it changes nothing. @throws Secrets Manager's own error. */
export async function promoteVersion(secretId: string, versionId: string): Promise<void> {
  const { UpdateSecretVersionStageCommand } = await import('@aws-sdk/client-secrets-manager');
  const client = await clientOf(secretId);
  const stages = await stagesOf(client, secretId);
  const current = Object.keys(stages).find((id) => stages[id]?.includes('AWSCURRENT'));
  if (current !== versionId) {
    await client.send(
      new UpdateSecretVersionStageCommand({
        SecretId: secretId,
        VersionStage: 'AWSCURRENT',
        MoveToVersionId: versionId,
        ...(current === undefined ? {} : { RemoveFromVersionId: current }),
      }),
    );
  }
  if (stages[versionId]?.includes('AWSPENDING')) {
    await client.send(
      new UpdateSecretVersionStageCommand({
        SecretId: secretId,
        VersionStage: 'AWSPENDING',
        RemoveFromVersionId: versionId,
      }),
    );
  }
}

/** The region of a secret that is given by its ARN; the function's own for a name. */
const clientOf = (secretId: string): Promise<SecretsManagerClient> =>
  secretsManagerClient(secretId.startsWith('arn:') ? secretId.split(':')[3] : undefined);

async function stagesOf(client: SecretsManagerClient, secretId: string): Promise<Record<string, string[]>> {
  const { DescribeSecretCommand } = await import('@aws-sdk/client-secrets-manager');
  const { VersionIdsToStages = {} } = await client.send(new DescribeSecretCommand({ SecretId: secretId }));
  return VersionIdsToStages;
}

function parsed(text: string | undefined): object {
  try {
    return JSON.parse(text ?? '') as object;
  } catch {
    // The parser's message quotes its input, which has a password, so it is dropped.
    throw new SyntaxError('the secret is not JSON');
  }
}
