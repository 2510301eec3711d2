import { createHash, randomBytes } from 'node:crypto';

import { LOCAL_ACCOUNT, type ResourceFactory } from '../../../model.ts';
import { AwsError } from '../../errors.ts';
import type { Input } from '../../input.ts';
import type { AwsService, Call, Operation, Permission, ServiceModule } from '../../service.ts';
import { requestTags, resourceTags, type Tag } from '../../tags.ts';
import type { Key, KeySpec, KeyStore } from './key-store.ts';

const SIGNING = 'RSA_2048' satisfies KeySpec;

/** AWS KMS: symmetric keys, of the templates and made by calls; and keys of templates that sign (RSA_2048). */
export function kms(keys: KeyStore): ServiceModule {
  return { service: wire(keys), resources: [keyResource(keys), aliasResource(keys)] };
}

function wire(keys: KeyStore): AwsService {
  const permission = (
    action: string,
    key: Key,
    input: Input,
    contextMember = 'EncryptionContext',
  ): Permission[] => {
    const aliases = keys.aliasesOf(key);
    const named = input.text('KeyId') ?? '';
    const context: Record<string, string | string[]> = {
      'kms:CallerAccount': LOCAL_ACCOUNT,
      ...resourceTags(key.tags ?? []),
      ...multiRegionContext(key),
      ...(aliases.length > 0 ? { 'kms:ResourceAliases': aliases } : {}),
      ...(named.includes('alias/') ? { 'kms:RequestAlias': named.slice(named.indexOf('alias/')) } : {}),
    };
    for (const [name, value] of Object.entries(encryptionContext(input, contextMember))) {
      context[`kms:EncryptionContext:${name}`] = String(value);
    }
    return [{ action: `kms:${action}`, resource: key.arn, resourcePolicy: key.policy, context }];
  };
  const named = (action: string, run: (key: Key, input: Input) => unknown): Operation => {
    const key = (input: Input, call: Call): Key => keys.get(input.required('KeyId'), call.region);
    return {
      permissions: (input, call) => permission(action, key(input, call), input),
      run: (input, call) => run(key(input, call), input),
    };
  };
  /** The same, for operations that need an enabled key. */
  const usable = (action: string, run: (key: Key, input: Input) => unknown): Operation =>
    named(action, (key, input) => {
      keys.requireUsable(key);
      return run(key, input);
    });
  /** The same, for keys that encrypt. */
  const encrypting = (action: string, run: (key: Key, input: Input) => unknown): Operation =>
    usable(action, (key, input) => {
      if (key.spec === SIGNING) throw wrongUsage(key, 'ENCRYPT_DECRYPT');
      return run(key, input);
    });
  /** The same, for keys that sign. The input names digest and algorithm. */
  const signing = (action: string, run: (key: Key, digest: Buffer, input: Input) => unknown): Operation =>
    usable(action, (key, input) => {
      if (key.spec !== SIGNING) throw wrongUsage(key, 'SIGN_VERIFY');
      if (input.required('SigningAlgorithm') !== 'RSASSA_PSS_SHA_256') {
        throw new AwsError('InvalidKeyUsageException', 'The key has the algorithm RSASSA_PSS_SHA_256 only.');
      }
      return run(key, digestOf(input), input);
    });
  /** The key of a ciphertext. @throws {AwsError} it is another key than the request names, or not usable. */
  const source = (blob: Buffer, name: string | undefined, region: string): Key => {
    const named = name === undefined ? undefined : keys.get(name, region);
    const key = keys.keyOf(blob, region);
    if (named !== undefined && named.keyId !== key.keyId) {
      throw new AwsError(
        'IncorrectKeyException',
        'The key ID in the request does not identify a CMK that can perform this operation.',
      );
    }
    keys.requireUsable(key);
    return key;
  };
  const dataKey = (key: Key, input: Input): { Plaintext: Buffer; CiphertextBlob: Buffer; KeyId: string } => {
    const size = input.integer('NumberOfBytes') ?? (input.text('KeySpec') === 'AES_128' ? 16 : 32);
    if (size < 1 || size > 1024) throw new AwsError('ValidationException', 'NumberOfBytes is out of range');
    const plaintext = randomBytes(size);
    const blob = keys.encrypt(key, plaintext, encryptionContext(input));
    return { Plaintext: plaintext, CiphertextBlob: blob, KeyId: key.arn };
  };

  return {
    signingNames: ['kms'],
    prefix: 'kms',
    protocol: { kind: 'json', version: '1.1' },
    accessDenied: { code: 'AccessDeniedException', status: 400 },
    operations: {
      Encrypt: encrypting('Encrypt', (key, input) => {
        const plaintext = input.blob('Plaintext') ?? Buffer.alloc(0);
        if (plaintext.length < 1 || plaintext.length > 4096) {
          throw new AwsError('ValidationException', 'Plaintext must have 1 to 4096 bytes');
        }
        const blob = keys.encrypt(key, plaintext, encryptionContext(input));
        return { CiphertextBlob: blob, KeyId: key.arn, EncryptionAlgorithm: 'SYMMETRIC_DEFAULT' };
      }),
      Decrypt: {
        permissions: (input, call) => {
          const name = input.text('KeyId');
          // A key that is not in this region is refused before the ciphertext is looked at.
          if (name !== undefined) keys.get(name, call.region);
          return permission('Decrypt', keys.keyOf(ciphertext(input), call.region), input);
        },
        run(input, call) {
          const blob = ciphertext(input);
          const key = source(blob, input.text('KeyId'), call.region);
          const plaintext = keys.decrypt(blob, call.region, encryptionContext(input));
          return { Plaintext: plaintext, KeyId: key.arn, EncryptionAlgorithm: 'SYMMETRIC_DEFAULT' };
        },
      },
      ReEncrypt: {
        permissions: (input, call) => [
          ...permission(
            'ReEncryptFrom',
            keys.keyOf(ciphertext(input), call.region),
            input,
            'SourceEncryptionContext',
          ),
          ...permission(
            'ReEncryptTo',
            keys.get(input.required('DestinationKeyId'), call.region),
            input,
            'DestinationEncryptionContext',
          ),
        ],
        run(input, call) {
          const blob = ciphertext(input);
          const from = source(blob, input.text('SourceKeyId'), call.region);
          const to = keys.get(input.required('DestinationKeyId'), call.region);
          keys.requireUsable(to);
          const plaintext = keys.decrypt(
            blob,
            call.region,
            encryptionContext(input, 'SourceEncryptionContext'),
          );
          const context = encryptionContext(input, 'DestinationEncryptionContext');
          return {
            CiphertextBlob: keys.encrypt(to, plaintext, context),
            SourceKeyId: from.arn,
            KeyId: to.arn,
            SourceEncryptionAlgorithm: 'SYMMETRIC_DEFAULT',
            DestinationEncryptionAlgorithm: 'SYMMETRIC_DEFAULT',
          };
        },
      },
      CreateKey: {
        permissions: (input, call) => {
          const tags = tagsIn(input);
          const context = {
            ...requestTags(tags),
            'kms:CallerAccount': LOCAL_ACCOUNT,
            'kms:KeySpec': input.text('KeySpec') ?? 'SYMMETRIC_DEFAULT',
            'kms:KeyUsage': input.text('KeyUsage') ?? 'ENCRYPT_DECRYPT',
            'kms:BypassPolicyLockoutSafetyCheck': String(
              input.boolean('BypassPolicyLockoutSafetyCheck') ?? false,
            ),
            'kms:MultiRegion': String(input.boolean('MultiRegion') ?? false),
            ...(input.boolean('MultiRegion') ? { 'kms:MultiRegionKeyType': 'PRIMARY' } : {}),
          };
          const resource = `arn:aws:kms:${call.region}:${LOCAL_ACCOUNT}:key/new`;
          return [
            { action: 'kms:CreateKey', resource: '*', context },
            ...(tags.length > 0 ? [{ action: 'kms:TagResource', resource, context }] : []),
            ...(input.boolean('MultiRegion') ? [SERVICE_ROLE] : []),
          ];
        },
        run(input, { region }) {
          const [spec, usage] = [input.text('KeySpec'), input.text('KeyUsage')];
          if (
            (spec ?? 'SYMMETRIC_DEFAULT') !== 'SYMMETRIC_DEFAULT' ||
            (usage ?? 'ENCRYPT_DECRYPT') !== 'ENCRYPT_DECRYPT'
          ) {
            throw new AwsError(
              'UnsupportedOperationException',
              'only symmetric keys for encryption exist here',
            );
          }
          const policy = input.text('Policy');
          const key = keys.create({
            region,
            description: input.text('Description') ?? '',
            tags: tagsIn(input),
            multiRegion: input.boolean('MultiRegion') ?? false,
            ...(policy === undefined ? {} : { policy: JSON.parse(policy) }),
          });
          return { KeyMetadata: metadata(key, keys) };
        },
      },
      ReplicateKey: {
        permissions: (input, call) => {
          const primary = keys.get(input.required('KeyId'), call.region);
          const region = input.required('ReplicaRegion');
          const tags = tagsIn(input);
          const there = {
            ...requestTags(tags),
            'aws:RequestedRegion': region,
            'kms:CallerAccount': LOCAL_ACCOUNT,
            'kms:MultiRegion': 'true',
            'kms:MultiRegionKeyType': 'REPLICA',
          };
          const resource = `arn:aws:kms:${region}:${LOCAL_ACCOUNT}:key/new`;
          const [replicate] = permission('ReplicateKey', primary, input) as [Permission];
          return [
            {
              ...replicate,
              context: {
                ...replicate.context,
                'kms:PrimaryRegion': call.region,
                'kms:ReplicaRegion': region,
              },
            },
            { action: 'kms:CreateKey', resource: '*', context: there },
            ...(tags.length > 0 ? [{ action: 'kms:TagResource', resource, context: there }] : []),
          ];
        },
        run(input, { region: primaryRegion }) {
          const primary = keys.get(input.required('KeyId'), primaryRegion);
          keys.requireUsable(primary);
          const region = input.required('ReplicaRegion');
          const tags = tagsIn(input);
          const policy = input.text('Policy');
          const replica = keys.replicate(primary, {
            region,
            tags,
            description: input.text('Description') ?? '',
            ...(policy === undefined ? {} : { policy: JSON.parse(policy) }),
          });
          return {
            ReplicaKeyMetadata: { ...metadata(replica, keys), KeyState: 'Creating' },
            ReplicaTags: tags.map(({ Key: TagKey, Value: TagValue }) => ({ TagKey, TagValue })),
          };
        },
      },
      CreateAlias: {
        permissions: (input, call) => {
          const key = keys.get(input.required('TargetKeyId'), call.region);
          const alias = `arn:aws:kms:${call.region}:${LOCAL_ACCOUNT}:${input.required('AliasName')}`;
          return [
            { action: 'kms:CreateAlias', resource: alias, context: { 'kms:CallerAccount': LOCAL_ACCOUNT } },
            ...permission('CreateAlias', key, input),
          ];
        },
        run(input, call) {
          const name = input.required('AliasName');
          if (!/^alias\/(?!aws\/)[\w/-]+$/.test(name)) {
            throw new AwsError('ValidationException', `Invalid identifier ${name}`);
          }
          keys.createAlias(name, keys.get(input.required('TargetKeyId'), call.region));
          return {};
        },
      },
      EnableKeyRotation: usable('EnableKeyRotation', (key) => {
        if (key.primaryRegion !== undefined && key.primaryRegion !== key.region) {
          throw new AwsError('UnsupportedOperationException', `${key.arn} is a multi-Region replica key.`);
        }
        // A property that all regions share.
        for (const each of keys.related(key)) keys.change(each, { rotates: true });
        return {};
      }),
      GetKeyRotationStatus: named('GetKeyRotationStatus', (key) => ({
        KeyRotationEnabled: key.rotates === true,
        KeyId: key.arn,
      })),
      DisableKey: named('DisableKey', (key) => {
        if (isPending(key)) keys.requireUsable(key);
        keys.change(key, { state: 'Disabled' });
        return {};
      }),
      EnableKey: named('EnableKey', (key) => {
        if (isPending(key)) keys.requireUsable(key);
        delete key.state;
        keys.change(key, {});
        return {};
      }),
      ScheduleKeyDeletion: named('ScheduleKeyDeletion', (key, input) => {
        if (isPending(key)) keys.requireUsable(key);
        const days = input.integer('PendingWindowInDays') ?? 30;
        if (days < 7 || days > 30) {
          throw new AwsError('ValidationException', 'PendingWindowInDays must be from 7 to 30');
        }
        keys.scheduleDeletion(key, days);
        return {
          KeyId: key.arn,
          ...(key.deletionDate === undefined ? {} : { DeletionDate: new Date(key.deletionDate) }),
          KeyState: key.state,
          PendingWindowInDays: days,
        };
      }),
      CancelKeyDeletion: named('CancelKeyDeletion', (key) => {
        if (!isPending(key)) {
          throw new AwsError('KMSInvalidStateException', `${key.arn} is not pending deletion.`);
        }
        delete key.deletionDate;
        delete key.deletionDays;
        keys.change(key, { state: 'Disabled' });
        return { KeyId: key.arn };
      }),
      ListResourceTags: named('ListResourceTags', (key) => ({
        Tags: (key.tags ?? []).map(({ Key: TagKey, Value: TagValue }) => ({ TagKey, TagValue })),
        Truncated: false,
      })),
      GenerateDataKey: encrypting('GenerateDataKey', dataKey),
      GenerateDataKeyWithoutPlaintext: encrypting('GenerateDataKeyWithoutPlaintext', (key, input) => {
        const { Plaintext: _plaintext, ...answer } = dataKey(key, input);
        return answer;
      }),
      Sign: signing('Sign', (key, digest) => ({
        KeyId: key.arn,
        Signature: keys.sign(key, digest),
        SigningAlgorithm: 'RSASSA_PSS_SHA_256',
      })),
      Verify: signing('Verify', (key, digest, input) => {
        if (!keys.verify(key, digest, input.blob('Signature') ?? Buffer.alloc(0))) {
          throw new AwsError('KMSInvalidSignatureException', 'The signature is not valid.');
        }
        return { KeyId: key.arn, SignatureValid: true, SigningAlgorithm: 'RSASSA_PSS_SHA_256' };
      }),
      GetPublicKey: usable('GetPublicKey', (key) => {
        if (key.spec !== SIGNING) {
          throw new AwsError(
            'UnsupportedOperationException',
            `${key.arn} is symmetric and has no public key.`,
          );
        }
        return {
          KeyId: key.arn,
          PublicKey: keys.publicKey(key),
          KeySpec: SIGNING,
          CustomerMasterKeySpec: SIGNING,
          KeyUsage: 'SIGN_VERIFY',
          SigningAlgorithms: ['RSASSA_PSS_SHA_256'],
        };
      }),
      DeleteAlias: {
        permissions: (input, call) => {
          const name = input.required('AliasName');
          const alias = `arn:aws:kms:${call.region}:${LOCAL_ACCOUNT}:${name}`;
          return [
            { action: 'kms:DeleteAlias', resource: alias, context: { 'kms:CallerAccount': LOCAL_ACCOUNT } },
            ...permission('DeleteAlias', keys.get(name, call.region), input),
          ];
        },
        run(input, call) {
          keys.deleteAlias(input.required('AliasName'), call.region);
          return {};
        },
      },
      DescribeKey: named('DescribeKey', (key) => ({ KeyMetadata: metadata(key, keys) })),
    },
  };
}

