import { resource } from '../../contracts/routes.ts';

/** The operators' routes: the control plane. */
export const routes = {
  'GET /cells': 'fleet.cells',
  'GET /rollouts': 'fleet.rollouts',
  'POST /rollouts': 'fleet.startRollout',
  'GET /rollouts/{rolloutId}': 'fleet.rollout',
  'GET /tenants': 'tenants.list',
  'POST /tenants': 'tenants.create',
  'GET /tenants/{tenantId}': 'tenants.read',
  'PATCH /tenants/{tenantId}': 'tenants.update',
  ...resource('/tenants/{tenantId}/users', 'userId', 'users'),
  'GET /tenants/{tenantId}/moves': 'moves.list',
  'POST /tenants/{tenantId}/moves': 'moves.create',
  'GET /tenants/{tenantId}/moves/{moveId}': 'moves.read',
  'POST /tenants/{tenantId}/moves/{moveId}/abort': 'moves.abort',
  'GET /tenants/{tenantId}/backups': 'backups.list',
  'POST /tenants/{tenantId}/backups': 'backups.create',
  'GET /tenants/{tenantId}/backups/{backupId}': 'backups.read',
  'GET /tenants/{tenantId}/usage': 'usage.list',
  'GET /tenants/{tenantId}/decisions': 'promotion.decisions',
  'GET /tenants/{tenantId}/offers': 'promotion.offers',
  'POST /tenants/{tenantId}/offers/{offerId}/accept': 'promotion.accept',
  'POST /tenants/{tenantId}/offers/{offerId}/decline': 'promotion.decline',
} as const;
