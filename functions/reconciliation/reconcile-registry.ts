/**
 * Compares the registry of a region with its databases and its backup bucket, tenant by tenant in the order of their
 * ids. With `apply`, it changes the registry to match them. It never changes a database or the bucket.
 *
 *   facts of a page of tenants ──▶ differences, logged ──▶ (apply) under the tenant's lock: the facts are read again;
 *   differences that are still there ──▶ mended and audited, in one transaction
 *
 * It may be stopped at any time and started again: a tenant is mended entirely or not at all, and a tenant that is
 * mended has no difference any more.
 */
import { logger } from '../aws/logger.ts';
import type { ObjectStore } from '../aws/object-store.ts';
import { NoCellCapacity } from '../placement/errors.ts';
import type { DedicatedDatabase } from '../places/dedicated-databases.ts';
import type { DataApi } from '../registry/data-api.ts';
import { RegistryError } from '../registry/errors.ts';
import { boundTransaction, lockByName } from '../registry/transaction-limits.ts';
import { addDifferences, type Difference, type Found } from './differences.ts';
import { RegistryWithoutCells } from './errors.ts';
import { type Judged, judgeTenant, type TenantFacts } from './judge-tenant.ts';
import { type FindSecret, mend, type Prepared, placeAt } from './mend-tenant.ts';
import { type ConnectAsOwner, listCellDatabases, RegionDatabases } from './region-databases.ts';
import { readRegistered, registeredAfter } from './registered-tenants.ts';
import { readManifests, storedBackupsOf, storedTenantsAfter } from './stored-backups.ts';

type Registry = Pick<DataApi, 'transaction' | 'query'>;

export interface Surroundings {
  readonly registry: Registry;
  readonly store: ObjectStore;
  readonly connect: ConnectAsOwner;
  readonly findSecret: FindSecret;
  /** Key of the region. */
  readonly region: string;
  readonly now?: () => Date;
  /** Which of the tenants other regions' registries have: the key of the region, by the tenant's id. */
  readonly findInOtherRegions?: (tenantIds: readonly string[]) => Promise<ReadonlyMap<string, string>>;
}

export interface PageRequest {
  readonly apply: boolean;
  /** Tenants are registered from their backups whose rows are lost. */
  readonly registerLost?: boolean;
  /** The last tenant that was compared. */
  readonly after: string | undefined;
  /** The dedicated databases after `after`, in the order of their tenants' ids. */
  readonly dedicated: { readonly databases: readonly DedicatedDatabase[]; readonly isLast: boolean };
  readonly found: Found;
  /** On `performance.now()`'s clock: no tenant is begun after it. */
  readonly deadline: number;
}

export interface ComparedPage {
  readonly done: boolean;
  readonly after?: string;
  readonly found: Found;
}

/** Bounded by the size of an answer: see `readRegistered`. */
const PAGE = 50;

/**
 * Compares tenants until the deadline, or until the last tenant of the listed dedicated databases.
 * @throws {RegistryWithoutCells}
 * @throws the errors of the registry, of S3 and of PostgreSQL; call it again.
 */
export async function reconcilePage(around: Surroundings, request: PageRequest): Promise<ComparedPage> {
  const { registry, store, connect, region } = around;
  const cells = await listCellDatabases(registry, region);
  if (cells.length === 0) throw new RegistryWithoutCells();
  const { dedicated } = request;
  const databases = new RegionDatabases(cells, dedicated.databases, connect);
  // The list of dedicated databases ends here; tenants after `bound` need the next part of the list.
  const bound = dedicated.isLast ? undefined : dedicated.databases.at(-1)?.tenantId;
  let { after, found } = request;
  try {
    if (after === undefined) found = addDifferences(found, await unreachableCells(databases, request), 0);
    for (;;) {
      const ids = await nextTenants(around, databases, { after, bound, dedicated: dedicated.databases });
      if (ids.length === 0) {
        return bound === undefined ? { done: true, found } : { done: false, after: bound, found };
      }
      const placements = await databases.placementsOf(ids);
      const registered = await readRegistered(registry, ids);
      const { registerLost = false } = request;
      const elsewhere = registerLost ? await around.findInOtherRegions?.(ids) : undefined;
      for (const tenantId of ids) {
        const facts: TenantFacts = {
          tenantId,
          region,
          registered: registered.get(tenantId),
          placements: placements.get(tenantId)?.placements ?? [],
          unreachable: placements.get(tenantId)?.unreachable ?? [],
          stored: await storedBackupsOf(store, tenantId),
          now: around.now?.() ?? new Date(),
          registerLost,
          otherRegion: elsewhere?.get(tenantId),
        };
        found = addDifferences(found, await compareTenant(around, databases, facts, request.apply), 1);
        after = tenantId;
        if (performance.now() > request.deadline) return { done: false, after, found };
      }
      await databases.endDedicated();
    }
  } finally {
    await databases.end();
  }
}

async function unreachableCells(databases: RegionDatabases, { apply }: PageRequest): Promise<Difference[]> {
  return (await databases.unreachableCells()).map(({ cellId }) => ({
    tenantId: null,
    kind: 'database-unreachable',
    says: `Cell ${cellId} cannot be reached: without it, no tenant's place is decided.`,
    mend: null,
    outcome: apply ? 'left' : 'found',
  }));
}

