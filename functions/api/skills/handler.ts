import { type TenantRoute, tenantApi } from '../../http/tenant-api.ts';
import type { routes } from './routes.ts';
import { employeeSkillRoutes, skillRoutes } from './skill-routes.ts';

export const handler = tenantApi({
  'GET /skills': skillRoutes.list,
  'POST /skills': skillRoutes.create,
  'GET /skills/{skillId}': skillRoutes.read,
  'PATCH /skills/{skillId}': skillRoutes.update,
  'DELETE /skills/{skillId}': skillRoutes.remove,
  'GET /employees/{employeeId}/skills': employeeSkillRoutes.list,
  'POST /employees/{employeeId}/skills': employeeSkillRoutes.create,
  'GET /employees/{employeeId}/skills/{skillId}': employeeSkillRoutes.read,
  'PATCH /employees/{employeeId}/skills/{skillId}': employeeSkillRoutes.update,
  'DELETE /employees/{employeeId}/skills/{skillId}': employeeSkillRoutes.remove,
} satisfies Record<(typeof routes)[number], TenantRoute>);
