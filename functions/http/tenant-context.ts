import type { Context } from 'aws-lambda';
import type { TenantAccess } from '../placement/tenant-access.ts';
import type { Actor } from '../tenant-data/actor.ts';

/** The Lambda context with what the chain found out about the request. */
export interface TenantContext extends Context {
  tenant: TenantAccess;
  actor: Actor;
}
