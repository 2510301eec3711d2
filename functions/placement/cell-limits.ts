/**
 * How full a cell may be. The alert `cell-over-limits` and the plan that rebalances a cell use the same limits; the hard
 * ones (schemas, secrets of the proxy) are refused by onboarding and moves in any case.
 */
import { MAX_PROXY_SECRETS } from '../registry/cell-utilisation.ts';
import type { CellView } from '../registry/cells.ts';

/** What a cell can run out of. */
export type CellResource = 'schemas' | 'proxySecrets' | 'databaseBytes' | 'connections' | 'replicationSlots';

/** Beyond it, backups, restores and the loss of the cell concern too many rows at once. */
const MAX_CELL_BYTES = 1024 ** 4;

/**
 * Shares of the maximum. `over`: the cell is over its limit from here on. `target`: a plan takes tenants away until the
 * cell is below it, so that the next few tenants do not bring the alert back.
 */
export const CELL_LIMITS: Readonly<Record<CellResource, { readonly over: number; readonly target: number }>> =
  {
    schemas: { over: 0.9, target: 0.75 },
    proxySecrets: { over: 0.95, target: 0.85 },
    databaseBytes: { over: 0.8, target: 0.65 },
    connections: { over: 0.8, target: 0.65 },
    replicationSlots: { over: 0.8, target: 0.65 },
  };

export interface CellUse {
  readonly resource: CellResource;
  readonly used: number;
  readonly max: number;
  /** `used / max`. */
  readonly share: number;
}

/** What is known of the cell's use; what was not measured is left out. */
export function usesOf({ schemaTenants, maxSchemaTenants, utilisation }: CellView): CellUse[] {
  const figures: [CellResource, number | null | undefined, number | null | undefined][] = [
    ['schemas', schemaTenants, maxSchemaTenants],
    ['proxySecrets', utilisation?.proxySecrets, MAX_PROXY_SECRETS],
    ['databaseBytes', utilisation?.databaseBytes, MAX_CELL_BYTES],
    ['connections', utilisation?.connections, utilisation?.maxConnections],
    ['replicationSlots', utilisation?.replicationSlots, utilisation?.maxReplicationSlots],
  ];
  return figures.flatMap(([resource, used, max]) =>
    typeof used === 'number' && typeof max === 'number'
      ? [{ resource, used, max, share: max === 0 ? 1 : used / max }]
      : [],
  );
}

/** The limits that the cell is over, the worst one first. */
export function exceededLimits(cell: CellView): CellUse[] {
  return usesOf(cell)
    .filter(({ resource, share }) => share >= CELL_LIMITS[resource].over)
    .sort((one, other) => other.share - one.share);
}
