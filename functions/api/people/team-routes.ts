import * as z from 'zod/mini';
import { optionalText, requiredText, uuid } from '../../http/input-schemas.ts';
import { resourceRoutes } from '../../http/resource-routes.ts';
import { teamMembers, teams } from '../../tenant-data/teams.ts';

const teamName = requiredText(255);
const optional = {
  description: optionalText(10_000),
  parentTeamId: z.nullish(uuid),
  managerId: z.nullish(uuid),
};

export const teamRoutes = resourceRoutes({
  store: teams,
  filters: { parentTeamId: uuid, managerId: uuid },
  create: { teamName, ...optional },
  update: { teamName: z.optional(teamName), ...optional },
});

const role = optionalText(100);

export const teamMemberRoutes = resourceRoutes({
  store: teamMembers,
  filters: { role: requiredText(100) },
  create: { employeeId: uuid, role },
  update: { role },
});
