import type { ObjectStore } from '../aws/object-store.ts';
import { manifestKey } from './manifest.ts';

/**
 * Deletes all objects of a backup that has ended without success, or expired; the manifest first, so that what is left
 * is no backup. May run any number of times.
 * @param prefix of the one backup; ends with `/`.
 * @returns how many objects there were. @throws {TypeError} for another prefix, and S3's own errors.
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
