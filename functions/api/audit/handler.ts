import { bindRoutes } from '../../contracts/routes.ts';
import { type TenantRoute, tenantApi } from '../../http/tenant-api.ts';
import * as auditLog from './audit-log-routes.ts';
import { routes } from './routes.ts';

export const operations: Readonly<Record<string, TenantRoute>> = bindRoutes(routes, { auditLog });

export const handler = tenantApi(operations);
