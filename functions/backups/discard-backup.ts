import type { ObjectStore } from '../aws/object-store.ts';
import { manifestKey } from './manifest.ts';

/**
 * Deletes all objects of a backup that expired or ended without success. The manifest is deleted first: without it, the
 * remaining objects are no backup. Idempotent.
 * @param prefix of one backup; ends with `/`.
 * @returns the number of deleted objects.
 * @throws {TypeError} `prefix` is not the prefix of one backup. @throws S3's errors.
 */
export async function discardBackup(store: ObjectStore, prefix: string): Promise<number> {
  if (!/^tenant-backups\/[a-z]+\/[0-9a-f-]{36}\/[0-9a-f-]{36}\/$/.test(prefix))
    throw new TypeError('not the prefix of one backup');
  const keys: string[] = [];
  for await (const { key } of store.list(prefix)) keys.push(key);
  const manifest = manifestKey(prefix);
  if (keys.includes(manifest)) await store.delete([manifest]);
  const others = keys.filter((key) => key !== manifest);
  if (others.length > 0) await store.delete(others);
  return keys.length;
}
