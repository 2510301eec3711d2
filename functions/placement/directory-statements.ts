/**
 * The tenant directory's queries, and what it makes of their rows. They are compiled once per container, because a request
 * waits for them.
 */
import { type Expression, type InferResult, sql } from 'kysely';
import type { FeatureFlags } from '../contracts/features.ts';
import { tierTerms } from '../contracts/tier-terms.ts';
import { asText } from '../registry/registry-expressions.ts';
import { CompiledOnce, compilingOnly, type RegistrySql } from '../registry/registry-sql.ts';
import type { DirectoryEntry, TenantLimits } from './directory-entry.ts';
import { parseNextPlace, type RoutingRow, toPlacement } from './placement.ts';

/**
 * The target of the tenant's move once its data is copied, as JSON. From then on the role can log in, and the cut-over
 * is near.
 */
const nextPlaceOf = (tenantId: Expression<string>) =>
  compilingOnly
    .selectFrom('tenant_move_hops as h')
    .innerJoin('tenant_moves as m', 'm.move_id', 'h.move_id')
    .select('h.target')
    .where('h.tenant_id', '=', tenantId)
    .where('h.state', '=', 'working')
    .where('m.status', '=', 'running')
    .where('m.phase', 'in', ['index', 'catch-up', 'cut-over'])
    .limit(1);

const ownKeyOf = (tenantId: Expression<string>) =>
  compilingOnly
    .selectFrom('tenant_field_keys as k')
    .select('k.key_arn')
    .where('k.tenant_id', '=', tenantId)
    .where('k.retired_at', 'is', null)
    .limit(1);

const plainRows = (db: RegistrySql) =>
  db
    .selectFrom('tenants as t')
    .leftJoin('tenant_database_routing as r', 'r.tenant_id', 't.tenant_id')
    .select(['t.tenant_id', 't.tenant_slug', 't.status', 't.home_region', 't.subscription_tier'])
    .select(['r.epoch', 'r.isolation_model', 'r.region', 'r.database_host', 'r.database_port'])
    .select(['r.database_name', 'r.secret_arn', 'r.connection_pool_size', 'r.cell_id']);

/** Larger features, which an older version stored, do not fit into a row of the Data API beside the rest. */
const MAX_FEATURES = 32_768;

const unlimitedRows = (db: RegistrySql) =>
  plainRows(db).select((eb) => [
    eb
      .case()
      .when('r.isolation_model', '=', 'shared')
      // Starter tenants share their cell's tables.
      .then(eb.selectFrom('cells as c').select('c.schema_version').whereRef('c.cell_id', '=', 'r.cell_id'))
      .else(eb.ref('r.schema_version'))
      .end()
      .as('schema_version'),
    nextPlaceOf(eb.ref('t.tenant_id')).as('next_place'),
    ownKeyOf(eb.ref('t.tenant_id')).as('field_key_arn'),
    eb.ref('r.read_replica_host').as('read_replica_host'),
  ]);

const wholeRows = (db: RegistrySql) =>
  unlimitedRows(db)
    .select(['t.max_storage_gb', 't.request_rate', 't.request_burst'])
    .select((eb) => {
      const features = asText(eb.ref('t.features'));
      return [
        eb
          .case()
          .when(sql<number>`octet_length(${features})`, '<=', sql.lit(MAX_FEATURES))
          .then(features)
          .end()
          .as('features'),
        // By the last measurement.
        eb
          .selectFrom('usage_samples as s')
          .select('s.storage_bytes')
          .whereRef('s.tenant_id', '=', 't.tenant_id')
          .orderBy('s.sampled_on', 'desc')
          .limit(1)
          .as('storage_bytes'),
      ];
    });

type PlainRow = InferResult<ReturnType<typeof plainRows>>[number];
/** What `plainRows` does not select is missing while the registry does not have it yet. */
export type DirectoryRow = PlainRow & Partial<InferResult<ReturnType<typeof wholeRows>>[number]>;

type Reference = { readonly reference: string };

/** Statements from the newest: a registry that an earlier release has made takes a later one of them. */
const tenantBy = (column: 't.tenant_id' | 't.tenant_slug') => [
  new CompiledOnce((db, { reference }: Reference) => wholeRows(db).where(column, '=', reference)),
  new CompiledOnce((db, { reference }: Reference) => unlimitedRows(db).where(column, '=', reference)),
  new CompiledOnce((db, { reference }: Reference) => plainRows(db).where(column, '=', reference)),
];

export const byId = tenantBy('t.tenant_id');
export const bySlug = tenantBy('t.tenant_slug');

export const activeMember = new CompiledOnce((db, { tenantId, email }: { tenantId: string; email: string }) =>
  db
    .selectFrom('tenant_users')
    .select(['user_id', 'role'])
    .where('tenant_id', '=', tenantId)
    .where('email', '=', email)
    .where('is_active', '=', sql.lit(true)),
);

export const apiUrlOfRegion = new CompiledOnce((db, { regionKey }: { regionKey: string }) =>
  db.selectFrom('regions').select('api_url').where('region_key', '=', regionKey),
);

/** A tenant as the directory has it. */
export function toEntry(row: DirectoryRow): DirectoryEntry {
  return {
    tenantId: row.tenant_id,
    slug: row.tenant_slug,
    tier: row.subscription_tier,
    cellId: row.cell_id ?? undefined,
    status: row.status,
    homeRegion: row.home_region,
    fieldKeyArn: row.field_key_arn ?? undefined,
    limits: limitsOf(row),
    features: row.features ? (JSON.parse(row.features) as FeatureFlags) : undefined,
    next: row.next_place ? parseNextPlace(row.next_place) : undefined,
    placement: row.status !== 'elsewhere' && isPlaced(row) ? toPlacement(row) : undefined,
  };
}

function limitsOf(row: DirectoryRow): TenantLimits | undefined {
  const { subscription_tier: tier, storage_bytes: bytes, max_storage_gb: limit } = row;
  // The registry does not have it yet.
  if (row.request_rate === undefined) return undefined;
  const { requestRate, requestBurst } = tierTerms[tier];
  return {
    rate: row.request_rate ?? requestRate,
    burst: row.request_burst ?? requestBurst,
    isFull: bytes != null && limit != null && Number(bytes) > limit * 1024 ** 3,
  };
}

/** A routing row has all of these columns; a tenant without a place has none of them. */
function isPlaced(row: DirectoryRow): row is DirectoryRow & RoutingRow {
  return row.isolation_model !== null && row.epoch !== null && row.secret_arn !== null;
}
