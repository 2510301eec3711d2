/** What PostgreSQL's catalogue says of the tables of one schema; partitions are left out. */
import type pg from 'pg';

export interface CatalogueTable {
  readonly name: string;
  readonly columns: readonly CatalogueColumn[];
  /** Definitions in PostgreSQL's words, by kind. */
  readonly primaryKey: string | null;
  readonly uniques: readonly string[];
  readonly foreignKeys: readonly CatalogueForeignKey[];
  readonly checks: readonly string[];
  readonly indexes: readonly string[];
  readonly triggers: readonly string[];
  /** `role: privileges`, also of single columns. */
  readonly grants: readonly { readonly role: string; readonly privileges: string }[];
  readonly rowSecurity: 'none' | 'enabled' | 'forced';
}

export interface CatalogueColumn {
  readonly name: string;
  readonly type: string;
  readonly nullable: boolean;
  readonly default: string | null;
}

export interface CatalogueForeignKey {
  readonly columns: readonly string[];
  readonly references: string;
  readonly definition: string;
}

const TABLES = `
SELECT c.relname AS name,
  CASE WHEN c.relforcerowsecurity THEN 'forced' WHEN c.relrowsecurity THEN 'enabled' ELSE 'none' END AS "rowSecurity",
  (SELECT jsonb_agg(jsonb_build_object('name', a.attname, 'type', format_type(a.atttypid, a.atttypmod),
      'nullable', NOT a.attnotnull, 'default',
      CASE a.attidentity WHEN 'a' THEN 'generated always as identity' ELSE pg_get_expr(d.adbin, d.adrelid) END)
      ORDER BY a.attnum)
     FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns,
  (SELECT pg_get_constraintdef(k.oid) FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'p') AS "primaryKey",
  (SELECT coalesce(jsonb_agg(pg_get_constraintdef(k.oid) ORDER BY k.conname), '[]')
     FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'u') AS uniques,
  (SELECT coalesce(jsonb_agg(pg_get_constraintdef(k.oid) ORDER BY k.conname), '[]')
     FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'c') AS checks,
  (SELECT coalesce(jsonb_agg(jsonb_build_object('definition', pg_get_constraintdef(k.oid), 'references', r.relname,
      'columns', (SELECT jsonb_agg(a.attname) FROM unnest(k.conkey) AS n JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = n))
      ORDER BY k.conname), '[]')
     FROM pg_constraint k JOIN pg_class r ON r.oid = k.confrelid
    WHERE k.conrelid = c.oid AND k.contype = 'f' AND k.conparentid = 0) AS "foreignKeys",
  (SELECT coalesce(jsonb_agg(pg_get_indexdef(i.indexrelid) ORDER BY x.relname), '[]')
     FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
    WHERE i.indrelid = c.oid AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x'))) AS indexes,
  (SELECT coalesce(jsonb_agg(pg_get_triggerdef(t.oid, true) ORDER BY t.tgname), '[]')
     FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal) AS triggers,
  (SELECT coalesce(jsonb_agg(jsonb_build_object('role', role, 'privileges', privileges) ORDER BY role), '[]') FROM (
     SELECT role, string_agg(privilege, ', ' ORDER BY rank, privilege) AS privileges FROM (
       SELECT g.rolname AS role, x.privilege_type AS privilege, 1 AS rank
         FROM aclexplode(c.relacl) x JOIN pg_roles g ON g.oid = x.grantee WHERE x.grantee <> c.relowner
       UNION ALL
       SELECT g.rolname, x.privilege_type || ' (' || string_agg(a.attname, ', ' ORDER BY a.attnum) || ')', 2
         FROM pg_attribute a, aclexplode(a.attacl) x JOIN pg_roles g ON g.oid = x.grantee
        WHERE a.attrelid = c.oid AND x.grantee <> c.relowner GROUP BY g.rolname, x.privilege_type) AS one
     GROUP BY role) AS by_role) AS grants
FROM pg_class c
WHERE c.relnamespace = to_regnamespace($1) AND c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND c.relname <> 'registry_schema_migrations'
ORDER BY c.relname`;

/** Run it as a superuser, who sees everything. */
export async function readCatalogue(client: pg.Client, schema: string): Promise<CatalogueTable[]> {
  // Names of the schema's own tables come without it.
  await client.query("SELECT set_config('search_path', $1, false)", [schema]);
  const { rows } = await client.query<CatalogueTable>(TABLES, [schema]);
  return rows;
}

/** Functions of a schema that somebody besides their owner may call, and what they run as. */
export async function readFunctions(
  client: pg.Client,
  schema: string,
): Promise<{ signature: string; definer: boolean; callers: string }[]> {
  const { rows } = await client.query(
    `SELECT p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')' AS signature, p.prosecdef AS definer,
            coalesce((SELECT string_agg(coalesce(g.rolname, 'PUBLIC'), ', ' ORDER BY g.rolname)
                        FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) x
                        LEFT JOIN pg_roles g ON g.oid = x.grantee
                       WHERE x.grantee <> p.proowner AND x.privilege_type = 'EXECUTE'), '') AS callers
       FROM pg_proc p WHERE p.pronamespace = to_regnamespace($1) ORDER BY 1`,
    [schema],
  );
  return rows;
}
