import * as z from 'zod/mini';
import { describeTenantContext } from '../../http/openapi/describe-context.ts';
import { describeResource } from '../../http/openapi/describe-resource.ts';
import { itemSchema } from '../../http/openapi/item-schema.ts';
import { employeeSkills, skills as skillStore } from '../../tenant-data/skills.ts';
import { operations } from './handler.ts';
import { routes } from './routes.ts';

export const skills = describeTenantContext({
  tags: { Skills: 'Skills of the organisation, and which of them its employees have.' },
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
  },
});
