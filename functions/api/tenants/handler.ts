import { type OperatorRoute, operatorApi } from '../../http/operator-api.ts';
import * as backups from './backup-routes.ts';
import * as cells from './cell-routes.ts';
import * as moves from './move-routes.ts';
import * as promotion from './promotion-routes.ts';
import * as rollouts from './rollout-routes.ts';
import type { routes } from './routes.ts';
import * as tenants from './tenant-routes.ts';
import * as usage from './usage-routes.ts';
import * as users from './user-routes.ts';

export const handler = operatorApi({
  'GET /cells': cells.list,
  'GET /rollouts': rollouts.list,
  'POST /rollouts': rollouts.create,
  'GET /rollouts/{rolloutId}': rollouts.read,
  'GET /tenants': tenants.list,
  'POST /tenants': tenants.create,
  'GET /tenants/{tenantId}': tenants.read,
  'PATCH /tenants/{tenantId}': tenants.update,
  'GET /tenants/{tenantId}/users': users.list,
  'POST /tenants/{tenantId}/users': users.create,
  'GET /tenants/{tenantId}/users/{userId}': users.read,
  'PATCH /tenants/{tenantId}/users/{userId}': users.update,
  'DELETE /tenants/{tenantId}/users/{userId}': users.remove,
  'GET /tenants/{tenantId}/moves': moves.list,
  'POST /tenants/{tenantId}/moves': moves.create,
  'GET /tenants/{tenantId}/moves/{moveId}': moves.read,
  'POST /tenants/{tenantId}/moves/{moveId}/abort': moves.abort,
  'GET /tenants/{tenantId}/backups': backups.list,
  'POST /tenants/{tenantId}/backups': backups.create,
  'GET /tenants/{tenantId}/backups/{backupId}': backups.read,
  'GET /tenants/{tenantId}/usage': usage.list,
  'GET /tenants/{tenantId}/decisions': promotion.decisions,
  'GET /tenants/{tenantId}/offers': promotion.offers,
  'POST /tenants/{tenantId}/offers/{offerId}/accept': promotion.accept,
  'POST /tenants/{tenantId}/offers/{offerId}/decline': promotion.decline,
} satisfies Record<(typeof routes)[number], OperatorRoute>);
