import { LOCAL_ACCOUNT } from '../../../model.ts';
import type { Input } from '../../input.ts';
import type { Call, Permission } from '../../service.ts';
import { requestTags, resourceTags, tagsOf } from '../../tags.ts';
import type { KeyStore } from '../kms/key-store.ts';
import { type Secret, type SecretStore, versionIdOf } from './secret-store.ts';

/** Which permissions an operation on a secret takes: on the secret, and on the customer key it is encrypted with. */
export class SecretPermissions {
  readonly #secrets: SecretStore;
  readonly #keys: KeyStore;

  constructor(secrets: SecretStore, keys: KeyStore) {
    this.#secrets = secrets;
    this.#keys = keys;
  }

  /** On an existing secret, or on what its ARN would be: a caller without rights cannot tell the two apart. */
  on(action: string, secretId: string, call: Call, keyActions: string[] = []): Permission[] {
    const secret = this.#secrets.find(secretId, call.region);
    const resource = secret?.arn ?? (secretId.startsWith('arn:') ? secretId : bareArn(secretId, call.region));
    const permission: Permission = {
      action: `secretsmanager:${action}`,
      resource,
      context: attributes(secret),
    };
    return [permission, ...(secret ? this.onKey(secret, keyActions) : [])];
  }

  onKey(secret: Pick<Secret, 'arn' | 'region' | 'kmsKeyId'>, actions: string[]): Permission[] {
    if (secret.kmsKeyId === undefined) return [];
    const key = this.#keys.get(secret.kmsKeyId, secret.region);
    return actions.map((action) => ({
      action: `kms:${action}`,
      resource: key.arn,
      resourcePolicy: key.policy,
      context: {
        'kms:ViaService': `secretsmanager.${secret.region}.amazonaws.com`,
        'kms:EncryptionContext:SecretARN': secret.arn,
        'kms:CallerAccount': LOCAL_ACCOUNT,
      },
    }));
  }

  /** CreateSecret: the ARN has no suffix yet, so policies with `-??????` are compared with a placeholder. */
  onNew(input: Input, call: Call): Permission[] {
    const name = input.required('Name');
    const arn = `${bareArn(name, call.region)}-??????`;
    const tags = tagsOf(input);
    const context: Record<string, string | string[]> = { 'secretsmanager:Name': name };
    const kmsKeyId = input.text('KmsKeyId');
    if (kmsKeyId !== undefined) context['secretsmanager:KmsKeyId'] = kmsKeyId;
    Object.assign(context, requestTags(tags));
    const permissions: Permission[] = [{ action: 'secretsmanager:CreateSecret', resource: arn, context }];
    if (tags.length > 0) permissions.push({ action: 'secretsmanager:TagResource', resource: arn, context });
    return [
      ...permissions,
      ...this.onKey({ arn, region: call.region, kmsKeyId }, ['GenerateDataKey', 'Decrypt']),
    ];
  }
}

function attributes(secret: Secret | undefined): Record<string, string> {
  if (!secret) return {};
  const context: Record<string, string> = {
    'secretsmanager:SecretId': secret.arn,
    'secretsmanager:VersionId': versionIdOf(secret, 'AWSCURRENT') ?? '',
  };
  for (const tag of secret.tags) context[`secretsmanager:ResourceTag/${tag.Key}`] = tag.Value;
  return { ...context, ...resourceTags(secret.tags) };
}

function bareArn(name: string, region: string): string {
  return `arn:aws:secretsmanager:${region}:${LOCAL_ACCOUNT}:secret:${name}`;
}
