/** The tenant directory's queries. They are compiled once per container, because a request waits for them. */
import { type Expression, type InferResult, sql } from 'kysely';
import { CompiledOnce, compilingOnly, type RegistrySql } from '../registry/registry-sql.ts';

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
    .select(['t.tenant_id', 't.tenant_slug', 't.status', 't.home_region'])
    .select(['r.epoch', 'r.isolation_model', 'r.region', 'r.database_host', 'r.database_port'])
    .select(['r.database_name', 'r.secret_arn', 'r.connection_pool_size']);

const wholeRows = (db: RegistrySql) =>
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

type PlainRow = InferResult<ReturnType<typeof plainRows>>[number];
/** `schema_version`, `next_place` and `field_key_arn` are missing while the registry does not have them yet. */
export type DirectoryRow = PlainRow & Partial<InferResult<ReturnType<typeof wholeRows>>[number]>;

export const byId = {
  whole: new CompiledOnce((db, { reference }: { reference: string }) =>
    wholeRows(db).where('t.tenant_id', '=', reference),
  ),
  plain: new CompiledOnce((db, { reference }: { reference: string }) =>
    plainRows(db).where('t.tenant_id', '=', reference),
  ),
};

export const bySlug = {
  whole: new CompiledOnce((db, { reference }: { reference: string }) =>
    wholeRows(db).where('t.tenant_slug', '=', reference),
  ),
  plain: new CompiledOnce((db, { reference }: { reference: string }) =>
    plainRows(db).where('t.tenant_slug', '=', reference),
  ),
};

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
