/**
 * What the registry says differently from the databases and the backup bucket, in words, and the bounded summary that an
 * execution carries: its state takes 256 KiB. The log has all of them.
 */
import * as z from 'zod';

export type DifferenceKind =
  /** The tenant was moved or restored since: its active placement has a later epoch than its routing row. */
  | 'placement-newer'
  /** The same, and the database of the routing row says where the tenant has gone. */
  | 'tenant-moved'
  /** A database has an active placement of a tenant that the registry does not have. */
  | 'tenant-unknown'
  /** The tenant was activated since: the registry has it as provisioning or failed. */
  | 'tenant-activated'
  /** The registry has the tenant, and no database has an active placement of it. */
  | 'tenant-without-placement'
  /** Only the bucket has the tenant. */
  | 'tenant-only-backed-up'
  /** Another region has the tenant now, or this one has it though the registry says another one. */
  | 'tenant-in-other-region'
  /** Two databases have an active placement: a move was cut off around its commit. */
  | 'placements-conflict'
  /** The database is older than the registry. */
  | 'placement-older'
  /** A move or restore of the tenant is running in the registry: its recovery ends it. */
  | 'move-running'
  /** A move that the registry does not have has claimed the tenant. */
  | 'claim-unknown'
  /** A complete backup is in the bucket, and the registry does not have it, or not as complete. */
  | 'backup-unknown'
  /** The registry has a backup, and the bucket has no manifest of it. */
  | 'backup-without-manifest'
  | 'database-unreachable';

export interface Difference {
  /** null for a database. */
  readonly tenantId: string | null;
  readonly kind: DifferenceKind;
  /** One sentence or two, without secrets and people's addresses. */
  readonly says: string;
  /** What `apply` does; null where a person, or another workflow, has to do something. */
  readonly mend: string | null;
  /** `found`: nothing was tried. `left`: nothing could be mended. */
  readonly outcome: 'found' | 'mended' | 'left';
}

/** In a state; the counts are of all. */
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

/** What an execution has come to so far; its output in the end. */
export type Found = z.output<typeof found>;

export const NOTHING_FOUND: Found = { compared: 0, total: 0, mended: 0, differences: [] };

/** @param compared how many tenants were looked at. */
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
