import { bindRoutes } from '../../contracts/routes.ts';
import { tenantApi } from '../../http/tenant-api.ts';
import { assessmentRoutes as assessments } from './assessment-routes.ts';
import { certificationRoutes as certifications } from './certification-routes.ts';
import { resultRoutes as results } from './result-routes.ts';
import { routes } from './routes.ts';

export const handler = tenantApi(
  bindRoutes(routes, {
    assessments,
    results,
    certifications,
  }),
);
