/**
 * The tenant tables: the one definition from which the DDL of all three isolation models, the query builder's types and
 * the order of copying derive (`render-tables.ts` adds what the shared variant needs).
 *
 * To change them: add a column, an index or a table with `since` = the next schema version, and a migration of that
 * version to `tenant-migrations.ts`. Released parts never change; `until` = a later version drops them.
 * docs/extending.md shows the steps.
 *
 * There are no separate indexes on employees(email) and employee_skills(employee_id), because they are prefixes of
 * unique keys here; a second index would only cost writes.
 */
import { assessmentResults, assessments, certifications } from './assessments-tables.ts';
import { auditLog, auditSeals, idempotencyKeys, moveMarkers } from './operations-tables.ts';
import { employees, teamMembers, teams } from './people-tables.ts';
import { employeeSkills, roles, skills, skillsFrameworks } from './skills-tables.ts';
import { type RowOf, type TenantTable, tableAtVersion } from './tenant-table.ts';

/** In foreign-key order: a table comes after those it refers to (a test checks it). */
export const tenantTables = [
  skillsFrameworks,
  employees,
  teams,
  teamMembers,
  skills,
  employeeSkills,
  roles,
  assessments,
  assessmentResults,
  certifications,
  idempotencyKeys,
  auditLog,
  auditSeals,
  moveMarkers,
] as const satisfies readonly TenantTable[];

/** The tables of that schema version, in the same order. */
export function tenantTablesAt(version: number): TenantTable[] {
  return tenantTables.flatMap((table) => tableAtVersion(table, version) ?? []);
}

/** Names of the tenant tables in the order in which rows can be copied; rows are deleted in the reverse order. */
export const tenantTableOrder: readonly (keyof TenantTables)[] = tenantTables.map(
  ({ name }) => name as keyof TenantTables,
);

/**
 * The tables as SQL of the application sees them, the same under every isolation model. Name constraints in `ON
 * CONFLICT ON CONSTRAINT <table>_pkey`, not columns: the shared variant's keys have one more.
 */
export interface TenantTables {
  skills_frameworks: RowOf<typeof skillsFrameworks>;
  employees: RowOf<typeof employees>;
  teams: RowOf<typeof teams>;
  team_members: RowOf<typeof teamMembers>;
  skills: RowOf<typeof skills>;
  employee_skills: RowOf<typeof employeeSkills>;
  roles: RowOf<typeof roles>;
  assessments: RowOf<typeof assessments>;
  assessment_results: RowOf<typeof assessmentResults>;
  certifications: RowOf<typeof certifications>;
  idempotency_keys: RowOf<typeof idempotencyKeys>;
  audit_log: RowOf<typeof auditLog>;
  audit_seals: RowOf<typeof auditSeals>;
  move_markers: RowOf<typeof moveMarkers>;
}
