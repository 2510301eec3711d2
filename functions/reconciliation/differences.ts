/**
 * The differences between the registry and the databases and backup bucket, and their summary in the state of an
 * execution. The summary is bounded, because a state is limited to 256 KiB; the log has all differences. T is the time
 * of the registry's data.
 */
import * as z from 'zod';

export type DifferenceKind =
  /** The tenant was moved or restored after T: its active placement has a later epoch than its routing row. */
  | 'placement-newer'
  /** The same, and the database of the routing row has a `moved` placement of the tenant. */
  | 'tenant-moved'
  /** A database has an active placement of a tenant that the registry does not have. */
  | 'tenant-unknown'
  /** The tenant was activated after T: the registry has it as provisioning or failed. */
  | 'tenant-activated'
  /** The registry has the tenant, but no database has an active placement of it. */
  | 'tenant-without-placement'
  /** Only the bucket has the tenant. */
  | 'tenant-only-backed-up'
  /** The tenant moved to another region after T, or it came to this region after T. */
  | 'tenant-in-other-region'
  /** Two databases have an active placement: a move was cut off around its commit. */
  | 'placements-conflict'
  /** The database is older than the registry. */
  | 'placement-older'
  /** The registry has a running move or restore of the tenant: recovery ends it. */
  | 'move-running'
  /** The tenant is claimed by a move that the registry does not have. */
  | 'claim-unknown'
  /** The bucket has a complete backup that the registry does not have, or does not have as succeeded. */
  | 'backup-unknown'
  /** The registry has a succeeded backup whose manifest is not in the bucket. */
  | 'backup-without-manifest'
  | 'database-unreachable';

export interface Difference {
  /** null if the difference is about a database. */
  readonly tenantId: string | null;
  readonly kind: DifferenceKind;
  /** A description in one or two sentences, without secrets and e-mail addresses. */
  readonly says: string;
  /** A description of the change that `apply` makes; null if an operator or another workflow has to act. */
  readonly mend: string | null;
  /** `found`: compared only. `mended`: `apply` changed the registry. `left`: `apply` could not change it. */
  readonly outcome: 'found' | 'mended' | 'left';
}

/** Differences that a state lists; its counts include all differences. */
const LISTED = 200;
const MAX_TEXT = 320;

export const found = z.object({
  compared: z.int().nonnegative().default(0),
  total: z.int().nonnegative().default(0),
  mended: z.int().nonnegative().default(0),
  differences: z
    .array(
      z.object({
        tenantId: z.uuid().nullable(),
        kind: z.string(),
        says: z.string(),
        mend: z.string().nullable(),
        outcome: z.enum(['found', 'mended', 'left']),
      }),
    )
    .default([]),
});

/** The summary of an execution so far; at the end it is the output. */
export type Found = z.output<typeof found>;

export const NOTHING_FOUND: Found = { compared: 0, total: 0, mended: 0, differences: [] };

/** @param compared number of tenants that were compared. */
export function addDifferences(sum: Found, differences: readonly Difference[], compared: number): Found {
  const room = Math.max(0, LISTED - sum.differences.length);
  const listed = differences.slice(0, room).map(({ tenantId, kind, says, mend, outcome }) => ({
    tenantId,
    kind,
    says: cut(says),
    mend: mend === null ? null : cut(mend),
    outcome,
  }));
  return {
    compared: sum.compared + compared,
    total: sum.total + differences.length,
    mended: sum.mended + differences.filter(({ outcome }) => outcome === 'mended').length,
    differences: [...sum.differences, ...listed],
  };
}

const cut = (text: string): string => (text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT - 1)}…` : text);
