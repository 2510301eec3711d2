import type { ObjectStore } from '../aws/object-store.ts';
import { manifestKey } from './manifest.ts';

/** What a single call deletes before it answers that there is more. */
const DELETE_AT_ONCE = 1_000;

/**
 * Phase `discard`: deletes all objects of a backup that has ended without success, or expired; the manifest first, so that
 * what is left is no backup. May run any number of times.
 * @param prefix of the one backup; ends with `/`.
 */
export async function discardBackup(store: ObjectStore, prefix: string): Promise<void> {
  if (!/^tenant-backups\/[a-z]+\/[0-9a-f-]{36}\/[0-9a-f-]{36}\/$/.test(prefix))
    throw new TypeError('not the prefix of one backup');
  await store.delete([manifestKey(prefix)]);
  let keys: string[] = [];
  for await (const { key } of store.list(prefix)) {
    keys.push(key);
    if (keys.length === DELETE_AT_ONCE) {
      await store.delete(keys);
      keys = [];
    }
  }
  if (keys.length > 0) await store.delete(keys);
}
