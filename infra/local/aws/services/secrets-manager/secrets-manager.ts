import { randomUUID } from 'node:crypto';
import { AwsError } from '../../errors.ts';
import type { Input } from '../../input.ts';
import type { AwsService, Call, Operation, ServiceModule } from '../../service.ts';
import { tagsOf } from '../../tags.ts';
import type { KeyStore } from '../kms/key-store.ts';
import { randomPassword } from './random-password.ts';
import { describeSecret, listSecrets } from './secret-listing.ts';
import { SecretPermissions } from './secret-permissions.ts';
import { secretAttachmentResource, secretResource } from './secret-resources.ts';
import { type Secret, type SecretStore, type SecretValue, versionIdOf } from './secret-store.ts';

/**
 * AWS Secrets Manager over a {@link SecretStore}. Rotation, replication and resource policies are not supported.
 * @param coordinates what an attachment writes into a secret; undefined for a database that does not exist
 */
export function secretsManager(
  secrets: SecretStore,
  keys: KeyStore,
  coordinates: (targetId: string, region: string) => Record<string, unknown> | undefined,
): ServiceModule {
  return {
    service: wire(secrets, keys),
    resources: [secretResource(secrets), secretAttachmentResource(secrets, coordinates)],
  };
}

function wire(secrets: SecretStore, keys: KeyStore): AwsService {
  const permissions = new SecretPermissions(secrets, keys);

  /** An operation on one existing secret that is not being deleted. */
  function onSecret(
    action: string,
    run: (secret: Secret, input: Input, call: Call) => unknown,
    options: { key?: string[]; alsoDeleted?: boolean } = {},
  ): Operation {
    return {
      permissions: (input, call) => permissions.on(action, input.required('SecretId'), call, options.key),
      run(input, call) {
        const secret = secrets.get(input.required('SecretId'), call.region);
        if (secret.deletedDate !== undefined && !options.alsoDeleted) {
          throw new AwsError(
            'InvalidRequestException',
            `You can't perform this operation on the secret because it was marked for deletion.`,
          );
        }
        return run(secret, input, call);
      },
    };
  }

  const write = ['GenerateDataKey', 'Decrypt'];
  return {
    signingNames: ['secretsmanager'],
    prefix: 'secretsmanager',
    protocol: { kind: 'json', version: '1.1' },
    accessDenied: { code: 'AccessDeniedException', status: 400 },
    operations: {
      CreateSecret: {
        permissions: (input, call) => permissions.onNew(input, call),
        run: (input, call) => create(secrets, input, call),
      },
      GetSecretValue: onSecret('GetSecretValue', (secret, input) => read(secret, input), {
        key: ['Decrypt'],
      }),
      PutSecretValue: onSecret(
        'PutSecretValue',
        (secret, input) => {
          const stages = input.has('VersionStages') ? input.texts('VersionStages') : ['AWSCURRENT'];
          const versionId = putVersion(secrets, secret, input, secretValueOf(input), stages);
          secrets.save();
          return {
            ARN: secret.arn,
            Name: secret.name,
            VersionId: versionId,
            VersionStages: secret.versions[versionId]?.stages,
          };
        },
        { key: write },
      ),
      UpdateSecret: onSecret('UpdateSecret', (secret, input) => update(secrets, secret, input), {
        key: [...write, 'Encrypt'],
      }),
      DescribeSecret: onSecret('DescribeSecret', describeSecret, { alsoDeleted: true }),
      ListSecretVersionIds: onSecret('ListSecretVersionIds', (secret) => ({
        ARN: secret.arn,
        Name: secret.name,
        Versions: Object.entries(secret.versions).map(([id, version]) => ({
          VersionId: id,
          VersionStages: version.stages,
          CreatedDate: new Date(version.createdDate),
        })),
      })),
      UpdateSecretVersionStage: onSecret('UpdateSecretVersionStage', (secret, input) => {
        secrets.moveStage(secret, input.required('VersionStage'), input.text('MoveToVersionId'));
        secrets.save();
        return { ARN: secret.arn, Name: secret.name };
      }),
      DeleteSecret: onSecret('DeleteSecret', (secret, input) => remove(secrets, secret, input), {
        alsoDeleted: true,
      }),
      RestoreSecret: onSecret(
        'RestoreSecret',
        (secret) => {
          secret.deletedDate = undefined;
          secrets.save();
          return { ARN: secret.arn, Name: secret.name };
        },
        { alsoDeleted: true },
      ),
      TagResource: onSecret('TagResource', (secret, input) => {
        const added = tagsOf(input);
        const keys = new Set(added.map((tag) => tag.Key));
        secret.tags = [...secret.tags.filter((tag) => !keys.has(tag.Key)), ...added];
        secrets.save();
        return {};
      }),
      UntagResource: onSecret('UntagResource', (secret, input) => {
        const keys = new Set(input.texts('TagKeys'));
        secret.tags = secret.tags.filter((tag) => !keys.has(tag.Key));
        secrets.save();
        return {};
      }),
      ListSecrets: {
        permissions: () => [{ action: 'secretsmanager:ListSecrets', resource: '*' }],
        run: (input, call) => listSecrets(secrets, input, call),
      },
      GetRandomPassword: {
        permissions: () => [{ action: 'secretsmanager:GetRandomPassword', resource: '*' }],
        run: (input) => ({
          RandomPassword: randomPassword({
            length: input.integer('PasswordLength'),
            excludeCharacters: input.text('ExcludeCharacters'),
            excludeNumbers: input.boolean('ExcludeNumbers'),
            excludePunctuation: input.boolean('ExcludePunctuation'),
            excludeUppercase: input.boolean('ExcludeUppercase'),
            excludeLowercase: input.boolean('ExcludeLowercase'),
            includeSpace: input.boolean('IncludeSpace'),
            requireEachIncludedType: input.boolean('RequireEachIncludedType'),
          }),
        }),
      },
    },
  };
}

