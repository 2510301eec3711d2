import { resource } from '../../contracts/routes.ts';

/** Routes about the users of a tenant. */
export const tenantRoutes = {
  'GET /me': 'me.read',
  ...resource('/users', 'userId', 'ownUsers'),
} as const;

/** Routes about the person who has signed in: the token need not name a tenant. */
export const accountRoutes = {
  'GET /me/tenants': 'account.tenants',
  'PUT /me/tenant': 'account.choose',
} as const;

/** Routes of the users context. */
export const routes = { ...tenantRoutes, ...accountRoutes } as const;
