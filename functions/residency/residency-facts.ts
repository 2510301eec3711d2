/**
 * What the registries have of a tenant's data: its place and former ones, backups, exports, keys, users. A record of a
 * backup, an export, a key or a move stays in the region where it was made, so every region's registry is read.
 */
import { sql } from 'kysely';
import type { DatabaseSize } from '../contracts/database-size.ts';
import type { KeptStore } from '../contracts/erasure-certificate.ts';
import type { IsolationModel, Tier } from '../contracts/tenant.ts';
import { databaseSizeOf, type Place } from '../places/place.ts';
import { askRegions, type Regions } from '../registry/ask-region.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { getCertificate } from '../registry/offboardings.ts';
import { parseJson } from '../registry/registry-column.ts';
import { now, rfc3339 } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';
import type { TenantRecord } from '../registry/tenant-record.ts';
import { ResourceNotFound } from '../resources/errors.ts';

/** A place that the tenant has, has left, or is moving to. */
export interface KnownPlace {
  readonly isolationModel: IsolationModel;
  readonly region: string;
  readonly cellId: string | null;
  readonly databaseSize: DatabaseSize | null;
  readonly clusterArn: string | null;
  readonly hasReaders: boolean;
}

/** A hop of a move or restore. Times are RFC 3339. */
export interface KnownHop {
  readonly state: 'working' | 'committed' | 'settled' | 'cleaned' | 'rolling-back' | 'mismatch';
  /** A restore: its source is kept for an undo. */
  readonly isRestore: boolean;
  readonly source: KnownPlace;
  readonly target: KnownPlace;
  readonly committedAt: string | null;
  /** Of the last change: the clean-up of a hop that is `cleaned`. */
  readonly changedAt: string;
  /** Name of the final snapshot of a dedicated database that was deleted. */
  readonly snapshot: string | null;
  /** Shared tables of the source that are empty, and still have samples of the tenant's columns. */
  readonly samplesIn: readonly string[];
}

/** Backups of one tier in one region's bucket, and the same of exports, which have no tier. */
export interface StoredObjects {
  readonly region: string;
  readonly tier: Tier | null;
  readonly count: number;
  readonly bytes: number;
  readonly lastExpiresAt: string;
}

export interface ResidencyFacts {
  readonly tenant: Pick<
    TenantRecord,
    | 'tenantId'
    | 'slug'
    | 'tier'
    | 'isolationModel'
    | 'status'
    | 'dataResidency'
    | 'complianceRequirements'
    | 'region'
  >;
  /** Undefined while it is onboarded, and for an offboarded tenant. */
  readonly place: KnownPlace | undefined;
  readonly hops: readonly KnownHop[];
  readonly backups: readonly StoredObjects[];
  readonly exports: readonly StoredObjects[];
  /** Keys of its own for encrypted fields, by region. */
  readonly keys: readonly { readonly region: string; readonly keyArn: string }[];
  /** Copies of clusters that restores to a point in time are using, by region. */
  readonly sideClusters: readonly { readonly region: string; readonly since: string }[];
  readonly users: number;
  /** What the certificate of an erased tenant lists as kept; undefined before there is one. */
  readonly kept: readonly KeptStore[] | undefined;
}

/** @throws {RegionUnavailable} and {@link RegistryError} */
export async function readResidencyFacts(
  registries: Regions,
  registry: RegistryExecutor,
  tenant: ResidencyFacts['tenant'],
): Promise<ResidencyFacts> {
  const { tenantId } = tenant;
  const { place, users } = await readPlace(registry, tenantId);
  const records = await askRegions(registries, registries.keys, (each) => readRecords(each, tenantId));
  const inRegion = <Row>(pick: (records: Records) => readonly Row[]) =>
    records.flatMap((each, index) =>
      pick(each).map((row) => ({ region: registries.keys[index] as string, ...row })),
    );
  return {
    tenant,
    place,
    users,
    kept: tenant.status === 'offboarded' ? await readKept(registry, tenantId) : undefined,
    hops: records.flatMap(({ hops }) => hops),
    backups: inRegion(({ backups }) => backups),
    exports: inRegion((each) => each.exports),
    keys: inRegion(({ keys }) => keys),
    sideClusters: inRegion(({ sideClusters }) => sideClusters),
  };
}

/** undefined while the erasure is under way. */
async function readKept(
  registry: RegistryExecutor,
  tenantId: string,
): Promise<readonly KeptStore[] | undefined> {
  try {
    return (await getCertificate(registry, tenantId)).certificate.kept;
  } catch (error) {
    if (error instanceof ResourceNotFound) return undefined;
    throw error;
  }
}

