/**
 * `tenant_skills_summary`: how many employees have each skill, and how well, as a materialized view of the shared tables
 * and of each tenant's own schema. Requests read the view `skills_summary`, and `skills_summary_refresh` for the time of
 * the last refresh; both look the same under every isolation model.
 *
 *   shared    tenant_skills_summary, skills_summary, skills_summary_refresh    owned by strata_analytics
 *             tenancy.shared_skills_summary_refresh                            the time of the last refresh
 *   isolated  tenant_skills_summary, skills_summary, skills_summary_refresh    owned by strata_owner
 *
 * Invariants:
 * - A request role has no right on a materialized view. In the shared tables it reads through security-barrier views that
 *   show the rows of the entered tenant only.
 * - A refresh of the shared view reads all tenants, and its result does not depend on an entered tenant: it runs as the
 *   view's owner, `strata_analytics`, which has policies of its own on the two tables and may read no other column than
 *   those that the view needs. FORCE stays on: under it, the tables' owner would read no tenant, or the entered one only.
 *   The owner of an isolated schema's tables reads them without a policy, so it owns the summary there.
 * - The shared view has a row for every tenant that was placed there at the refresh, under the epoch of that time (a tenant
 *   without skills has one with `NO_SKILL`). Rows of another epoch are not shown: a tenant that arrived since has no
 *   summary yet, and one that came back or was restored does not get the one of its earlier stay.
 * - A new view is populated and empty. It reads rows only if the time of a refresh is stored, which the refresh itself does,
 *   in its transaction. Otherwise creating it in a migration would read all rows under the migration's locks; and a view
 *   that is not populated can neither be read nor be refreshed concurrently.
 *
 * A later version that changes or drops a column named here must drop the view before and create it again after.
 */
import { ANALYTICS_ROLE, OWNER_ROLE } from '../ddl/ddl-connection.ts';
import { identifier, literal, qualified } from '../ddl/identifier.ts';
import { integer, numeric, timestamptz, uuid } from './column.ts';
import type { RenderTarget } from './render-tables.ts';
import { type RowOf, tenantTable } from './tenant-table.ts';

/** The schema version that introduced the summary. */
export const SKILLS_SUMMARY_SINCE = 5;

/** Name of the materialized view in every schema. */
export const SKILLS_SUMMARY = 'tenant_skills_summary';
/** Where requests find the time of the last refresh: a view in the shared tables, a table in an isolated schema. */
export const SUMMARY_REFRESH = 'skills_summary_refresh';

/** Levels of a skill that defines none, as in `tenant-data/proficiency-levels.ts`; the first one counts 1. */
export const DEFAULT_LEVELS = ['beginner', 'intermediate', 'advanced', 'expert'];
/** Stands for the skill in the row of a tenant without skills. */
const NO_SKILL = '00000000-0000-0000-0000-000000000000';

/** What requests read. Not one of `tenantTables`: nothing here is moved, backed up or restored. */
const skillsSummary = tenantTable(
  'skills_summary',
  {
    skill_id: uuid().notNull(),
    /** Employees with the skill at any level, or none. */
    employee_count: integer().notNull(),
    /** Those of them whose level is one of the skill's. */
    rated_count: integer().notNull(),
    /** Those of them whose skill is verified. */
    verified_count: integer().notNull(),
    /** How many levels the skill has: the highest value of an average. */
    level_count: integer().notNull(),
    /** Of the levels' positions, the first being 1; null when nobody is rated. */
    avg_proficiency: numeric(5, 2),
  },
  { primaryKey: ['skill_id'], since: SKILLS_SUMMARY_SINCE },
);
const skillsSummaryRefresh = tenantTable(
  SUMMARY_REFRESH,
  { refreshed_at: timestamptz().notNull() },
  { primaryKey: ['refreshed_at'], since: SKILLS_SUMMARY_SINCE },
);

/** As the query builder sees them. */
export const tenantViews = [skillsSummary, skillsSummaryRefresh] as const;
export interface TenantViews {
  skills_summary: RowOf<typeof skillsSummary>;
  skills_summary_refresh: RowOf<typeof skillsSummaryRefresh>;
}

const COLUMNS = Object.keys(skillsSummary.columns);

type Place = Pick<RenderTarget, 'model' | 'schema'>;

