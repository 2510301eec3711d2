import type { Run } from '../runs/watch-run.ts';

/** An export as the API answers it. */
export interface Export extends Run {
  exportId: string;
  tenantId: string;
  backupId: string | null;
  sha256: string | null;
  snapshotAt: string | null;
  /** Of one export only, and null until it has succeeded. */
  url?: string | null;
}
