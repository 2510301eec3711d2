import type { Run } from '../runs/watch-run.ts';

/** An export as the API returns it. */
export interface Export extends Run {
  exportId: string;
  tenantId: string;
  backupId: string | null;
  sha256: string | null;
  snapshotAt: string | null;
  /** Absent in lists; null until the export has succeeded. */
  url?: string | null;
}