/** The next tenants of the registry, of a database or of the bucket. */
async function nextTenants(
  { registry, store }: Surroundings,
  databases: RegionDatabases,
  {
    after,
    bound,
    dedicated,
  }: {
    readonly after: string | undefined;
    readonly bound: string | undefined;
    readonly dedicated: readonly DedicatedDatabase[];
  },
): Promise<string[]> {
  const lists = [
    await registeredAfter(registry, after, PAGE),
    await databases.tenantsAfter(after, PAGE),
    await storedTenantsAfter(store, after, PAGE),
    dedicated.map(({ tenantId }) => tenantId),
  ];
  return [...new Set(lists.flat())]
    .filter((id) => (after === undefined || id > after) && (bound === undefined || id <= bound))
    .sort()
    .slice(0, PAGE);
}

async function compareTenant(
  around: Surroundings,
  databases: RegionDatabases,
  facts: TenantFacts,
  apply: boolean,
): Promise<Difference[]> {
  const judged = judgeTenant(facts);
  for (const { tenantId, kind, says, mend: planned } of judged) {
    logger.warn('difference', { tenantId, kind, says, mend: planned?.words ?? null });
  }
  const mended =
    apply && judged.some((each) => each.mend) ? await mendTenant(around, databases, facts, judged) : [];
  return judged.map((each) => ({
    tenantId: each.tenantId,
    kind: each.kind,
    says: each.says,
    mend: each.mend?.words ?? null,
    outcome: mended.includes(keyOf(each)) ? 'mended' : apply ? 'left' : 'found',
  }));
}

/** @returns keys of the differences that were mended. */
async function mendTenant(
  around: Surroundings,
  databases: RegionDatabases,
  facts: TenantFacts,
  judged: readonly Judged[],
): Promise<string[]> {
  const { registry } = around;
  const { tenantId } = facts;
  const prepared = await prepare(around, databases, facts, judged);
  try {
    const mended = await registry.transaction(async (transaction) => {
      await boundTransaction(transaction);
      // A lock by name, because a tenant that is missing in the registry has no row to lock.
      await lockByName(transaction, `reconcile ${tenantId}`);
      const registered = (await readRegistered(transaction, [tenantId], { lock: true })).get(tenantId);
      const { placements = [], unreachable = [] } =
        (await databases.placementsOf([tenantId])).get(tenantId) ?? {};
      const current = judgeTenant({ ...facts, registered, placements, unreachable });
      const keys = current.map(keyOf);
      const done: string[] = [];
      for (const each of judged) {
        if (!keys.includes(keyOf(each))) continue;
        // The place comes first: if the tenant's row was not restored, the records of its backups cannot be inserted.
        if (!registered && done.length === 0 && each.mend?.work.do === 'record-backup') break;
        if (await mend(transaction, each, registered, prepared)) done.push(keyOf(each));
      }
      return done;
    });
    for (const key of mended) logger.info('mended', { tenantId, difference: key });
    return mended;
  } catch (error) {
    // An operator has to decide. Continue with the next tenants.
    const why =
      error instanceof RegistryError && error.sqlState === '23505'
        ? 'its slug or name is taken'
        : error instanceof NoCellCapacity
          ? 'no cell has room for it'
          : undefined;
    if (why === undefined) throw error;
    logger.error(`a tenant was not mended: ${why}`, { tenantId, error: error as Error });
    return [];
  }
}

async function prepare(
  { store, region, findSecret }: Surroundings,
  databases: RegionDatabases,
  { tenantId, registered, stored }: TenantFacts,
  judged: readonly Judged[],
): Promise<Prepared> {
  const works = judged.flatMap((each) => (each.mend ? [each.mend.work] : []));
  const placed = works.find((work) => 'placement' in work);
  const needed = works.some((work) => work.do === 'register' || work.do === 'register-lost')
    ? stored.filter(({ completedAt }) => completedAt !== null)
    : works.flatMap((work) => (work.do === 'record-backup' ? [work.backup] : []));
  const manifests = await readManifests(store, needed);
  if (!placed) return { place: undefined, manifests };
  const poolSize = registered?.route?.poolSize;
  const place = await placeAt(databases, placed.placement, { tenantId, region, poolSize, findSecret }).catch(
    (error: unknown) => {
      if ((error as Error).name !== 'ResourceNotFoundException') throw error;
      logger.error('a tenant was not mended: its role has no secret', { tenantId, error: error as Error });
      return undefined;
    },
  );
  return { place, manifests };
}

/** Identifies a difference, to find it again under the tenant's lock. */
function keyOf({ tenantId, kind, mend: planned }: Judged): string {
  const work = planned?.work;
  if (!work) return `${tenantId} ${kind}`;
  if (work.do === 'register-lost') return `${tenantId} ${kind} ${work.do}`;
  const what = work.do === 'record-backup' ? work.backup.prefix : work.placement.epoch;
  return `${tenantId} ${kind} ${work.do} ${what}`;
}
