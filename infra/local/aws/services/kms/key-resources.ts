import { createHash } from 'node:crypto';
import type { ResourceFactory } from '../../../model.ts';
import type { KeyStore } from './key-store.ts';

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
