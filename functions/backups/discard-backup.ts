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

/**
 * Deletes the objects of backups that have no manifest and whose last object was written before `olderThan`: uploads of
 * workers that nobody heard of again. A running backup writes an object every few seconds.
 * @param root such as `tenant-backups/starter/`.
 * @returns the prefixes that were deleted.
 */
export async function collectGarbage(store: ObjectStore, root: string, olderThan: Date): Promise<string[]> {
  const collected: string[] = [];
  let current: { prefix: string; complete: boolean; last: Date } | undefined;
  const settle = async () => {
    if (!current || current.complete || current.last >= olderThan) return;
    await discardBackup(store, current.prefix);
    collected.push(current.prefix);
  };
  // Keys come in order, so all of a backup's come together.
  for await (const { key, lastModified } of store.list(root)) {
    const prefix = key.slice(0, key.lastIndexOf('/') + 1);
    if (prefix !== current?.prefix) {
      await settle();
      current = { prefix, complete: false, last: lastModified };
    }
    if (key === manifestKey(prefix)) current.complete = true;
    if (lastModified > current.last) current.last = lastModified;
  }
  await settle();
  return collected;
}
