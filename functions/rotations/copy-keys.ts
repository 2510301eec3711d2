/**
 * Copies the keys of encrypted fields to the region's second AWS region, where backups are copied to: without them nobody
 * could read the fields of those copies after a loss of the region. KMS is called in the own region only, so the worker
 * needs no way to the other one.
 */
import { copyKey } from '../aws/key-copies.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { listUncopiedKeys, noteCopied } from '../registry/field-keys.ts';
import type { RegionKeys } from './rotation-records.ts';

/** The region's own key is a multi-Region key, too. */
export interface CopyKeysOptions extends RegionKeys {
  readonly copiedTo: string;
  /** On `performance.now()`'s clock: no copy is begun afterwards. */
  readonly deadline: number;
  /** @param tenantId undefined: the region's key. */
  readonly onFailure: (tenantId: string | undefined, error: unknown) => void;
}

const KEYS_AT_ONCE = 50;
/** Copies of keys of regions that this container has made, or has found. */
const known = new Set<string>();

/**
 * May be repeated. Failures of single keys are reported; the next run tries them again.
 * @returns the number of tenants' keys that were copied.
 * @throws {RegistryError}
 */
export async function copyKeys(
  registry: RegistryExecutor,
  { region, regionKeyArn, copiedTo, deadline, onFailure }: CopyKeysOptions,
): Promise<number> {
  const copyOfRegion = `${regionKeyArn} ${copiedTo}`;
  if (!known.has(copyOfRegion)) {
    try {
      await copyKey(regionKeyArn, copiedTo, undefined);
      known.add(copyOfRegion);
    } catch (error) {
      onFailure(undefined, error);
    }
  }
  let copied = 0;
  const keys = await listUncopiedKeys(registry, { region, awsRegion: copiedTo, limit: KEYS_AT_ONCE });
  for (const { keyArn, tenantId } of keys) {
    if (performance.now() > deadline) break;
    try {
      await copyKey(keyArn, copiedTo, tenantId);
      await noteCopied(registry, keyArn, copiedTo);
      copied += 1;
    } catch (error) {
      onFailure(tenantId, error);
    }
  }
  return copied;
}
