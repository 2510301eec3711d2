import type { FeatureFlags } from '../contracts/features.ts';
import type { Tier } from '../contracts/tenant.ts';
import type { NextPlace, Placement } from './placement.ts';

/** A tenant as the directory knows it: what a request needs to be admitted and to find its place. */
export interface DirectoryEntry {
  readonly tenantId: string;
  readonly slug: string;
  readonly tier: Tier;
  /** Undefined for a tenant with a database of its own. */
  readonly cellId?: string | undefined;
  /** `elsewhere`: `homeRegion` serves it; `arriving`: a move is bringing it here. */
  readonly status: string;
  /** Key of the region that serves the tenant. */
  readonly homeRegion: string;
  /** Undefined for a tenant of another region, even if this registry still has a row of it. */
  readonly placement: Placement | undefined;
  /** ARN of the KMS key of its own, under which its fields are encrypted while it has a dedicated database. */
  readonly fieldKeyArn?: string | undefined;
  /** undefined while the registry does not have these columns yet. */
  readonly limits?: TenantLimits | undefined;
  readonly features?: FeatureFlags | undefined;
  /** The target of a running move that has copied the tenant's data, in this or another region. */
  readonly next?: NextPlace | undefined;
}

/** What a tenant may use. */
export interface TenantLimits {
  /** Requests per second and burst: the tenant's own, or those of its tier. */
  readonly rate: number;
  readonly burst: number;
  /** It has more data than it may have, by the last measurement. */
  readonly isFull: boolean;
}
