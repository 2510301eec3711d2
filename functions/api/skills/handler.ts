import { bindRoutes } from '../../contracts/routes.ts';
import { tenantApi } from '../../http/tenant-api.ts';
import { routes } from './routes.ts';
import { employeeSkillRoutes as employeeSkills, skillRoutes as skills } from './skill-routes.ts';

export const handler = tenantApi(bindRoutes(routes, { skills, employeeSkills }));