async function readPlace(registry: RegistryExecutor, tenantId: string) {
  const db = registrySql(registry);
  const row = await db
    .selectFrom('tenants as t')
    .leftJoin('tenant_database_routing as r', 'r.tenant_id', 't.tenant_id')
    .leftJoin('cells as c', 'c.cell_id', 'r.cell_id')
    .select(['r.isolation_model', 'r.region', 'r.cell_id', 'r.read_replica_host', 't.database_size'])
    .select((eb) => [
      eb.fn.coalesce('c.cluster_arn', 'r.cluster_arn').as('cluster_arn'),
      eb
        .selectFrom('tenant_users as u')
        .select((each) => each.fn.countAll<number>().as('users'))
        .where('u.tenant_id', '=', tenantId)
        .$asScalar()
        .$notNull()
        .as('users'),
    ])
    .where('t.tenant_id', '=', tenantId)
    .executeTakeFirst();
  const { isolation_model: isolationModel, region } = row ?? {};
  const place: KnownPlace | undefined =
    row && isolationModel && region
      ? {
          isolationModel,
          region,
          cellId: row.cell_id,
          databaseSize:
            isolationModel === 'dedicated' ? databaseSizeOf({ ...sizeOf(row.database_size) }) : null,
          clusterArn: row.cluster_arn,
          hasReaders: row.read_replica_host !== null,
        }
      : undefined;
  return { place, users: row?.users ?? 0 };
}

const sizeOf = (databaseSize: DatabaseSize | null) => (databaseSize === null ? {} : { databaseSize });

type Records = Awaited<ReturnType<typeof readRecords>>;

/** Hops whose source left nothing, or is forgotten by every backup, are left out: so many days after their clean-up. */
const FORGOTTEN_DAYS = 400;

async function readRecords(registry: RegistryExecutor, tenantId: string) {
  const db = registrySql(registry);
  const hops = await db
    .selectFrom('tenant_move_hops as h')
    .innerJoin('tenant_moves as m', 'm.move_id', 'h.move_id')
    .select(['h.state', 'h.source', 'h.target'])
    .select((eb) => [
      eb('h.filling', 'is not', null).$castTo<boolean>().as('is_restore'),
      rfc3339(eb.ref('h.committed_at')).as('committed_at'),
      rfc3339(eb.ref('h.updated_at')).as('updated_at'),
      sql<string | null>`h.result -> 'deletedDatabase' ->> 'snapshot'`.as('snapshot'),
      sql<string | null>`cast(h.result -> 'samplesIn' as text)`.as('samples_in'),
    ])
    .where('h.tenant_id', '=', tenantId)
    .where('h.state', '<>', 'rolled-back')
    .where((eb) =>
      eb.or([
        eb('h.state', '<>', 'cleaned'),
        sql<boolean>`h.result -> 'deletedDatabase' is not null`,
        sql<boolean>`h.result #>> '{samplesIn,0}' is not null`,
        sql<boolean>`h.updated_at > now() - ${sql.lit(FORGOTTEN_DAYS)} * interval '24 hours'`,
      ]),
    )
    .orderBy('h.created_at')
    .orderBy('h.hop_index')
    .limit(500)
    .execute();
  const backups = await db
    .selectFrom('tenant_backups as b')
    .select((eb) => [
      'b.tier',
      eb.fn.countAll<number>().as('count'),
      sql<number>`cast(coalesce(sum(b.bytes), 0) as bigint)`.as('bytes'),
      rfc3339(eb.fn.max('b.expires_at').$notNull()).as('lastExpiresAt'),
    ])
    .where('b.tenant_id', '=', tenantId)
    .where('b.status', '<>', 'expired')
    .where('b.expires_at', '>', now)
    .groupBy('b.tier')
    .orderBy('b.tier')
    .execute();
  const exports = await db
    .selectFrom('tenant_exports as e')
    .select((eb) => [
      eb.fn.countAll<number>().as('count'),
      sql<number>`cast(coalesce(sum(e.bytes), 0) as bigint)`.as('bytes'),
      rfc3339(eb.fn.max('e.expires_at').$notNull()).as('lastExpiresAt'),
    ])
    .where('e.tenant_id', '=', tenantId)
    .where('e.expires_at', '>', now)
    .having((eb) => eb.fn.countAll(), '>', 0)
    .execute();
  const keys = await db
    .selectFrom('tenant_field_keys')
    .select('key_arn as keyArn')
    .where('tenant_id', '=', tenantId)
    .orderBy('created_at')
    .execute();
  const sideClusters = await db
    .selectFrom('tenant_backups as b')
    .select((eb) => rfc3339(eb.ref('b.started_at')).as('since'))
    .where('b.tenant_id', '=', tenantId)
    .where('b.status', '=', 'running')
    .where('b.restore_id', 'is not', null)
    .execute();
  return {
    hops: hops.map(
      (row): KnownHop => ({
        state: row.state as KnownHop['state'],
        isRestore: row.is_restore,
        source: knownPlace(parseJson(row.source) as Place),
        target: knownPlace(parseJson(row.target) as Place),
        committedAt: row.committed_at,
        changedAt: row.updated_at,
        snapshot: row.snapshot,
        samplesIn: row.samples_in === null ? [] : (JSON.parse(row.samples_in) as string[]),
      }),
    ),
    backups,
    exports: exports.map((row) => ({ ...row, tier: null })),
    keys,
    sideClusters,
  };
}

function knownPlace(place: Place): KnownPlace {
  const { isolationModel, region, cellId, clusterArn, readerHost } = place;
  const databaseSize = isolationModel === 'dedicated' ? databaseSizeOf(place) : null;
  return { isolationModel, region, cellId, databaseSize, clusterArn, hasReaders: readerHost != null };
}