function create(secrets: SecretStore, input: Input, call: Call): unknown {
  const name = input.required('Name');
  if (!/^[\w/+=.@-]{1,512}$/.test(name)) {
    throw new AwsError(
      'ValidationException',
      'Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!',
    );
  }
  const value = secretValueOf(input, true);
  const hasValue = value.secretString !== undefined || value.secretBinary !== undefined;
  const token = input.text('ClientRequestToken') ?? randomUUID();
  const existing = secrets.find(name, call.region);
  if (existing?.deletedDate !== undefined) {
    throw new AwsError(
      'InvalidRequestException',
      "You can't create this secret because a secret with this name is already scheduled for deletion.",
    );
  }
  if (existing) {
    const version = existing.versions[token];
    if (!version || !sameValue(version, value)) {
      throw new AwsError(
        'ResourceExistsException',
        `The operation failed because the secret ${name} already exists.`,
      );
    }
    return { ARN: existing.arn, Name: name, VersionId: token };
  }
  const secret = secrets.create({
    name,
    region: call.region,
    description: input.text('Description'),
    kmsKeyId: input.text('KmsKeyId'),
    tags: tagsOf(input),
  });
  if (hasValue) secrets.addVersion(secret, token, value, ['AWSCURRENT']);
  secrets.save();
  return { ARN: secret.arn, Name: name, ...(hasValue ? { VersionId: token } : {}) };
}

function read(secret: Secret, input: Input): unknown {
  const stage = input.text('VersionStage');
  const versionId = input.text('VersionId') ?? versionIdOf(secret, stage ?? 'AWSCURRENT');
  const version = versionId === undefined ? undefined : secret.versions[versionId];
  if (!version || (stage !== undefined && !version.stages.includes(stage))) {
    const wanted = input.has('VersionId')
      ? `VersionId: ${versionId}`
      : `staging label: ${stage ?? 'AWSCURRENT'}`;
    throw new AwsError(
      'ResourceNotFoundException',
      `Secrets Manager can't find the specified secret value for ${wanted}`,
    );
  }
  return {
    ARN: secret.arn,
    Name: secret.name,
    VersionId: versionId,
    SecretString: version.secretString,
    SecretBinary: version.secretBinary,
    VersionStages: version.stages,
    CreatedDate: new Date(version.createdDate),
  };
}

function putVersion(
  secrets: SecretStore,
  secret: Secret,
  input: Input,
  value: SecretValue,
  stages: string[],
): string {
  const token = input.text('ClientRequestToken') ?? randomUUID();
  const existing = secret.versions[token];
  if (existing && !sameValue(existing, value)) {
    throw new AwsError(
      'ResourceExistsException',
      `A resource with the ID you requested already exists: version ${token}`,
    );
  }
  if (!existing) secrets.addVersion(secret, token, value, stages);
  return token;
}

function update(secrets: SecretStore, secret: Secret, input: Input): unknown {
  secret.description = input.text('Description') ?? secret.description;
  secret.kmsKeyId = input.text('KmsKeyId') ?? secret.kmsKeyId;
  const value = secretValueOf(input, true);
  const hasValue = value.secretString !== undefined || value.secretBinary !== undefined;
  const versionId = hasValue ? putVersion(secrets, secret, input, value, ['AWSCURRENT']) : undefined;
  secret.lastChangedDate = Date.now();
  secrets.save();
  return { ARN: secret.arn, Name: secret.name, VersionId: versionId };
}

function remove(secrets: SecretStore, secret: Secret, input: Input): unknown {
  const days = input.integer('RecoveryWindowInDays');
  const force = input.boolean('ForceDeleteWithoutRecovery') ?? false;
  if (force && days !== undefined) {
    throw new AwsError(
      'InvalidParameterException',
      "You can't use ForceDeleteWithoutRecovery in conjunction with RecoveryWindowInDays.",
    );
  }
  if (days !== undefined && (days < 7 || days > 30)) {
    throw new AwsError(
      'InvalidParameterException',
      'RecoveryWindowInDays value must be between 7 and 30 days',
    );
  }
  const deletionDate = force ? Date.now() : Date.now() + (days ?? 30) * 24 * 60 * 60 * 1_000;
  if (force) {
    secrets.remove(secret);
  } else {
    secret.deletedDate = deletionDate;
    secrets.save();
  }
  return { ARN: secret.arn, Name: secret.name, DeletionDate: new Date(deletionDate) };
}

/** @throws {AwsError} when there are two values, none (unless optional), or too much */
function secretValueOf(input: Input, optional = false): SecretValue {
  const secretString = input.text('SecretString');
  const secretBinary = input.text('SecretBinary');
  if (secretString !== undefined && secretBinary !== undefined) {
    throw new AwsError(
      'InvalidRequestException',
      'You must provide either SecretString or SecretBinary, not both.',
    );
  }
  if (secretString === undefined && secretBinary === undefined && !optional) {
    throw new AwsError('InvalidRequestException', 'You must provide either SecretString or SecretBinary.');
  }
  if (Buffer.byteLength(secretString ?? secretBinary ?? '') > 65_536) {
    throw new AwsError('ValidationException', 'SecretString must have length less than or equal to 65536');
  }
  return { secretString, secretBinary };
}

function sameValue(a: SecretValue, b: SecretValue): boolean {
  return a.secretString === b.secretString && a.secretBinary === b.secretBinary;
}
