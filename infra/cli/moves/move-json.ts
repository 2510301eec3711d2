/** A move as the API returns it. Figures are null or missing until they are known. */
export interface Move {
  moveId: string;
  tenantId: string;
  status: 'running' | 'succeeded' | 'failed' | 'aborted';
  phase: string;
  reason: string | null;
  target: { tier?: string | null; cell?: string | null; residency?: string | null; size?: string | null };
  /** Of a restore, which goes nowhere: what it restores. */
  restores?: string;
  plan: PlannedHop[];
  phases: MovePhase[];
  currentPauseMs?: number | null;
  report?: MoveReport | null;
  abortRequestedAt?: string | null;
  executionArn?: string | null;
  startedBy?: string;
  startedAt: string;
  finishedAt: string | null;
}

export interface MovePlace {
  isolationModel: 'shared' | 'schema' | 'dedicated';
  cellId?: string | null;
  region?: string;
  /** Of a dedicated database. */
  databaseSize?: string | null;
}

export interface PlannedHop {
  hop?: number;
  kind: 'reshape' | 'relocate';
  from: MovePlace;
  to: MovePlace;
  /** Of a restore. */
  filling?: object;
  state?: string;
}

export interface MovePhase {
  hop: number;
  name: string;
  status: 'running' | 'done';
  startedAt: string;
  finishedAt: string | null;
  rowsDone?: number | null;
  rowsTotal?: number | null;
  bytesDone?: number | null;
  bytesTotal?: number | null;
  lagBytes?: number | null;
  pauseMs?: number | null;
}

export interface MoveReport {
  writePauseMs?: number | null;
  rows?: number | null;
  bytes?: number | null;
  retriedRequests?: number | null;
  seconds?: number | null;
  /** The follow-up move that takes the tenant to its tier's place in its new region. */
  followUp?: { region: string; executionArn: string } | null;
}

/** Answer to a dry run. */
export interface MovePlan {
  dryRun: true;
  plan: PlannedHop[];
  sizes: { rows: number; bytes: number; tables: { name: string; rows: number; bytes?: number | null }[] };
  /** null when no plan exists. */
  estimate: { seconds: number; writePauseMs: number } | null;
  forbidden: { rule: string; detail: string }[];
}

/** `schema@us-1`, or `dedicated@us (large)`, which is in no cell. */
export function placeText({ isolationModel, cellId, region, databaseSize }: MovePlace): string {
  return `${isolationModel}@${cellId ?? region ?? '?'}${databaseSize ? ` (${databaseSize})` : ''}`;
}

/** `business`, `cell:us-2`, `residency:eu`, `size:large`, `enterprise size:large` */
export function targetText({ tier, cell, residency, size }: Move['target']): string {
  const where = tier ?? (cell ? `cell:${cell}` : residency ? `residency:${residency}` : undefined);
  const given = [where, size ? `size:${size}` : undefined].filter((each) => each !== undefined);
  return given.join(' ') || '-';
}
