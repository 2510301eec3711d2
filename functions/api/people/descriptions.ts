import * as z from 'zod/mini';
import { describeTenantContext } from '../../http/openapi/describe-context.ts';
import { describeResource } from '../../http/openapi/describe-resource.ts';
import { itemSchema } from '../../http/openapi/item-schema.ts';
import { employees } from '../../tenant-data/employees.ts';
import { teamMembers, teams } from '../../tenant-data/teams.ts';
import { operations } from './handler.ts';
import { routes } from './routes.ts';

const SEALED =
  '`ssn` and `salary` are stored encrypted. Only administrators of the tenant see and write them; 503 while their key cannot be used.';
const anyObject = z.record(z.string(), z.unknown());

export const people = describeTenantContext({
  tags: {
    Employees: 'The people of the organisation.',
    Teams: 'Teams, which may be below one another, and their members.',
  },
  routes,
  operations,
  descriptions: {
    ...describeResource('employees', {
      tag: 'Employees',
      one: 'an employee',
      many: 'employees',
      item: itemSchema('Employee', employees, {
        profileData: anyObject,
        // Administrators of the tenant only.
        ssn: z.optional(z.nullable(z.string())),
        salary: z.optional(z.nullable(z.number())),
      }),
      descriptions: {
        create: SEALED,
        read: SEALED,
        update:
          'A merge patch (RFC 7396): objects in `profileData` are merged member by member, `null` removes a member. ' +
          SEALED,
        remove:
          'Also removes the employee’s memberships, skills and certifications, and clears references to the employee as a manager.',
      },
      refusals: {
        remove: { 409: 'Assessments or results still refer to the employee.' },
      },
    }),
    ...describeResource('teams', {
      tag: 'Teams',
      one: 'a team',
      many: 'teams',
      item: itemSchema('Team', teams),
    }),
    ...describeResource('teamMembers', {
      tag: 'Teams',
      one: 'a member of a team',
      many: 'the members of a team',
      item: itemSchema('TeamMember', teamMembers),
    }),
  },
});
