import type { MiddlewareObj } from '@middy/core';
import type { APIGatewayProxyStructuredResultV2, Context } from 'aws-lambda';
import type { CacheServer } from '../aws/cache-server.ts';
import type { DirectoryEntry } from '../placement/directory-entry.ts';
import { TenantElsewhere, TenantUnavailable } from '../placement/errors.ts';
import type { TenantDirectory } from '../placement/tenant-directory.ts';
import { TenantAccess, type TenantRouter } from '../placement/tenant-router.ts';
import type { Actor } from '../tenant-data/audit-log.ts';
import type { CachePool } from '../tenant-data/cache-pool.ts';
import type { ApiEvent } from './api-event.ts';
import { type Caller, readCaller } from './api-event.ts';
import { NotAMember, TenantMismatch, TenantNotNamed, TenantNotServing, TenantUnknown } from './errors.ts';
import type { ArrivalSettings } from './other-region.ts';
import { namingAgrees, readTenantNaming, type TenantNaming } from './tenant-naming.ts';

export interface ResolutionDependencies extends ArrivalSettings {
  readonly directory: TenantDirectory;
  readonly router: TenantRouter;
  readonly domains: readonly string[];
  /** The region's caches, loaded at the first request. Absent: there is none. */
  readonly caches?: (() => Promise<CachePool>) | undefined;
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
      const { directory, router, domains, caches, ...settings } = dependencies();
      const naming = readTenantNaming(event.headers, event.requestContext.domainName, domains);
      const caller = readCaller(event.requestContext.authorizer.jwt.claims);
      if (!caller) throw new NotAMember('the token names no tenant');
      const [entry, actor] =
        caller.kind === 'user'
          ? await resolveUser(directory, caller, naming, settings)
          : await resolveOperator(directory, caller, naming, settings);
      if (entry.status !== 'active') throw new TenantNotServing(entry.status);
      const { cache, server } = (await caches?.())?.of(entry.tenantId) ?? {};
      const { limits, features } = entry;
      context.tenant = new TenantAccess(entry.tenantId, entry.slug, router, entry, {
        cache,
        features,
        isFull: limits?.isFull,
      });
      context.limits = server && limits && { server, limit: limits };
      const { sourceIp, userAgent } = event.requestContext.http;
      context.actor = { ...actor, ipAddress: sourceIp, userAgent };
    },
    /** Also of a tenant that has left the region during the request: its former database says so. */
    onError: async (request) => {
      const { error, event } = request;
      if (!(error instanceof TenantElsewhere)) return;
      const { redirection } = await import('./other-region.ts');
      request.error = await redirection(error, event, dependencies());
    },
  };
}

/**
 * Waits until the tenant is served here. Call before checking membership: users have no membership in a region that
 * does not have their tenant.
 * @throws {TenantElsewhere | TenantUnavailable}
 */
async function served(
  directory: TenantDirectory,
  known: DirectoryEntry,
  settings: ArrivalSettings,
): Promise<DirectoryEntry | undefined> {
  if (known.status !== 'arriving' && known.status !== 'elsewhere') return known;
  const { servedHere } = await import('./other-region.ts');
  return servedHere(directory, known, settings);
}

type Identity = Omit<Actor, 'ipAddress' | 'userAgent'>;

async function resolveUser(
  directory: TenantDirectory,
  caller: Caller & { kind: 'user' },
  naming: TenantNaming,
  settings: ArrivalSettings,
): Promise<[DirectoryEntry, Identity]> {
  // A header with another id is not looked up: the answer is the same whether that tenant exists or not.
  const [known, knownMember] = await Promise.all([
    directory.byId(caller.tenantId),
    directory.member(caller.tenantId, caller.email),
  ]);
  if (!known) throw new NotAMember('the tenant of the token does not exist');
  if (!namingAgrees(naming, known)) throw new TenantMismatch('header or subdomain names another tenant');
  const entry = await served(directory, known, settings);
  if (!entry) throw new NotAMember('the tenant of the token does not exist any more');
  // User rows move with the tenant, so look again after its arrival.
  const member =
    knownMember ?? (entry === known ? undefined : await directory.member(caller.tenantId, caller.email));
  if (!member) {
    // User rows move with the tenant, and the cached entry may be older than that move: look again. When the registry
    // does not answer, the cached entry decides.
    const now = await directory.refresh(caller.tenantId).catch(ignoreUnavailable);
    if (now) await served(directory, now, settings);
    throw new NotAMember('no active user of that address');
  }
  return [entry, { kind: 'user', userId: member.userId, name: caller.email, role: member.role }];
}

function ignoreUnavailable(error: unknown): undefined {
  if (!(error instanceof TenantUnavailable)) throw error;
}

async function resolveOperator(
  directory: TenantDirectory,
  caller: Caller & { kind: 'operator' },
  naming: TenantNaming,
  settings: ArrivalSettings,
): Promise<[DirectoryEntry, Identity]> {
  const reference = naming.header ?? naming.subdomain;
  if (reference === undefined) throw new TenantNotNamed('an operator names the tenant');
  const known = await directory.byReference(reference);
  if (!known) throw new TenantUnknown(reference);
  if (!namingAgrees(naming, known)) throw new TenantMismatch('header and subdomain name different tenants');
  const entry = await served(directory, known, settings);
  if (!entry) throw new TenantUnknown(reference);
  return [
    entry,
    { kind: 'operator', userId: undefined, name: caller.email ?? caller.subject, role: 'admin' },
  ];
}

/** The Lambda context with the tenant and the actor of the request. */
export interface TenantContext extends Context {
  tenant: TenantAccess;
  actor: Actor;
  /** Absent where nothing counts the tenant's requests. */
  limits?:
    | { readonly server: CacheServer; readonly limit: { readonly rate: number; readonly burst: number } }
    | undefined;
  /** Headers of the answer, whatever it is. */
  answerHeaders?: Readonly<Record<string, string>>;
}
