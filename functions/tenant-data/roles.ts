import { InvalidValues } from '../resources/errors.ts';
import { levelRule } from './proficiency-levels.ts';
import { resource } from './resource.ts';
import type { ResourceRules } from './resource-rules.ts';
import { ResourceStore } from './resource-store.ts';
import { lockSkills } from './skill-references.ts';

/** An entry of `roles.required_skills`. */
export interface RequiredSkill {
  readonly skillId: string;
  /** A level of the skill. */
  readonly minProficiency: string;
}

/** A role requires skills that exist, each at one of the skill's levels. */
const roleRules: ResourceRules = {
  concerns: ({ required_skills }) => Array.isArray(required_skills) && required_skills.length > 0,
  async check(transaction, { values }) {
    const required = values.required_skills as readonly RequiredSkill[];
    const known = await lockSkills(
      transaction,
      required.map(({ skillId }) => skillId),
    );
    const issues = required.flatMap(({ skillId, minProficiency }, index) => {
      const levels = known.get(skillId);
      const path = ['requiredSkills', index];
      if (!levels) return [{ path: [...path, 'skillId'], message: 'refers to a skill that does not exist' }];
      if (levels.includes(minProficiency)) return [];
      return [{ path: [...path, 'minProficiency'], message: levelRule(levels) }];
    });
    if (issues.length > 0) throw new InvalidValues(issues);
    return undefined;
  },
};

export const roles = new ResourceStore(
  resource<'roles'>({
    table: 'roles',
    type: 'role',
    columns: [
      'role_id',
      'role_name',
      'role_level',
      'description',
      'department',
      'required_skills',
      'created_at',
      'updated_at',
    ],
    key: ['role_id'],
    order: ['created_at', 'role_id'],
    sorts: [{ column: 'role_name', type: 'text' }],
    searched: ['role_name', 'description'],
    documents: ['required_skills'],
    hasUpdatedAt: true,
  }),
  roleRules,
);
