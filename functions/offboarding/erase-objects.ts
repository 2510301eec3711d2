/**
 * Erases a tenant's objects in one bucket: backups of all tiers, exports, copies of audit seals; all versions and delete
 * markers. What Object Lock keeps is counted with its date, and deleted by the lifecycle rules after it.
 */
import type { ObjectStore, ObjectVersion } from '../aws/object-store.ts';
import { sealCopiesPrefix } from '../contracts/audit-copies.ts';
import { EXPORT_ROOT, FORMER_VERSION_DAYS, TIERS, tierPrefix } from '../contracts/backup-policy.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { ErasureIncomplete } from './errors.ts';
import { hasLateWriters } from './late-writers.ts';
import { type Kept, keepFound, mergeFact } from './offboarding-records.ts';

const DAY = 86_400_000;
const BATCH = 1_000;

/** Prefixes of a tenant's objects, by kind. */
const prefixesOf = (tenantId: string): readonly (readonly [kind: string, prefix: string])[] => [
  ...TIERS.map((tier) => ['objects of backups', `${tierPrefix(tier)}${tenantId}/`] as const),
  ['objects of exports', `${EXPORT_ROOT}${tenantId}/`],
  ['copies of audit seals', sealCopiesPrefix(tenantId)],
];

/** Versions of the tenant's objects, by kind. Kinds without any are left out. */
export async function countObjects(store: ObjectStore, tenantId: string): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const [kind, prefix] of prefixesOf(tenantId)) {
    let count = counts[kind] ?? 0;
    for await (const _ of store.versions(prefix)) count += 1;
    if (count > 0) counts[kind] = count;
  }
  return counts;
}

export interface ErasedObjects {
  /** False when the deadline came first: call it again. */
  readonly done: boolean;
  readonly kept: readonly Kept[];
}

/**
 * @param deadline on `performance.now()`'s clock.
 * @throws {ErasureIncomplete} S3 has refused to delete versions that are not locked.
 */
export async function eraseObjects(
  store: ObjectStore,
  tenantId: string,
  {
    name,
    deadline,
    now = new Date(),
  }: { readonly name: string; readonly deadline: number; readonly now?: Date },
): Promise<ErasedObjects> {
  /** Locked versions by the day after which their lock ends. */
  const locked = new Map<string, number>();
  for (const [kind, prefix] of prefixesOf(tenantId)) {
    for await (const batch of inBatches(store.versions(prefix))) {
      if (performance.now() > deadline) return { done: false, kept: [] };
      const refused = await store.deleteVersions(batch);
      for (const version of refused) {
        const until = await store.lockedUntil(version);
        if (until === undefined || until <= now)
          throw new ErasureIncomplete(name, { [kind]: refused.length });
        // The lifecycle rule deletes a former version some days after it has become one, and not before its lock ends.
        const gone = new Date(Math.max(until.getTime(), now.getTime() + FORMER_VERSION_DAYS * DAY) + DAY);
        const day = `${gone.toISOString().slice(0, 10)}T00:00:00.000Z`;
        locked.set(day, (locked.get(day) ?? 0) + 1);
      }
      // A marker makes the locked version a former one, and hides it.
      await store.delete([...new Set(refused.map(({ key }) => key))]);
    }
  }
  const kept = [...locked].sort().map(([until, count]) => ({
    what: 'versions of objects under Object Lock',
    count,
    until,
    why: 'Object Lock allows nobody to delete them before. They are encrypted, and the tenant’s rows in them are unreadable where the tenant had a key of its own.',
  }));
  return { done: true, kept };
}

export interface BucketErasure {
  readonly registry: RegistryExecutor;
  readonly offboardingId: string;
  readonly tenantId: string;
  /** On `performance.now()`'s clock. */
  readonly deadline: number;
}

/**
 * Erases the tenant's objects in all buckets of the region, and records what was found and kept. It begins when no function can
 * write an object of the tenant any more, so that the certificate lists everything.
 * @returns false while functions may write, or when the deadline came first: call it again.
 * @throws {ErasureIncomplete} and the errors of S3 and of the registry.
 */
export async function eraseStoredObjects(
  { registry, offboardingId, tenantId, deadline }: BucketErasure,
  stores: readonly ObjectStore[],
): Promise<boolean> {
  if (await hasLateWriters(registry, tenantId)) return false;
  for (const store of stores) {
    const name = `bucket ${store.bucket}`;
    await keepFound(registry, offboardingId, name, () => countObjects(store, tenantId));
    const { done, kept } = await eraseObjects(store, tenantId, { name, deadline });
    if (!done) return false;
    const left = await countObjects(store, tenantId);
    const locked = kept.reduce((sum, { count = 0 }) => sum + count, 0);
    const found = Object.values(left).reduce((sum, count) => sum + count, 0);
    // A locked version has one marker above it.
    if (found > 2 * locked) throw new ErasureIncomplete(name, left);
    await mergeFact(registry, offboardingId, name, { kept, verifiedAt: new Date().toISOString() });
  }
  return true;
}

async function* inBatches(versions: AsyncIterable<ObjectVersion>): AsyncGenerator<ObjectVersion[]> {
  let batch: ObjectVersion[] = [];
  for await (const version of versions) {
    batch.push(version);
    if (batch.length < BATCH) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}
