/**
 * What refers to skills: employees by a foreign key, and the documents of roles (`requiredSkills`) and assessments
 * (`questions`), which no foreign key protects. A change of such a document locks its skills with `lockSkills`; a
 * deletion of a skill and a change of its levels have the row's own lock, and look for references after they got it.
 */
import { sql } from 'kysely';
import type { TenantTransaction } from '../database/session/tenant-session.ts';
import { tenantStatement } from '../database/session/tenant-sql.ts';
import { levelsOf } from './proficiency-levels.ts';

/** The levels of each of the skills that exist. Until the transaction ends, they are neither changed nor deleted. */
export async function lockSkills(
  transaction: TenantTransaction,
  skillIds: readonly string[],
): Promise<ReadonlyMap<string, readonly string[]>> {
  const statement = sql<{ skill_id: string; proficiency_levels: unknown }>`
    SELECT skill_id, proficiency_levels FROM skills WHERE skill_id = ANY (${[...new Set(skillIds)]}::uuid[])
    ORDER BY skill_id FOR SHARE`;
  const rows = await transaction.query(tenantStatement(statement));
  return new Map(rows.map(({ skill_id, proficiency_levels }) => [skill_id, levelsOf(proficiency_levels)]));
}

export interface UsedLevel {
  readonly skill_id: string;
  readonly level: string;
}

/** The levels that employees have, and roles require, of these skills. */
export function usedLevels(
  transaction: TenantTransaction,
  skillIds: readonly string[],
): Promise<UsedLevel[]> {
  return transaction.query(
    tenantStatement(sql<UsedLevel>`
      SELECT skill_id::text AS skill_id, proficiency_level AS level FROM employee_skills
      WHERE skill_id = ANY (${skillIds}::uuid[]) AND proficiency_level IS NOT NULL
      UNION
      SELECT required ->> 'skillId', required ->> 'minProficiency'
      FROM roles, jsonb_array_elements(${listIn('required_skills')}) AS required
      WHERE required ->> 'skillId' = ANY (${skillIds}::text[]) AND required ->> 'minProficiency' IS NOT NULL`),
  );
}

/** Those of the skills that an employee has, a role requires, or a question of an assessment names. */
export async function skillsInUse(
  transaction: TenantTransaction,
  skillIds: readonly string[],
): Promise<ReadonlySet<string>> {
  const rows = await transaction.query(
    tenantStatement(sql<{ skill_id: string }>`
      SELECT skill_id::text AS skill_id FROM employee_skills WHERE skill_id = ANY (${skillIds}::uuid[])
      UNION
      SELECT required ->> 'skillId' FROM roles, jsonb_array_elements(${listIn('required_skills')}) AS required
      WHERE required ->> 'skillId' = ANY (${skillIds}::text[])
      UNION
      SELECT question ->> 'skillId' FROM assessments, jsonb_array_elements(${listIn('questions')}) AS question
      WHERE question ->> 'skillId' = ANY (${skillIds}::text[])`),
  );
  return new Set(rows.map(({ skill_id }) => skill_id));
}

/** The column's document where it is a list, otherwise an empty one. */
const listIn = (column: 'required_skills' | 'questions') =>
  sql`CASE jsonb_typeof(${sql.ref(column)}) WHEN 'array' THEN ${sql.ref(column)} ELSE '[]' END`;
