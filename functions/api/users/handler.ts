import { bindRoutes } from '../../contracts/routes.ts';
import { accountApi } from '../../http/account-api.ts';
import type { ApiEvent } from '../../http/api-event.ts';
import { type TenantRoute, tenantApi } from '../../http/tenant-api.ts';
import * as account from './account-routes.ts';
import * as me from './me-routes.ts';
import { accountRoutes, tenantRoutes } from './routes.ts';
import * as ownUsers from './user-routes.ts';

const ofTenant: Readonly<Record<string, TenantRoute>> = bindRoutes(tenantRoutes, { me, ownUsers });
const ofAccount: Readonly<Record<string, TenantRoute>> = bindRoutes(accountRoutes, { account });
export const operations: Readonly<Record<string, TenantRoute>> = { ...ofTenant, ...ofAccount };

const tenantHandler = tenantApi(ofTenant);
const accountHandler = accountApi(ofAccount);

export const handler = (event: ApiEvent, context: never) =>
  Object.hasOwn(ofAccount, event.routeKey) ? accountHandler(event, context) : tenantHandler(event, context);