/** The table with the time of the last refresh, qualified and quoted. It has one row at most. */
export function refreshTable({ model, schema }: Place): string {
  return model === 'shared'
    ? qualified('tenancy', `shared_${SUMMARY_REFRESH}`)
    : qualified(schema, SUMMARY_REFRESH);
}

/**
 * The statements that create the summary of a target. They run as the owner, in the transaction that makes or changes the
 * target's tables, and may be repeated.
 */
export function createSkillsSummary(target: RenderTarget): string[] {
  return target.model === 'shared' ? createShared(target) : createIsolated(target);
}

function createIsolated(target: RenderTarget): string[] {
  const { schema, requestRole } = target;
  const view = qualified(schema, SKILLS_SUMMARY);
  const role = identifier(requestRole);
  return [
    createRefreshTable(target),
    `CREATE MATERIALIZED VIEW IF NOT EXISTS ${view} AS ${ownSummary(target)}`,
    `CREATE UNIQUE INDEX IF NOT EXISTS ${identifier(`${SKILLS_SUMMARY}_key`)} ON ${view} (skill_id)`,
    `CREATE OR REPLACE VIEW ${qualified(schema, skillsSummary.name)} WITH (security_barrier = true) AS
     SELECT ${COLUMNS.join(', ')} FROM ${view}`,
    `GRANT SELECT ON ${qualified(schema, skillsSummary.name)} TO ${role}`,
    `GRANT SELECT (refreshed_at) ON ${refreshTable(target)} TO ${role}`,
  ];
}

function createShared(target: RenderTarget): string[] {
  const { schema: schemaName, requestRole } = target;
  const [schema, role] = [identifier(schemaName), identifier(requestRole)];
  const [owner, analytics] = [identifier(OWNER_ROLE), identifier(ANALYTICS_ROLE)];
  const view = qualified(schemaName, SKILLS_SUMMARY);
  const [summary, refresh] = [
    qualified(schemaName, skillsSummary.name),
    qualified(schemaName, SUMMARY_REFRESH),
  ];
  const tenant = '(SELECT tenancy.current_tenant())';
  const ofTenant = `s.tenant_id = ${tenant}
       AND s.epoch = (SELECT p.epoch FROM tenancy.placement AS p WHERE p.tenant_id = ${tenant})`;
  return [
    // The owner of a schema may drop everything in it.
    `DROP MATERIALIZED VIEW IF EXISTS ${view} CASCADE`,
    createRefreshTable(target),
    `DELETE FROM ${refreshTable(target)}`,
    `GRANT USAGE ON SCHEMA ${schema}, tenancy TO ${analytics}`,
    `GRANT SELECT (tenant_id, epoch, state, schema_name) ON tenancy.placement TO ${analytics}`,
    `GRANT SELECT (refreshed_at) ON ${refreshTable(target)} TO ${analytics}`,
    ...Object.entries(READ_COLUMNS).flatMap(([table, columns]) => {
      const name = qualified(schemaName, table);
      return [
        `GRANT SELECT (tenant_id, ${columns.join(', ')}) ON ${name} TO ${analytics}`,
        `DROP POLICY IF EXISTS analytics_policy ON ${name}`,
        `CREATE POLICY analytics_policy ON ${name} FOR SELECT TO ${analytics} USING (true)`,
      ];
    }),
    `CREATE MATERIALIZED VIEW ${view} AS ${sharedSummary(target)} WITH NO DATA`,
    `CREATE UNIQUE INDEX ${identifier(`${SKILLS_SUMMARY}_key`)} ON ${view} (tenant_id, skill_id)`,
    `CREATE VIEW ${summary} WITH (security_barrier = true) AS
     SELECT ${COLUMNS.map((column) => `s.${column}`).join(', ')} FROM ${view} AS s
     WHERE ${ofTenant} AND s.skill_id <> ${literal(NO_SKILL)}`,
    `CREATE VIEW ${refresh} WITH (security_barrier = true) AS
     SELECT r.refreshed_at FROM ${refreshTable(target)} AS r
     WHERE EXISTS (SELECT FROM ${view} AS s WHERE ${ofTenant})`,
    `GRANT SELECT ON ${summary}, ${refresh} TO ${role}`,
    // A new owner must be allowed to create in the schema, at this moment only.
    `GRANT CREATE ON SCHEMA ${schema} TO ${analytics}`,
    `ALTER MATERIALIZED VIEW ${view} OWNER TO ${analytics}`,
    `ALTER VIEW ${summary} OWNER TO ${analytics}`,
    `ALTER VIEW ${refresh} OWNER TO ${analytics}`,
    `REVOKE CREATE ON SCHEMA ${schema} FROM ${analytics}`,
    `SET LOCAL ROLE ${analytics}`,
    // The owner may refresh the view and not read it.
    `GRANT MAINTAIN ON ${view} TO ${owner}`,
    // Reads no rows, because no time of a refresh is stored.
    `REFRESH MATERIALIZED VIEW ${view}`,
    `SET LOCAL ROLE ${owner}`,
  ];
}

