import { bindRoutes } from '../../contracts/routes.ts';
import { type TenantRoute, tenantApi } from '../../http/tenant-api.ts';
import { assessmentRoutes as assessments } from './assessment-routes.ts';
import { certificationRoutes as certifications } from './certification-routes.ts';
import { resultRoutes as results } from './result-routes.ts';
import { routes } from './routes.ts';

export const operations: Readonly<Record<string, TenantRoute>> = bindRoutes(routes, {
  assessments,
  results,
  certifications,
});

export const handler = tenantApi(operations);
