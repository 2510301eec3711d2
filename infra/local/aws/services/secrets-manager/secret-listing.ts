import { AwsError } from '../../errors.ts';
import type { Input } from '../../input.ts';
import type { Call } from '../../service.ts';
import type { Secret, SecretStore } from './secret-store.ts';

/** A secret without its values. */
export function describeSecret(secret: Secret): Record<string, unknown> {
  return {
    ARN: secret.arn,
    Name: secret.name,
    Description: secret.description,
    KmsKeyId: secret.kmsKeyId,
    CreatedDate: new Date(secret.createdDate),
    LastChangedDate: new Date(secret.lastChangedDate),
    DeletedDate: secret.deletedDate === undefined ? undefined : new Date(secret.deletedDate),
    Tags: secret.tags,
    VersionIdsToStages: Object.fromEntries(
      Object.entries(secret.versions).map(([id, version]) => [id, version.stages]),
    ),
  };
}

/** ListSecrets, with its filters. */
export function listSecrets(secrets: SecretStore, input: Input, call: Call): unknown {
  const filters = input.inputs('Filters').map((filter) => ({
    key: filter.required('Key'),
    values: filter.texts('Values'),
  }));
  const found = secrets
    .all()
    .filter((secret) => secret.region === call.region)
    .filter((secret) =>
      filters.every(({ key, values }) => values.some((value) => matches(secret, key, value))),
    )
    .filter((secret) => secret.deletedDate === undefined || input.boolean('IncludePlannedDeletion'));
  const start = Number(input.text('NextToken') ?? 0);
  const next = start + (input.integer('MaxResults') ?? 100);
  return {
    SecretList: found.slice(start, next).map((secret) => {
      const { VersionIdsToStages, ...entry } = describeSecret(secret);
      return { ...entry, SecretVersionsToStages: VersionIdsToStages };
    }),
    NextToken: next < found.length ? String(next) : undefined,
  };
}

function matches(secret: Secret, key: string, value: string): boolean {
  switch (key) {
    case 'name':
      return secret.name.startsWith(value);
    case 'description':
      return (secret.description ?? '').startsWith(value);
    case 'tag-key':
      return secret.tags.some((tag) => tag.Key.startsWith(value));
    case 'tag-value':
      return secret.tags.some((tag) => tag.Value.startsWith(value));
    case 'all':
      return JSON.stringify([secret.name, secret.description, secret.tags]).includes(value);
    default:
      throw new AwsError('InvalidParameterException', `Filter ${key} is not supported`);
  }
}
