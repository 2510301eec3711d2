import * as z from 'zod/mini';
import { component } from '../../http/openapi/component.ts';
import { describeTenantContext } from '../../http/openapi/describe-context.ts';
import { describeResource } from '../../http/openapi/describe-resource.ts';
import { itemSchema } from '../../http/openapi/item-schema.ts';
import { frameworks as frameworkStore } from '../../tenant-data/frameworks.ts';
import type { ImportedSkills } from '../../tenant-data/import-framework.ts';
import type { GapReport } from '../../tenant-data/role-gaps.ts';
import { roles as roleStore } from '../../tenant-data/roles.ts';
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
const framework = itemSchema('Framework', frameworkStore, {
  frameworkData: z.record(z.string(), z.unknown()),
});
const importedSkills = z.object({
  created: z.int(),
  updated: z.int(),
  unchanged: z.int(),
  removed: z.int(),
}) satisfies z.ZodMiniType<ImportedSkills>;
const imported = component('ImportedFramework', z.extend(framework, { skills: importedSkills }));
const gapReport = component(
  'GapReport',
  z.object({
    employeeId: z.uuid(),
    roleId: z.uuid(),
    roleName: z.string(),
    ready: z.boolean(),
    skills: z.readonly(
      z.array(
        z.object({
          skillId: z.uuid(),
          skillName: z.string(),
          proficiencyLevels: z.readonly(z.array(z.string())),
          minProficiency: z.string(),
          proficiencyLevel: z.nullable(z.string()),
          gap: z.int(),
        }),
      ),
    ),
  }) satisfies z.ZodMiniType<GapReport>,
);

export const skills = describeTenantContext({
  tags: {
    Skills: 'Skills of the organisation, and which of them its employees have.',
    Frameworks: 'Catalogues of skills, such as SFIA and O*NET.',
    Roles: 'What roles require, and what employees lack for them.',
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
    ...describeResource('frameworks', {
      tag: 'Frameworks',
      one: 'a framework',
      many: 'frameworks',
      item: framework,
    }),
    'frameworks.importWhole': {
      tag: 'Frameworks',
      summary: 'Import a whole framework with its skills',
      description:
        'A framework is known by its name and version, a skill of it by its name. Afterwards the framework has exactly the skills of the body; the same import again changes nothing.',
      answers: { 200: imported, 201: imported },
      etag: true,
      refusals: { 409: 'A skill or a level that the body no longer has is in use.' },
    },
    ...describeResource('roles', {
      tag: 'Roles',
      one: 'a role',
      many: 'roles',
      item: itemSchema('Role', roleStore, {
        requiredSkills: z.array(z.object({ skillId: z.uuid(), minProficiency: z.string() })),
      }),
    }),
    'gaps.read': {
      tag: 'Roles',
      summary: 'Compare an employee with a role',
      answers: { 200: gapReport },
      etag: false,
    },
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
