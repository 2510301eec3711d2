import type { RegistryExecutor } from '../registry/data-api.ts';
import { parseJson } from '../registry/registry-column.ts';
import { registrySql } from '../registry/registry-sql.ts';
import type { DeletedDatabase } from './delete-left-database.ts';
import type { HopKind } from './hop.ts';
import { type HopRecord, type PhaseRecord, selectHops } from './move-records.ts';
import type { Retried } from './settle-hop.ts';

/** The report of a successful move. Times in seconds, pauses in milliseconds. */
export interface MoveReport {
  /** The longest pause of the tenant's writes, over all tries of all hops. */
  readonly writePauseMs: number;
  /** Figures of the last hop's copy: each hop copies the whole tenant. */
  readonly rows: number;
  readonly bytes: number;
  /** Counts and hashes of source and target, of the last hop. */
  readonly tables: readonly unknown[];
  readonly retriedRequests: number;
  /** How long the copies of all hops rested for other tenants, milliseconds. */
  readonly copyRestedMs: number;
  readonly startedBy: string;
  readonly seconds: number;
  readonly phases: readonly { readonly hop: number; readonly name: string; readonly seconds: number }[];
  readonly hops: readonly HopReport[];
  /** Execution of the follow-up move in the target region. */
  readonly followUp?: FollowUpMove;
  /** The dedicated database that the tenant has left, after its deletion. */
  readonly deletedDatabase?: DeletedDatabase;
}

export interface FollowUpMove {
  readonly region: string;
  readonly executionArn: string;
}

interface HopReport {
  readonly kind: HopKind;
  readonly writePauseMs: number;
  readonly pauses: readonly number[];
  readonly rows: number;
  readonly bytes: number;
  readonly committedAt: string | null;
}

export interface ReportedMove {
  readonly startedBy: string;
  readonly seconds: number;
  readonly phases: readonly PhaseRecord[];
  readonly hops: readonly HopRecord[];
  /** Retries at the first place that the report of an earlier move has already. */
  readonly retriedBefore: number;
  readonly followUp: FollowUpMove | undefined;
}

export function reportMove({
  startedBy,
  seconds,
  phases,
  hops,
  retriedBefore,
  followUp,
}: ReportedMove): MoveReport {
  const reports = hops.map(reportHop);
  const last = reports.at(-1);
  const deletedDatabase = hops.map(({ result }) => result.deletedDatabase).find(Boolean);
  return {
    writePauseMs: Math.max(0, ...reports.map(({ writePauseMs }) => writePauseMs)),
    rows: last?.rows ?? 0,
    bytes: last?.bytes ?? 0,
    tables: listOf(hops.at(-1)?.result.tables),
    retriedRequests: retriedDuring(hops, retriedBefore),
    copyRestedMs: hops.reduce((sum, { result }) => sum + numberOf(result.copyRestedMs), 0),
    startedBy,
    seconds: round(seconds),
    phases: phases.map(({ hop, name, startedAt, finishedAt }) => ({
      hop,
      name,
      seconds: round((Date.parse(finishedAt ?? startedAt) - Date.parse(startedAt)) / 1000),
    })),
    hops: reports,
    ...(followUp ? { followUp } : {}),
    ...(deletedDatabase ? { deletedDatabase: deletedDatabase as DeletedDatabase } : {}),
  };
}

function reportHop({ kind, result }: HopRecord): HopReport {
  return {
    kind,
    writePauseMs: numberOf(result.writePauseMs),
    pauses: listOf(result.pauses).map(numberOf),
    rows: numberOf(result.restoredRows) + numberOf(result.copiedRows),
    bytes: numberOf(result.restoredBytes) + numberOf(result.copiedBytes),
    committedAt: typeof result.committedAt === 'string' ? result.committedAt : null,
  };
}

/** The source of each hop is the target of the hop before, where counting continued: the last count of each place. */
function retriedDuring(hops: readonly HopRecord[], before: number): number {
  const counts = hops.map(({ result }) => retriedOf(result));
  const atSources = counts.reduce((sum, { source }) => sum + source, 0);
  return Math.max(0, atSources + (counts.at(-1)?.target ?? 0) - before);
}

export function retriedOf(result: Readonly<Record<string, unknown>>): Retried {
  const { source, target } = (result.retried ?? {}) as Partial<Retried>;
  return { source: numberOf(source), target: numberOf(target) };
}

const numberOf = (value: unknown): number =>
  typeof value === 'number' && Number.isFinite(value) ? value : 0;
const listOf = (value: unknown): unknown[] => (Array.isArray(value) ? value : []);
const round = (seconds: number): number => Math.round(seconds * 1000) / 1000;

/** Retries that the report of the previous move has counted at this move's first place. */
export async function retriedOfLast(
  registry: RegistryExecutor,
  tenantId: string,
  first: HopRecord | undefined,
): Promise<number> {
  if (!first) return 0;
  const earlier = await selectHops(registry, (hops) =>
    hops.where('h.tenant_id', '=', tenantId).where('h.state', 'in', ['settled', 'cleaned']),
  );
  const last = earlier.find(({ target }) => target.epoch === first.source.epoch);
  return last ? retriedOf(last.result).target : 0;
}

/** The report of a successful move. */
export async function readReport(registry: RegistryExecutor, moveId: string): Promise<MoveReport> {
  const { report } = await registrySql(registry)
    .selectFrom('tenant_moves')
    .select((eb) => eb.ref('report').$notNull().as('report'))
    .where('move_id', '=', moveId)
    .executeTakeFirstOrThrow();
  return parseJson(report) as MoveReport;
}
