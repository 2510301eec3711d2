/** A backup as the API answers it. Figures are null until they are known. */
export interface Backup {
  backupId: string;
  tenantId: string;
  tier: string;
  isolationModel: string;
  status: 'running' | 'succeeded' | 'failed' | 'aborted';
  phase: string;
  reason: string | null;
  progress: { partsDone: number; partsTotal: number; rowsDone: number; bytesDone: number };
  rows: number | null;
  bytes: number | null;
  lastDrill: { status: string; at: string } | null;
  startedAt: string;
  finishedAt: string | null;
  expiresAt: string;
}

/** The share of the parts that are written, 0 to 1; undefined until the backup is planned. */
export function shareDone({ progress: { partsDone, partsTotal } }: Backup): number | undefined {
  return partsTotal === 0 ? undefined : partsDone / partsTotal;
}
