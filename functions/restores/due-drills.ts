import { sql } from 'kysely';
import { DRILL_DAYS } from '../contracts/backup-policy.ts';
import { IN_USE } from '../contracts/tenant.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import type { TimeWithoutZone } from '../registry/registry-column.ts';
import { registrySql } from '../registry/registry-sql.ts';
import type { Drilled } from './drill-backup.ts';

/**
 * A run drills one of `SHARE` tenants: with a run each day, every tenant has a drill well before its last one is too
 * old.
 */
const SHARE = DRILL_DAYS / 2;
const AT_LEAST = 20;
/** A state of Step Functions is limited to 256 KiB. */
const AT_MOST = 1_000;

/**
 * Lists the latest backup of each tenant of the region whose last drill is too old or did not pass. Tenants without a
 * drill come first.
 * @returns at most as many as one run may take.
 */
export async function listDueDrills(registry: RegistryExecutor, region: string): Promise<Drilled[]> {
  const db = registrySql(registry);
  const { tenants } = await db
    .selectFrom('tenant_database_routing')
    .select((eb) => eb.fn.countAll<number>().as('tenants'))
    .where('region', '=', region)
    .executeTakeFirstOrThrow();
  const limit = Math.min(AT_MOST, Math.max(AT_LEAST, Math.ceil(Number(tenants) / SHARE)));
  const rows = await db
    .selectFrom('tenants as t')
    .innerJoin('tenant_database_routing as r', 'r.tenant_id', 't.tenant_id')
    .select('t.tenant_id')
    .select((eb) =>
      eb
        .selectFrom('tenant_backups as b')
        .select('b.backup_id')
        .whereRef('b.tenant_id', '=', 't.tenant_id')
        .whereRef('b.region', '=', 'r.region')
        .where('b.status', '=', 'succeeded')
        .where('b.expires_at', '>', sql<TimeWithoutZone>`now() + interval '1 hour'`)
        .orderBy('b.started_at', 'desc')
        .limit(1)
        .$asScalar()
        .as('backup_id'),
    )
    .where('r.region', '=', region)
    .where('t.status', 'in', IN_USE)
    .where(
      sql<boolean>`(t.last_drill is null or t.last_drill ->> 'status' <> 'passed'
        or cast(t.last_drill ->> 'at' as timestamptz) < now() - ${sql.lit(DRILL_DAYS)} * interval '24 hours')`,
    )
    .orderBy(sql`t.last_drill ->> 'at'`, (order) => order.asc().nullsFirst())
    .orderBy('t.tenant_id')
    .limit(limit)
    .execute();
  // A tenant may have no backup yet.
  return rows.flatMap(({ tenant_id: tenantId, backup_id: backupId }) =>
    backupId === null ? [] : [{ tenantId, backupId }],
  );
}
