import { type TenantRoute, tenantApi } from '../../http/tenant-api.ts';
import { employeeRoutes } from './employee-routes.ts';
import type { routes } from './routes.ts';
import { teamMemberRoutes, teamRoutes } from './team-routes.ts';

export const handler = tenantApi({
  'GET /employees': employeeRoutes.list,
  'POST /employees': employeeRoutes.create,
  'GET /employees/{employeeId}': employeeRoutes.read,
  'PATCH /employees/{employeeId}': employeeRoutes.update,
  'DELETE /employees/{employeeId}': employeeRoutes.remove,
  'GET /teams': teamRoutes.list,
  'POST /teams': teamRoutes.create,
  'GET /teams/{teamId}': teamRoutes.read,
  'PATCH /teams/{teamId}': teamRoutes.update,
  'DELETE /teams/{teamId}': teamRoutes.remove,
  'GET /teams/{teamId}/members': teamMemberRoutes.list,
  'POST /teams/{teamId}/members': teamMemberRoutes.create,
  'GET /teams/{teamId}/members/{employeeId}': teamMemberRoutes.read,
  'PATCH /teams/{teamId}/members/{employeeId}': teamMemberRoutes.update,
  'DELETE /teams/{teamId}/members/{employeeId}': teamMemberRoutes.remove,
} satisfies Record<(typeof routes)[number], TenantRoute>);
