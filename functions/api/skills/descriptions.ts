import * as z from 'zod/mini';
import { component } from '../../http/openapi/component.ts';
import { describeTenantContext } from '../../http/openapi/describe-context.ts';
import { describeResource } from '../../http/openapi/describe-resource.ts';
import { itemSchema } from '../../http/openapi/item-schema.ts';
import { employeeSkills, skills as skillStore } from '../../tenant-data/skills.ts';
import type { SkillSummary } from '../../tenant-data/skills-summary.ts';
import { operations } from './handler.ts';
import { routes } from './routes.ts';

const summary = component(
  'SkillSummary',
  z.object({
    skillId: z.uuid(),
    skillName: z.string(),
    skillCategory: z.nullable(z.string()),
    employeeCount: z.int(),
    ratedCount: z.int(),
    verifiedCount: z.int(),
    averageProficiency: z.nullable(z.number()),
    levelCount: z.int(),
  }) satisfies z.ZodMiniType<SkillSummary>,
);
const summaryPage = component(
  'SkillSummaryPage',
  z.object({
    items: z.array(summary),
    nextCursor: z.nullable(z.string()),
    refreshedAt: z.nullable(z.iso.datetime()),
  }),
);

export const skills = describeTenantContext({
  tags: {
    Skills: 'Skills of the organisation, and which of them its employees have.',
    Analytics: 'Summaries of the organisation, computed regularly.',
  },
  routes,
  operations,
  descriptions: {
    ...describeResource('skills', {
      tag: 'Skills',
      one: 'a skill',
      many: 'skills',
      item: itemSchema('Skill', skillStore, { proficiencyLevels: z.array(z.string()) }),
    }),
    ...describeResource('employeeSkills', {
      tag: 'Skills',
      one: 'a skill of an employee',
      many: 'the skills of an employee',
      item: itemSchema('EmployeeSkill', employeeSkills),
    }),
    'analytics.skillsSummary': {
      tag: 'Analytics',
      summary: 'Summarize skills',
      description:
        'How many employees have each skill, and how well, as of `refreshedAt`: later changes are not counted yet. ' +
        'Skills that nobody has are left out. A level counts by its position in the skill’s `proficiencyLevels`, the ' +
        'first being 1 (`beginner`, `intermediate`, `advanced`, `expert` when the skill has none); employees with ' +
        'another level or none are in `employeeCount` only. `refreshedAt` is null, and the list empty, before the first refresh.',
      answers: { 200: summaryPage },
    },
  },
});
