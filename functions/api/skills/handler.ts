import { bindRoutes } from '../../contracts/routes.ts';
import { type TenantRoute, tenantApi } from '../../http/tenant-api.ts';
import { analyticsRoutes as analytics } from './analytics-routes.ts';
import { frameworkRoutes as frameworks } from './framework-routes.ts';
import { gapRoutes as gaps, roleRoutes as roles } from './role-routes.ts';
import { routes } from './routes.ts';
import { employeeSkillRoutes as employeeSkills, skillRoutes as skills } from './skill-routes.ts';

export const operations: Readonly<Record<string, TenantRoute>> = bindRoutes(routes, {
  skills,
  employeeSkills,
  analytics,
  frameworks,
  roles,
  gaps,
});

export const handler = tenantApi(operations);
