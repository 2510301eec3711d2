import * as z from 'zod/mini';
import { flag, instant, optionalText, requiredText, uuid } from '../../http/input-schemas.ts';
import { hasDecimals } from '../../http/json-body.ts';
import { resourceRoutes } from '../../http/resource-routes.ts';
import { employeeSkills, skills } from '../../tenant-data/skills.ts';

const skillName = requiredText(255);
const ofItself = {
  skillCategory: optionalText(100),
  description: optionalText(10_000),
  proficiencyLevels: z.nullish(
    z.array(requiredText(50), 'must be a list').check(
      z.maxLength(20, 'must have at most 20 entries'),
      z.refine((levels) => new Set(levels).size === levels.length, 'must not have a level twice'),
    ),
  ),
};
const optional = { ...ofItself, frameworkId: z.nullish(uuid) };
/** A skill within the import of a framework. */
export const importedSkill = z.strictObject({ skillName, ...ofItself });

export const skillRoutes = resourceRoutes({
  store: skills,
  filters: { skillCategory: requiredText(100), frameworkId: uuid },
  create: { skillName, ...optional },
  update: { skillName: z.optional(skillName), ...optional },
});

const YEARS_RULE = 'must be from 0 to 99.99 with at most two decimals';
const assessed = {
  /** One of the skill's own levels, which the store knows. */
  proficiencyLevel: optionalText(50),
  // The column is numeric(4,2): refuse values that it would round or refuse.
  yearsOfExperience: z.nullish(
    z.number('must be a number').check(
      z.refine((years) => years >= 0 && years < 100 && hasDecimals(years, 2), {
        error: YEARS_RULE,
        params: { minimum: 0, maximum: 99.99 },
      }),
    ),
  ),
  lastAssessedAt: z.nullish(instant),
  selfAssessed: z.optional(z.boolean('must be true or false')),
  verified: z.optional(z.boolean('must be true or false')),
};
export const employeeSkillRoutes = resourceRoutes({
  store: employeeSkills,
  filters: { proficiencyLevel: requiredText(50), verified: flag },
  create: { skillId: uuid, ...assessed },
  update: assessed,
});
