import type { RegistryExecutor } from './data-api.ts';
import { now } from './registry-expressions.ts';
import { registrySql } from './registry-sql.ts';

/** What a scheduled run has measured in a cell. A figure is null when it could not be measured. */
export interface CellFigures {
  /** Of the whole database, with indexes and free space. */
  readonly databaseBytes: number | null;
  /** Client connections of the cluster at the moment of the measurement. */
  readonly connections: number | null;
  /** Those that are not reserved for superusers. */
  readonly maxConnections: number | null;
  /** Of tenants' moves that are running, and left-over ones. */
  readonly replicationSlots: number | null;
  readonly maxReplicationSlots: number | null;
  /** Time that statements took since the measurement before, divided by the time that has passed: 1 is one busy session. */
  readonly databaseLoad: number | null;
  /** Of all statements since the statistics began: `databaseLoad` is computed from two of them. */
  readonly databaseMs: number | null;
  /** Secrets that the cell's proxy accepts, or should accept. */
  readonly proxySecrets: number | null;
}

export interface CellUtilisation extends Omit<CellFigures, 'databaseMs'> {
  /** AWS's limit of one proxy. */
  readonly maxProxySecrets: number;
  readonly observedAt: string;
}

/** AWS quota: secrets of one proxy. */
export const MAX_PROXY_SECRETS = 200;

/** Replaces the cell's measurement. @throws {RegistryError} */
export async function recordUtilisation(
  registry: RegistryExecutor,
  cellId: string,
  figures: CellFigures,
): Promise<void> {
  await registrySql(registry)
    .insertInto('cell_utilisation')
    .values({ cell_id: cellId, figures: { ...figures } })
    .onConflict((row) =>
      row.column('cell_id').doUpdateSet((eb) => ({ figures: eb.ref('excluded.figures'), observed_at: now })),
    )
    .execute();
}
