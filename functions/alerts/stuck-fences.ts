/** Fences that expired and were not lowered. The tenant's next write clears one; until then nobody has written. */
import { type Finding, ofTenant } from './finding.ts';
import type { ObservedDatabase } from './observed-database.ts';
import type { AlertThresholds } from './thresholds.ts';

export function judgeFences(
  { key, cellId, observation }: ObservedDatabase,
  { fenceSeconds }: AlertThresholds,
): Finding[] {
  return observation.fences
    .filter(({ expiredSeconds }) => expiredSeconds >= fenceSeconds)
    .map(({ tenantId, expiredSeconds }) => ({
      kind: 'stuck-fence',
      ...ofTenant(tenantId),
      ...(cellId ? { cellId } : {}),
      level: 'raise',
      summary: `A tenant’s writes are fenced although the fence expired ${Math.floor(expiredSeconds)} seconds ago.`,
      details: { database: key, expiredSeconds: Math.floor(expiredSeconds) },
    }));
}