const isPending = ({ state }: Key) => state === 'PendingDeletion' || state === 'PendingReplicaDeletion';

/** Who makes a multi-Region key must be allowed to make the role by which KMS keeps its regions alike. */
const SERVICE_ROLE: Permission = {
  action: 'iam:CreateServiceLinkedRole',
  resource: `arn:aws:iam::${LOCAL_ACCOUNT}:role/aws-service-role/mrk.kms.amazonaws.com/AWSServiceRoleForKeyManagementServiceMultiRegionKeys`,
  context: { 'iam:AWSServiceName': 'mrk.kms.amazonaws.com' },
};

function multiRegionContext({ region, primaryRegion }: Key): Record<string, string> {
  if (primaryRegion === undefined) return { 'kms:MultiRegion': 'false' };
  return {
    'kms:MultiRegion': 'true',
    'kms:MultiRegionKeyType': region === primaryRegion ? 'PRIMARY' : 'REPLICA',
  };
}

function metadata(key: Key, keys: KeyStore): Record<string, unknown> {
  const [primary, ...replicas] = keys.related(key).map(({ arn, region }) => ({ Arn: arn, Region: region }));
  return {
    AWSAccountId: LOCAL_ACCOUNT,
    KeyId: key.keyId,
    Arn: key.arn,
    CreationDate: new Date(key.createdDate),
    Description: key.description,
    Enabled: key.state === undefined,
    KeyState: key.state ?? 'Enabled',
    ...(key.deletionDate === undefined ? {} : { DeletionDate: new Date(key.deletionDate) }),
    KeyManager: 'CUSTOMER',
    ...(key.spec === SIGNING
      ? {
          KeyUsage: 'SIGN_VERIFY',
          KeySpec: SIGNING,
          CustomerMasterKeySpec: SIGNING,
          SigningAlgorithms: ['RSASSA_PSS_SHA_256'],
        }
      : {
          KeyUsage: 'ENCRYPT_DECRYPT',
          KeySpec: 'SYMMETRIC_DEFAULT',
          CustomerMasterKeySpec: 'SYMMETRIC_DEFAULT',
          EncryptionAlgorithms: ['SYMMETRIC_DEFAULT'],
        }),
    Origin: 'AWS_KMS',
    MultiRegion: key.primaryRegion !== undefined,
    ...(key.primaryRegion === undefined
      ? {}
      : {
          MultiRegionConfiguration: {
            MultiRegionKeyType: key.region === key.primaryRegion ? 'PRIMARY' : 'REPLICA',
            // A replica outlives a primary whose region is lost.
            ...(primary?.Region === key.primaryRegion
              ? { PrimaryKey: primary, ReplicaKeys: replicas }
              : { PrimaryKey: { Region: key.primaryRegion }, ReplicaKeys: [primary, ...replicas] }),
          },
        }),
  };
}

