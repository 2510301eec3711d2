import { bindRoutes } from '../../contracts/routes.ts';
import { type TenantRoute, tenantApi } from '../../http/tenant-api.ts';
import { routes } from './routes.ts';
import { employeeSkillRoutes as employeeSkills, skillRoutes as skills } from './skill-routes.ts';

export const operations: Readonly<Record<string, TenantRoute>> = bindRoutes(routes, {
  skills,
  employeeSkills,
});

export const handler = tenantApi(operations);
