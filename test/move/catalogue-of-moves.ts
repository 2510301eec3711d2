import type pg from 'pg';
import { tenantTableOrder } from '../../functions/database/tables/tenant-tables.ts';

/**
 * Everything in a database, and of its server's roles, that a move of the tenant could leave behind, a line each:
 * compare it before and after. Rows of the shared tables count where the tenant does not live in them.
 * @param superuser sees all rows, whatever the policies.
 */
export async function catalogueOfMoves(superuser: pg.Client, tenantId: string): Promise<string[]> {
  const compact = tenantId.replaceAll('-', '');
  const { rows } = await superuser.query<{ line: string }>(
    `SELECT 'schema ' || nspname AS line FROM pg_namespace WHERE nspname LIKE 'tenant%'
     UNION ALL SELECT 'role ' || rolname FROM pg_roles WHERE rolname LIKE '%' || $1 || '%'
     UNION ALL SELECT format('trigger %s on %s', tgname, tgrelid::regclass) FROM pg_trigger WHERE NOT tgisinternal
     UNION ALL SELECT format('placement %s', to_jsonb(p) - 'tenant_id') FROM tenancy.placement p WHERE tenant_id = $2
     UNION ALL SELECT format('noted %s %s', table_name, row_key) FROM tenancy.captured_changes WHERE tenant_id = $2
     UNION ALL SELECT 'publication ' || pubname FROM pg_publication
     UNION ALL SELECT 'subscription ' || subname FROM pg_subscription s
       JOIN pg_database d ON d.oid = subdbid WHERE datname = current_database()
     UNION ALL SELECT 'slot ' || slot_name FROM pg_replication_slots WHERE database = current_database()
     UNION ALL SELECT format('advisory lock %s %s', classid, objid) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
       WHERE locktype = 'advisory' AND datname = current_database() AND granted
     ORDER BY 1`,
    [compact, tenantId],
  );
  const lines = rows.map(({ line }) => line);
  for (const table of tenantTableOrder) {
    const { rows: counted } = await superuser.query<{ rows: number }>(
      `SELECT count(*)::int AS rows FROM shared.${table} WHERE tenant_id = $1`,
      [tenantId],
    );
    lines.push(`shared.${table}: ${counted[0]?.rows}`);
  }
  return lines;
}