const wrongUsage = (key: Key, usage: string) =>
  new AwsError('InvalidKeyUsageException', `${key.arn} key usage is not ${usage}.`);

/** SHA-256 of the message, or the message where it is a digest itself. */
function digestOf(input: Input): Buffer {
  const message = input.blob('Message') ?? Buffer.alloc(0);
  if ((input.text('MessageType') ?? 'RAW') === 'RAW') {
    if (message.length < 1 || message.length > 4096) {
      throw new AwsError('ValidationException', 'Message must have 1 to 4096 bytes');
    }
    return createHash('sha256').update(message).digest();
  }
  if (message.length !== 32)
    throw new AwsError('ValidationException', 'Digest is invalid length for algorithm RSASSA_PSS_SHA_256.');
  return message;
}

/** KMS has its own names for the parts of a tag. */
function tagsIn(input: Input): Tag[] {
  return input
    .inputs('Tags')
    .map((tag) => ({ Key: tag.required('TagKey'), Value: tag.text('TagValue') ?? '' }));
}

function encryptionContext(input: Input, member = 'EncryptionContext'): Record<string, unknown> {
  return input.structure(member)?.members ?? {};
}

function ciphertext(input: Input): Buffer {
  return input.blob('CiphertextBlob') ?? Buffer.alloc(0);
}

