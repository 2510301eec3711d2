import * as z from 'zod';

/**
 * What became of one tenant in a fleet's run. `skipped`: it has a backup that runs, or nothing to back up any more; it is
 * looked at again tomorrow.
 */
export const tenantResult = z.object({
  tenantId: z.uuid(),
  outcome: z.enum(['succeeded', 'failed', 'skipped']),
});
export type TenantResult = z.output<typeof tenantResult>;

/** A page's results, group by group. */
export const pageResults = z.array(z.array(tenantResult));

/** What a run has done so far. */
export const fleetSums = z.object({
  succeeded: z.int().nonnegative(),
  failed: z.int().nonnegative(),
  skipped: z.int().nonnegative(),
  /** The first of the tenants that failed: a state does not take them all, the registry has them. */
  failedTenants: z.array(z.uuid()),
});
export type FleetSums = z.output<typeof fleetSums>;

export const NO_SUMS: FleetSums = { succeeded: 0, failed: 0, skipped: 0, failedTenants: [] };
const NAMED = 20;

export function addResults(sums: FleetSums, results: z.output<typeof pageResults>): FleetSums {
  const all = results.flat();
  const count = (outcome: TenantResult['outcome']) => all.filter((each) => each.outcome === outcome).length;
  const failed = all.filter(({ outcome }) => outcome === 'failed').map(({ tenantId }) => tenantId);
  return {
    succeeded: sums.succeeded + count('succeeded'),
    failed: sums.failed + failed.length,
    skipped: sums.skipped + count('skipped'),
    failedTenants: [...sums.failedTenants, ...failed].slice(0, NAMED),
  };
}

/** Names of errors.ts that are no failures of the run: the tenant has what it needs, or needs nothing. */
const SKIPS = ['BackupInProgress', 'TenantNotBackupable'];

/**
 * What the failure of a tenant's execution means for the run.
 * @param cause as `startExecution.sync` tells it: the execution's description as JSON text, or any text.
 */
export function outcomeOfFailure(cause: string): { outcome: 'failed' | 'skipped'; error: string } {
  const error = errorOf(cause);
  return { outcome: SKIPS.includes(error) ? 'skipped' : 'failed', error };
}

function errorOf(cause: string): string {
  try {
    const { Error: error, Status: status } = JSON.parse(cause) as { Error?: unknown; Status?: unknown };
    if (typeof error === 'string') return error;
    return typeof status === 'string' ? status : 'unknown';
  } catch {
    return 'unknown';
  }
}
