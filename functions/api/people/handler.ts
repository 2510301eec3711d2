import { bindRoutes } from '../../contracts/routes.ts';
import { type TenantRoute, tenantApi } from '../../http/tenant-api.ts';
import { employeeRoutes as employees } from './employee-routes.ts';
import { routes } from './routes.ts';
import { teamMemberRoutes as teamMembers, teamRoutes as teams } from './team-routes.ts';

export const operations: Readonly<Record<string, TenantRoute>> = bindRoutes(routes, {
  employees,
  teams,
  teamMembers,
});

export const handler = tenantApi(operations);
