import { bindRoutes } from '../../contracts/routes.ts';
import { tenantApi } from '../../http/tenant-api.ts';
import { frameworkRoutes as frameworks } from './framework-routes.ts';
import { gapRoutes as gaps, roleRoutes as roles } from './role-routes.ts';
import { routes } from './routes.ts';
import { employeeSkillRoutes as employeeSkills, skillRoutes as skills } from './skill-routes.ts';

export const handler = tenantApi(
  bindRoutes(routes, {
    skills,
    employeeSkills,
    frameworks,
    roles,
    gaps,
  }),
);
