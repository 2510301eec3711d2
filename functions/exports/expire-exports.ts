/**
 * Deletes exports past `expires_at` (objects before rows), and the objects of exports that failed or were aborted. On
 * AWS the bucket's lifecycle rule also deletes objects by age. The local S3 stores lifecycle rules without enforcing
 * them.
 */
import type { ObjectStore } from '../aws/object-store.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { columnValue, now as registryNow } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';

export interface ExpireExportsOptions {
  /** Key of the region; `store` is this region's bucket. */
  readonly region: string;
  readonly now: Date;
  /** On `performance.now()`'s clock: no deletion is begun after it. */
  readonly deadline: number;
}

const BATCH = 100;
const HOUR = 3_600_000;

/** @returns false if the deadline came first: call again. @throws the errors of the registry and of S3. */
export async function expireExports(
  registry: RegistryExecutor,
  store: ObjectStore,
  { region, now, deadline }: ExpireExportsOptions,
): Promise<boolean> {
  const inTime = () => performance.now() < deadline;
  const time = (at: Date) => columnValue('tenant_exports.expires_at', at.toISOString());
  const some = () =>
    registrySql(registry)
      .selectFrom('tenant_exports')
      .select(['export_id', 'prefix'])
      .where('region', '=', region)
      .limit(BATCH);
  while (inTime()) {
    const expired = await some()
      .where('status', '<>', 'running')
      .where('expires_at', '<=', time(now))
      .execute();
    for (const { export_id: exportId, prefix } of expired) {
      if (!inTime()) return false;
      await discardExport(store, prefix);
      await registrySql(registry).deleteFrom('tenant_exports').where('export_id', '=', exportId).execute();
    }
    if (expired.length < BATCH) break;
  }
  while (inTime()) {
    // Only exports that ended an hour ago: a call that has not noticed the end may still write an object.
    const unsuccessful = await some()
      .where('status', 'in', ['failed', 'aborted'])
      .where('phase', '<>', 'discarded')
      .where('finished_at', '<', time(new Date(now.getTime() - HOUR)))
      .execute();
    for (const { export_id: exportId, prefix } of unsuccessful) {
      if (!inTime()) return false;
      await discardExport(store, prefix);
      await registrySql(registry)
        .updateTable('tenant_exports')
        .set({ phase: 'discarded', updated_at: registryNow })
        .where('export_id', '=', exportId)
        .execute();
    }
    if (unsuccessful.length < BATCH) break;
  }
  return inTime();
}

/** Deletes all objects of one export. Idempotent. @throws {TypeError} `prefix` is not the prefix of one export. */
export async function discardExport(store: ObjectStore, prefix: string): Promise<void> {
  if (!/^tenant-exports\/[0-9a-f-]{36}\/[0-9a-f-]{36}\/$/.test(prefix))
    throw new TypeError('not the prefix of one export');
  const keys: string[] = [];
  for await (const { key } of store.list(prefix)) keys.push(key);
  if (keys.length > 0) await store.delete(keys);
}