/** `AWS::KMS::Key`. Its id derives from stack and logical id, so that its ciphertexts stay readable. */
export function keyResource(keys: KeyStore): ResourceFactory {
  return {
    type: 'AWS::KMS::Key',
    async create({ stack, logicalId, properties }) {
      const uuid = stableUuid(`${stack.arn} ${logicalId}`);
      const multiRegion = properties.MultiRegion === true || properties.MultiRegion === 'true';
      const key = keys.provide({
        keyId: multiRegion ? `mrk-${uuid.replaceAll('-', '')}` : uuid,
        region: stack.region,
        ...(multiRegion ? { primaryRegion: stack.region } : {}),
        description: (properties.Description as string | undefined) ?? '',
        policy: properties.KeyPolicy,
        tags: (properties.Tags as Tag[] | undefined) ?? [],
        ...(properties.KeySpec === SIGNING ? { spec: SIGNING } : {}),
      });
      return { ref: key.keyId, attributes: { Arn: key.arn, KeyId: key.keyId } };
    },
  };
}

/** `AWS::KMS::Alias`. */
export function aliasResource(keys: KeyStore): ResourceFactory {
  return {
    type: 'AWS::KMS::Alias',
    async create({ stack, properties }) {
      const name = String(properties.AliasName);
      keys.alias(name, stack.region, String(properties.TargetKeyId));
      return { ref: name, attributes: {} };
    },
  };
}

/** The same UUID for the same name, always. */
export function stableUuid(name: string): string {
  const hex = createHash('sha256').update(name).digest('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}
