import { bindRoutes } from '../../contracts/routes.ts';
import { tenantApi } from '../../http/tenant-api.ts';
import { employeeRoutes as employees } from './employee-routes.ts';
import { routes } from './routes.ts';
import { teamMemberRoutes as teamMembers, teamRoutes as teams } from './team-routes.ts';

export const handler = tenantApi(
  bindRoutes(routes, {
    employees,
    teams,
    teamMembers,
  }),
);
