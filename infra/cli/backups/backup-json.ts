import type { Run } from '../runs/watch-run.ts';

/** A backup as the API returns it. */
export interface Backup extends Run {
  backupId: string;
  tenantId: string;
  tier: string;
  isolationModel: string;
  lastDrill: { status: string; at: string } | null;
}
