import type { MiddlewareObj } from '@middy/core';
import type { APIGatewayProxyStructuredResultV2 } from 'aws-lambda';
import { TenantAccess } from '../placement/tenant-access.ts';
import type { DirectoryEntry, TenantDirectory } from '../placement/tenant-directory.ts';
import type { TenantRouter } from '../placement/tenant-router.ts';
import type { Actor } from '../repositories/actor.ts';
import { type Caller, readCaller } from '../tenancy/claims.ts';
import {
  NotAMember,
  TenantMismatch,
  TenantNotNamed,
  TenantNotServing,
  TenantUnknown,
} from '../tenancy/errors.ts';
import { namingAgrees, readTenantNaming, type TenantNaming } from '../tenancy/tenant-naming.ts';
import type { ApiEvent } from './api-event.ts';
import type { TenantContext } from './tenant-context.ts';

export interface ResolutionDependencies {
  readonly directory: TenantDirectory;
  readonly router: TenantRouter;
  readonly domains: readonly string[];
}

/**
 * Decides for which tenant a request runs. The verified token's claim decides; header and subdomain may only agree.
 * An operator's token names the tenant in `X-Tenant-ID` or by subdomain.
 */
export function resolveTenant(
  dependencies: () => ResolutionDependencies,
): MiddlewareObj<ApiEvent, APIGatewayProxyStructuredResultV2, Error, TenantContext> {
  return {
    before: async ({ event, context }) => {
      const { directory, router, domains } = dependencies();
      const naming = readTenantNaming(event.headers, event.requestContext.domainName, domains);
      const caller = readCaller(event.requestContext.authorizer.jwt.claims);
      if (!caller) throw new NotAMember('the token names no tenant');
      const [entry, actor] =
        caller.kind === 'user'
          ? await resolveUser(directory, caller, naming)
          : await resolveOperator(directory, caller, naming);
      if (entry.status !== 'active') throw new TenantNotServing(entry.status);
      context.tenant = new TenantAccess(entry.tenantId, entry.slug, router);
      const { sourceIp, userAgent } = event.requestContext.http;
      context.actor = { ...actor, ipAddress: sourceIp, userAgent };
    },
  };
}

type Identity = Omit<Actor, 'ipAddress' | 'userAgent'>;

async function resolveUser(
  directory: TenantDirectory,
  caller: Caller & { kind: 'user' },
  naming: TenantNaming,
): Promise<[DirectoryEntry, Identity]> {
  // An id that differs needs no look-up, and none is made: the answer is the same for known and unknown tenants.
  const [entry, member] = await Promise.all([
    directory.byId(caller.tenantId),
    directory.member(caller.tenantId, caller.email),
  ]);
  if (!entry) throw new NotAMember('the tenant of the token does not exist');
  if (!namingAgrees(naming, entry)) throw new TenantMismatch('header or subdomain names another tenant');
  if (!member) throw new NotAMember('no active user of that address');
  return [entry, { kind: 'user', userId: member.userId, name: caller.email, role: member.role }];
}

async function resolveOperator(
  directory: TenantDirectory,
  caller: Caller & { kind: 'operator' },
  naming: TenantNaming,
): Promise<[DirectoryEntry, Identity]> {
  const reference = naming.header ?? naming.subdomain;
  if (reference === undefined) throw new TenantNotNamed('an operator names the tenant');
  const entry = await directory.byReference(reference);
  if (!entry) throw new TenantUnknown('no such tenant');
  if (!namingAgrees(naming, entry)) throw new TenantMismatch('header and subdomain name different tenants');
  return [
    entry,
    { kind: 'operator', userId: undefined, name: caller.email ?? caller.subject, role: 'admin' },
  ];
}
