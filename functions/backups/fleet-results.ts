import * as z from 'zod';

/**
 * The outcome of one tenant in a fleet's run. `skipped`: another backup of the tenant is running, or the tenant has no
 * data any more; the run of the next day tries the tenant again.
 */
export const tenantResult = z.object({
  tenantId: z.uuid(),
  outcome: z.enum(['succeeded', 'failed', 'skipped']),
});
export type TenantResult = z.output<typeof tenantResult>;

/** The results of a page, one array per group. */
export const pageResults = z.array(z.array(tenantResult));

/** The sums of a run so far. */
export const fleetSums = z.object({
  succeeded: z.int().nonnegative(),
  failed: z.int().nonnegative(),
  skipped: z.int().nonnegative(),
  /** The first failed tenants only, because the size of a state is limited. The registry has all of them. */
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

/** Names of errors that are no failures of the run: the tenant has a running backup already, or needs none. */
const SKIPS = ['BackupInProgress', 'TenantNotBackupable'];

/**
 * Maps the failure of a tenant's execution to its outcome in the run.
 * @param cause as `startExecution.sync` reports it: the execution's description as JSON text, or any other text.
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
