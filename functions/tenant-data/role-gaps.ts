import { sql } from 'kysely';
import { tenantStatement } from '../database/session/tenant-sql.ts';
import type { TenantAccess } from '../placement/tenant-router.ts';
import { ResourceNotFound } from '../resources/errors.ts';
import { levelsOf, rankOf } from './proficiency-levels.ts';
import { anyTable } from './resource.ts';
import { selectParent } from './resource-statements.ts';
import { employeeSkills } from './skills.ts';

/** A skill that the role requires, and how far the employee is from it. */
export interface SkillGap {
  readonly skillId: string;
  readonly skillName: string;
  /** The levels of the skill, from the lowest to the highest. */
  readonly proficiencyLevels: readonly string[];
  /** The level that the role requires. */
  readonly minProficiency: string;
  /** The employee's level; null without one. */
  readonly proficiencyLevel: string | null;
  /** How many levels are missing, counted from below the lowest one; 0 when the requirement is met. */
  readonly gap: number;
}

export interface GapReport {
  readonly employeeId: string;
  readonly roleId: string;
  readonly roleName: string;
  /** True when no required skill has a gap. */
  readonly ready: boolean;
  /** One for each required skill, the largest gap first. */
  readonly skills: readonly SkillGap[];
}

interface RequiredRow {
  readonly skill_id: string;
  readonly skill_name: string;
  readonly proficiency_levels: unknown;
  readonly min_proficiency: string;
  readonly proficiency_level: string | null;
}

/**
 * Compares an employee's skills with what a role requires.
 * @throws {ResourceNotFound} there is no such employee, or no such role.
 */
export async function gapReport(
  tenant: TenantAccess,
  employeeId: string,
  roleId: string,
): Promise<GapReport> {
  const required = tenantStatement(sql<RequiredRow>`
    SELECT s.skill_id, s.skill_name, s.proficiency_levels, required ->> 'minProficiency' AS min_proficiency,
           held.proficiency_level
    FROM roles r
    CROSS JOIN LATERAL jsonb_array_elements(
      CASE jsonb_typeof(r.required_skills) WHEN 'array' THEN r.required_skills ELSE '[]' END) AS required
    JOIN skills s ON s.skill_id::text = required ->> 'skillId'
    LEFT JOIN employee_skills held ON held.skill_id = s.skill_id AND held.employee_id = ${employeeId}::uuid
    WHERE r.role_id = ${roleId}::uuid`);
  const [[employee], [role], rows] = await tenant.batch('read', [
    selectParent(employeeSkills.resource, { employee_id: employeeId }),
    anyTable.selectFrom('roles').select('role_name').where('role_id', '=', roleId),
    required,
  ]);
  if (!employee || !role) throw new ResourceNotFound('no such employee or role');
  const skills = rows.map(toGap).sort((one, other) => other.gap - one.gap || compare(one, other));
  return {
    employeeId,
    roleId,
    roleName: role.role_name,
    ready: skills.every(({ gap }) => gap === 0),
    skills,
  };
}

function toGap(row: RequiredRow): SkillGap {
  const levels = levelsOf(row.proficiency_levels);
  const missing = rankOf(levels, row.min_proficiency) - rankOf(levels, row.proficiency_level);
  return {
    skillId: row.skill_id,
    skillName: row.skill_name,
    proficiencyLevels: levels,
    minProficiency: row.min_proficiency,
    proficiencyLevel: row.proficiency_level,
    gap: Math.max(0, missing),
  };
}

/** By name, then by id, in an order that does not depend on the server's language. */
function compare(one: SkillGap, other: SkillGap): number {
  const [left, right] = [`${one.skillName}\0${one.skillId}`, `${other.skillName}\0${other.skillId}`];
  return left < right ? -1 : Number(left > right);
}
