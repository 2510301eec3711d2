import { createHash, randomBytes } from 'node:crypto';

import { LOCAL_ACCOUNT, type ResourceFactory } from '../../../model.ts';
import { AwsError } from '../../errors.ts';
import type { Input } from '../../input.ts';
import type { AwsService, Call, Operation, Permission, ServiceModule } from '../../service.ts';
import type { Key, KeyStore } from './key-store.ts';

/** AWS KMS: symmetric keys of the templates. */
export function kms(keys: KeyStore): ServiceModule {
  return { service: wire(keys), resources: [keyResource(keys), aliasResource(keys)] };
}

function wire(keys: KeyStore): AwsService {
  const permission = (action: string, key: Key, input: Input): Permission[] => {
    const context: Record<string, string> = { 'kms:CallerAccount': LOCAL_ACCOUNT };
    for (const [name, value] of Object.entries(encryptionContext(input))) {
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
      Encrypt: named('Encrypt', (key, input) => {
        const plaintext = input.blob('Plaintext') ?? Buffer.alloc(0);
        if (plaintext.length < 1 || plaintext.length > 4096) {
          throw new AwsError('ValidationException', 'Plaintext must have 1 to 4096 bytes');
        }
        const blob = keys.encrypt(key, plaintext, encryptionContext(input));
        return { CiphertextBlob: blob, KeyId: key.arn, EncryptionAlgorithm: 'SYMMETRIC_DEFAULT' };
      }),
      Decrypt: {
        permissions: (input, call) =>
          permission('Decrypt', keys.keyOf(ciphertext(input), call.region), input),
        run(input, call) {
          const blob = ciphertext(input);
          const key = keys.keyOf(blob, call.region);
          const named = input.text('KeyId');
          if (named !== undefined && keys.get(named, call.region).keyId !== key.keyId) {
            throw new AwsError(
              'IncorrectKeyException',
              'The key ID in the request does not identify a CMK that can perform this operation.',
            );
          }
          const plaintext = keys.decrypt(blob, call.region, encryptionContext(input));
          return { Plaintext: plaintext, KeyId: key.arn, EncryptionAlgorithm: 'SYMMETRIC_DEFAULT' };
        },
      },
      GenerateDataKey: named('GenerateDataKey', dataKey),
      GenerateDataKeyWithoutPlaintext: named('GenerateDataKeyWithoutPlaintext', (key, input) => {
        const { Plaintext: _plaintext, ...answer } = dataKey(key, input);
        return answer;
      }),
      DescribeKey: named('DescribeKey', (key) => ({
        KeyMetadata: {
          AWSAccountId: LOCAL_ACCOUNT,
          KeyId: key.keyId,
          Arn: key.arn,
          CreationDate: new Date(key.createdDate),
          Description: key.description,
          Enabled: true,
          KeyState: 'Enabled',
          KeyUsage: 'ENCRYPT_DECRYPT',
          KeyManager: 'CUSTOMER',
          KeySpec: 'SYMMETRIC_DEFAULT',
          CustomerMasterKeySpec: 'SYMMETRIC_DEFAULT',
          EncryptionAlgorithms: ['SYMMETRIC_DEFAULT'],
          Origin: 'AWS_KMS',
          MultiRegion: false,
        },
      })),
    },
  };
}

function encryptionContext(input: Input): Record<string, unknown> {
  return input.structure('EncryptionContext')?.members ?? {};
}

function ciphertext(input: Input): Buffer {
  return input.blob('CiphertextBlob') ?? Buffer.alloc(0);
}

/** `AWS::KMS::Key`. Its id derives from stack and logical id, so that its ciphertexts stay readable. */
export function keyResource(keys: KeyStore): ResourceFactory {
  return {
    type: 'AWS::KMS::Key',
    async create({ stack, logicalId, properties }) {
      const key = keys.provide({
        keyId: stableUuid(`${stack.arn} ${logicalId}`),
        region: stack.region,
        description: (properties.Description as string | undefined) ?? '',
        policy: properties.KeyPolicy,
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
