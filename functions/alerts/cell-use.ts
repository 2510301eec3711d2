/** How full the region's cells are: recorded for operators, and judged by `placement/cell-limits.ts`. */
import { type CellUse, exceededLimits } from '../placement/cell-limits.ts';
import { type CellFigures, recordUtilisation } from '../registry/cell-utilisation.ts';
import type { CellView } from '../registry/cells.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { parseJson } from '../registry/registry-column.ts';
import { asText, secondsSince } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';
import { type Finding, ofCell, percent, sizeText } from './finding.ts';
import type { DatabaseObservation } from './survey-database.ts';

/**
 * Records what was measured in the cell.
 * @param proxySecrets null when the proxy was not read.
 * @throws {RegistryError}
 */
export async function recordCellUse(
  registry: RegistryExecutor,
  cellId: string,
  { databaseBytes, connections, slots, maxSlots, statements }: DatabaseObservation,
  proxySecrets: number | null,
): Promise<void> {
  const databaseMs = statements?.totalMs ?? null;
  await recordUtilisation(registry, cellId, {
    databaseBytes,
    connections: connections.used,
    maxConnections: connections.max,
    replicationSlots: slots.length,
    maxReplicationSlots: maxSlots,
    databaseMs,
    databaseLoad: await loadSince(registry, cellId, databaseMs),
    proxySecrets,
  });
}

/** null for the first measurement, and when the statistics were reset since the one before. */
async function loadSince(
  registry: RegistryExecutor,
  cellId: string,
  databaseMs: number | null,
): Promise<number | null> {
  const before = await registrySql(registry)
    .selectFrom('cell_utilisation')
    .select((eb) => [
      asText(eb.ref('figures')).as('figures'),
      secondsSince(eb.ref('observed_at')).as('seconds'),
    ])
    .where('cell_id', '=', cellId)
    .executeTakeFirst();
  if (!before || databaseMs === null) return null;
  const { databaseMs: earlierMs } = parseJson(before.figures) as unknown as CellFigures;
  if (earlierMs === null || earlierMs > databaseMs || before.seconds <= 0) return null;
  return Math.round(((databaseMs - earlierMs) / 1000 / before.seconds) * 1000) / 1000;
}

export function judgeCell(cell: CellView): Finding[] {
  const exceeded = exceededLimits(cell);
  if (exceeded.length === 0) return [];
  return [
    {
      kind: 'cell-over-limits',
      ...ofCell(cell.cellId),
      level: 'raise',
      summary: `Cell ${cell.cellId} is over its limits: ${exceeded.map(inWords).join(', ')}.`,
      details: { exceeded },
    },
  ];
}

const NAMES: Readonly<Record<CellUse['resource'], string>> = {
  schemas: 'schemas',
  proxySecrets: 'secrets of its proxy',
  databaseBytes: 'its size',
  connections: 'connections',
  replicationSlots: 'replication slots',
};

function inWords({ resource, used, max, share }: CellUse): string {
  const figure = resource === 'databaseBytes' ? sizeText : String;
  return `${figure(used)} of ${figure(max)} for ${NAMES[resource]} (${percent(share)})`;
}
