import { bindRoutes } from '../../contracts/routes.ts';
import { type OperatorRoute, operatorApi } from '../../http/operator-api.ts';
import * as alerts from './alert-routes.ts';
import * as backups from './backup-routes.ts';
import * as cells from './cell-routes.ts';
import * as costs from './cost-routes.ts';
import * as credentials from './credential-routes.ts';
import * as exports from './export-routes.ts';
import * as fleet from './fleet-routes.ts';
import * as moves from './move-routes.ts';
import * as offboarding from './offboarding-routes.ts';
import * as promotion from './promotion-routes.ts';
import * as residency from './residency-routes.ts';
import * as restores from './restore-routes.ts';
import * as rotations from './rotation-routes.ts';
import { routes } from './routes.ts';
import * as tenants from './tenant-routes.ts';
import * as usage from './usage-routes.ts';
import * as users from './user-routes.ts';

export const operations: Readonly<Record<string, OperatorRoute>> = bindRoutes(routes, {
  tenants,
  users,
  moves,
  offboarding,
  promotion,
  backups,
  restores,
  exports,
  rotations,
  credentials,
  fleet,
  alerts,
  cells,
  usage,
  costs,
  residency,
});

export const handler = operatorApi(operations);
