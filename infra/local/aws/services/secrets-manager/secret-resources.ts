import { randomUUID } from 'node:crypto';
import type { ResourceFactory } from '../../../model.ts';
import { ResourceFailure } from '../../errors.ts';
import { randomPassword } from './random-password.ts';
import { type SecretStore, versionIdOf } from './secret-store.ts';

interface GenerateSecretString {
  SecretStringTemplate?: string;
  GenerateStringKey?: string;
  PasswordLength?: number | string;
  ExcludeCharacters?: string;
  ExcludeNumbers?: boolean;
  ExcludePunctuation?: boolean;
  ExcludeUppercase?: boolean;
  ExcludeLowercase?: boolean;
  IncludeSpace?: boolean;
  RequireEachIncludedType?: boolean;
}

/** `AWS::SecretsManager::Secret`. An existing secret keeps its value, because its password is in use. */
export function secretResource(secrets: SecretStore): ResourceFactory {
  return {
    type: 'AWS::SecretsManager::Secret',
    async create({ stack, properties, defaultName, logicalId }) {
      const name = (properties.Name as string | undefined) ?? defaultName;
      const owner = { Key: 'aws:cloudformation:stack-id', Value: stack.arn };
      const logical = { Key: 'aws:cloudformation:logical-id', Value: logicalId };
      const existing = secrets.find(name, stack.region);
      if (existing) {
        const tag = existing.tags.find((one) => one.Key === owner.Key);
        // The stack of an earlier run had the same ARN; any other secret is a conflict, as in AWS.
        if (tag?.Value !== owner.Value || existing.deletedDate !== undefined) {
          throw new ResourceFailure(
            `Resource handler returned message: "The operation failed because the secret ${name} already exists." (HandlerErrorCode: AlreadyExists)`,
          );
        }
        return { ref: existing.arn, attributes: { Id: existing.arn } };
      }
      const secret = secrets.create({
        name,
        region: stack.region,
        description: properties.Description as string | undefined,
        kmsKeyId: properties.KmsKeyId as string | undefined,
        tags: [...((properties.Tags as { Key: string; Value: string }[] | undefined) ?? []), owner, logical],
      });
      const generate = properties.GenerateSecretString as GenerateSecretString | undefined;
      const secretString = generate ? generated(generate) : (properties.SecretString as string | undefined);
      if (secretString !== undefined) {
        secrets.addVersion(secret, randomUUID(), { secretString }, ['AWSCURRENT']);
      }
      secrets.save();
      return { ref: secret.arn, attributes: { Id: secret.arn } };
    },
    async remove(resource) {
      const secret = secrets.find(resource.ref, resource.ref.split(':')[3] ?? '');
      if (secret) secrets.remove(secret);
    },
  };
}

/** `AWS::SecretsManager::SecretTargetAttachment`: writes the cluster's address into the secret. */
export function secretAttachmentResource(
  secrets: SecretStore,
  coordinates: (targetId: string, region: string) => Record<string, unknown> | undefined,
): ResourceFactory {
  return {
    type: 'AWS::SecretsManager::SecretTargetAttachment',
    async create({ stack, properties }) {
      const secret = secrets.get(String(properties.SecretId), stack.region);
      const target = coordinates(String(properties.TargetId), stack.region);
      if (!target)
        throw new ResourceFailure(`No database ${String(properties.TargetId)} to attach a secret to`);
      const current = secret.versions[versionIdOf(secret, 'AWSCURRENT') ?? '']?.secretString ?? '{}';
      const secretString = JSON.stringify({ ...JSON.parse(current), ...target });
      if (secretString !== current) {
        secrets.addVersion(secret, randomUUID(), { secretString }, ['AWSCURRENT']);
        secrets.save();
      }
      return { ref: secret.arn, attributes: { Id: secret.arn } };
    },
  };
}

function generated(options: GenerateSecretString): string {
  const password = randomPassword({
    length: options.PasswordLength === undefined ? undefined : Number(options.PasswordLength),
    excludeCharacters: options.ExcludeCharacters,
    excludeNumbers: options.ExcludeNumbers,
    excludePunctuation: options.ExcludePunctuation,
    excludeUppercase: options.ExcludeUppercase,
    excludeLowercase: options.ExcludeLowercase,
    includeSpace: options.IncludeSpace,
    requireEachIncludedType: options.RequireEachIncludedType,
  });
  if (options.GenerateStringKey === undefined) return password;
  const template = JSON.parse(options.SecretStringTemplate ?? '{}') as Record<string, unknown>;
  return JSON.stringify({ ...template, [options.GenerateStringKey]: password });
}