/** What the shared summary reads of the tenants' tables, besides `tenant_id`. */
const READ_COLUMNS = {
  employee_skills: ['employee_id', 'skill_id', 'proficiency_level', 'verified'],
  skills: ['skill_id', 'proficiency_levels'],
} as const;

function createRefreshTable(target: Place): string {
  return `CREATE TABLE IF NOT EXISTS ${refreshTable(target)} (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    refreshed_at timestamp with time zone NOT NULL,
    source_state text NOT NULL
  )`;
}

const isRefreshed = (target: Place) => `EXISTS (SELECT refreshed_at FROM ${refreshTable(target)})`;

const ownSummary = (target: Place) =>
  `SELECT ${COLUMNS.map((column) => `c.${column}`).join(', ')} FROM (${skillCounts(target)}) AS c
   WHERE ${isRefreshed(target)}`;

const sharedSummary = (target: Place) =>
  `SELECT p.tenant_id, p.epoch, coalesce(c.skill_id, ${literal(NO_SKILL)}::uuid) AS skill_id,
          ${COLUMNS.filter((column) => column !== 'skill_id')
            .map((column) => `c.${column}`)
            .join(', ')}
   FROM tenancy.placement AS p LEFT JOIN (${skillCounts(target)}) AS c ON c.tenant_id = p.tenant_id
   WHERE p.schema_name = ${literal(target.schema)} AND p.state <> 'moved' AND ${isRefreshed(target)}`;

/**
 * One row for each skill that somebody has. Employees are counted by level first, so that a level's position is looked up
 * once for each skill and level. An employee has a skill once: it is the primary key.
 */
function skillCounts({ model, schema }: Place): string {
  const tenant = (alias: string) => (model === 'shared' ? `${alias}.tenant_id, ` : '');
  const ofSameTenant = model === 'shared' ? 's.tenant_id = e.tenant_id AND ' : '';
  const rated = 'FILTER (WHERE l.position IS NOT NULL)';
  const defaults = literal(JSON.stringify(DEFAULT_LEVELS));
  return `SELECT ${tenant('e')}e.skill_id,
            sum(e.employees)::integer AS employee_count,
            coalesce(sum(e.employees) ${rated}, 0)::integer AS rated_count,
            sum(e.verified)::integer AS verified_count,
            max(pg_catalog.jsonb_array_length(s.levels)) AS level_count,
            round(sum(l.position * e.employees) / sum(e.employees) ${rated}, 2)::numeric(5,2) AS avg_proficiency
     FROM (SELECT ${tenant('es')}es.skill_id, es.proficiency_level, count(es.employee_id) AS employees,
                  count(es.employee_id) FILTER (WHERE es.verified) AS verified
           FROM ${qualified(schema, 'employee_skills')} AS es
           GROUP BY ${tenant('es')}es.skill_id, es.proficiency_level) AS e
     JOIN (SELECT ${tenant('k')}k.skill_id,
                  CASE WHEN pg_catalog.jsonb_typeof(k.proficiency_levels) = 'array' AND k.proficiency_levels <> '[]'
                       THEN k.proficiency_levels ELSE ${defaults}::jsonb END AS levels
           FROM ${qualified(schema, 'skills')} AS k) AS s ON ${ofSameTenant}s.skill_id = e.skill_id
     CROSS JOIN LATERAL (SELECT min(n.position) AS position
                         FROM pg_catalog.jsonb_array_elements_text(s.levels) WITH ORDINALITY AS n (level, position)
                         WHERE n.level = e.proficiency_level) AS l
     GROUP BY ${tenant('e')}e.skill_id`;
}
