import * as z from 'zod/mini';
import { component } from '../../http/openapi/component.ts';
import { describeTenantContext } from '../../http/openapi/describe-context.ts';
import { describeResource } from '../../http/openapi/describe-resource.ts';
import { memberRole } from '../../http/user-schemas.ts';
import { user } from '../tenants/answers.ts';
import type { OwnTenant } from './account-routes.ts';
import { operations } from './handler.ts';
import type { Me } from './me-routes.ts';
import { routes } from './routes.ts';

const limit = z.nullable(z.int());

const me = component(
  'Me',
  z.object({
    user: z.object({
      kind: z.enum(['user', 'operator']),
      userId: z.nullable(z.uuid()),
      email: z.nullable(z.email()),
      lastLoginAt: z.nullable(z.iso.datetime()),
    }),
    tenant: z.object({
      tenantId: z.uuid(),
      slug: z.string(),
      name: z.string(),
      tier: z.string(),
      dataResidency: z.string(),
    }),
    role: memberRole,
    features: z.record(z.string(), z.unknown()),
    limits: z.object({
      maxUsers: limit,
      maxStorageGb: limit,
      requestRate: z.int(),
      requestBurst: z.int(),
    }),
  }) satisfies z.ZodMiniType<Me>,
);

const ownTenant = component(
  'OwnTenant',
  z.object({
    tenantId: z.uuid(),
    slug: z.string(),
    name: z.string(),
    role: memberRole,
    isChosen: z.boolean(),
  }) satisfies z.ZodMiniType<OwnTenant>,
);

export const users = describeTenantContext({
  tags: {
    Me: 'The caller, and the tenants that the caller belongs to.',
    'Own users': 'Who may sign in to the caller’s tenant, and in which role. For administrators.',
  },
  routes,
  operations,
  descriptions: {
    'me.read': {
      tag: 'Me',
      summary: 'Read the caller, the tenant, and what they may do',
      answers: { 200: me },
      etag: false,
    },
    'account.tenants': {
      tag: 'Me',
      summary: 'List the tenants of which the caller is an active user',
      description: 'The token need not name a tenant.',
      answers: { 200: component('OwnTenants', z.object({ items: z.array(ownTenant) })) },
      etag: false,
    },
    'account.choose': {
      tag: 'Me',
      summary: 'Choose the tenant of the next token',
      description:
        'For users of several tenants. `tenant` is a slug or an id. Refresh the token afterwards: the new one names the tenant. The token of the request need not name one.',
      answers: { 200: ownTenant },
      etag: false,
    },
    ...describeResource('ownUsers', {
      tag: 'Own users',
      one: 'a user',
      many: 'users',
      item: user,
      descriptions: {
        create:
          'The user gets an invitation by e-mail within a minute, unless the address has an account already.',
        update: 'A user who is not active is refused within two seconds, with the tokens that the user has.',
      },
      refusals: {
        create: { 409: 'Another user has the address, or the limit of active users is reached.' },
        update: {
          409: 'The user is the last active administrator, or the limit of active users is reached.',
        },
        remove: { 409: 'The user is the last active administrator.' },
      },
    }),
  },
});
