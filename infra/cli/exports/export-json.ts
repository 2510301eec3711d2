/** An export as the API answers it. Figures are null until they are known. */
export interface Export {
  exportId: string;
  tenantId: string;
  status: 'running' | 'succeeded' | 'failed' | 'aborted';
  phase: string;
  reason: string | null;
  progress: { partsDone: number; partsTotal: number; rowsDone: number; bytesDone: number };
  backupId: string | null;
  rows: number | null;
  bytes: number | null;
  sha256: string | null;
  startedAt: string;
  snapshotAt: string | null;
  finishedAt: string | null;
  expiresAt: string;
  /** Of one export only, and null until it has succeeded. */
  url?: string | null;
}
