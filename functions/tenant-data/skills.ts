import { InvalidValues, ResourceConflict } from '../resources/errors.ts';
import { levelRule, levelsOf } from './proficiency-levels.ts';
import { resource } from './resource.ts';
import type { ResourceRules } from './resource-rules.ts';
import { ResourceStore } from './resource-store.ts';
import { lockSkills, skillsInUse, usedLevels } from './skill-references.ts';

/** A level that employees or roles use stays a level of the skill, and a skill in use stays. */
const skillRules: ResourceRules = {
  concerns: (patch, change) => change === 'update' && 'proficiency_levels' in patch,
  async check(transaction, { values, current }) {
    const before = levelsOf(current?.proficiency_levels);
    const after = levelsOf(values.proficiency_levels);
    const removed = before.filter((level) => !after.includes(level));
    if (removed.length === 0) return undefined;
    const used = await usedLevels(transaction, [current?.skill_id as string]);
    // A level that is no level of the skill before either is left alone: older versions accepted it.
    const missing = used.find(({ level }) => removed.includes(level));
    if (missing) throw levelInUse(missing.level);
    return undefined;
  },
  async checkDelete(transaction, { skill_id }) {
    const used = await skillsInUse(transaction, [skill_id as string]);
    if (used.size > 0) throw new ResourceConflict('Other resources still refer to this skill.');
  },
};

export function levelInUse(level: string): ResourceConflict {
  return new ResourceConflict(`Employees have, or roles require, the level "${level}".`, 'proficiencyLevels');
}

export const skills = new ResourceStore(
  resource<'skills'>({
    table: 'skills',
    type: 'skill',
    columns: [
      'skill_id',
      'skill_name',
      'skill_category',
      'description',
      'framework_id',
      'proficiency_levels',
      'created_at',
      'updated_at',
    ],
    key: ['skill_id'],
    order: ['created_at', 'skill_id'],
    sorts: [{ column: 'skill_name', type: 'text' }],
    searched: ['skill_name', 'description'],
    documents: ['proficiency_levels'],
    hasUpdatedAt: true,
  }),
  skillRules,
);

/** An employee has a skill at one of the skill's levels. */
const employeeSkillRules: ResourceRules = {
  concerns: ({ proficiency_level }) => typeof proficiency_level === 'string',
  async check(transaction, { patch, key }) {
    const levels = (await lockSkills(transaction, [key.skill_id as string])).get(key.skill_id as string);
    // The foreign key refuses a skill that does not exist.
    if (levels && !levels.includes(patch.proficiency_level as string)) {
      throw new InvalidValues([{ path: ['proficiencyLevel'], message: levelRule(levels) }]);
    }
    return undefined;
  },
};

export const employeeSkills = new ResourceStore(
  resource<'employee_skills'>({
    table: 'employee_skills',
    type: 'employee_skill',
    columns: [
      'employee_id',
      'skill_id',
      'proficiency_level',
      'years_of_experience',
      'last_assessed_at',
      'self_assessed',
      'verified',
      'created_at',
      'updated_at',
    ],
    key: ['employee_id', 'skill_id'],
    order: ['created_at', 'skill_id'],
    searched: [],
    documents: [],
    hasUpdatedAt: true,
    parentTable: 'employees',
  }),
  employeeSkillRules,
);
