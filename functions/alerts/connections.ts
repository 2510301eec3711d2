/**
 * Exhaustion of connections. A tenant's role has a CONNECTION LIMIT; the role of a cell's Starter tenants has none, so it is
 * compared with what the proxy may open. A run sees one moment: CloudWatch alarms on the proxy's borrow latency and on its
 * share of connections see the time in between.
 */
import { type Finding, levelOf, ofCell, ofTenant, percent } from './finding.ts';
import type { ObservedDatabase } from './observed-database.ts';
import type { AlertThresholds } from './thresholds.ts';

/** As `maxConnectionsPercent` of the proxy; the rest is for workflow tasks. */
const PROXY_SHARE = 0.9;

export function judgeConnections(
  { key, cellId, observation, tenantOf }: ObservedDatabase,
  { connections: thresholds }: AlertThresholds,
): Finding[] {
  const { used, max, roles } = observation.connections;
  const found: Finding[] = [];
  const clusterLevel = levelOf(used / max, thresholds);
  if (clusterLevel) {
    found.push({
      kind: 'connections-exhausted',
      ...(cellId ? ofCell(cellId) : ofTenant(key)),
      level: clusterLevel,
      summary: `${used} of the ${max} connections of ${cellId ? `cell ${cellId}` : 'a tenant’s own cluster'} are in use (${percent(used / max)}).`,
      details: { database: key, used, max },
    });
  }
  for (const { role, used: ofRole, limit } of roles) {
    const most = limit ?? Math.floor(max * PROXY_SHARE);
    const level = levelOf(most === 0 ? 1 : ofRole / most, thresholds);
    if (!level) continue;
    const tenantId = tenantOf(role);
    const about = tenantId ? ofTenant(tenantId) : cellId ? ofCell(cellId) : ofTenant(key);
    found.push({
      kind: 'connections-exhausted',
      ...about,
      // Beside the finding about the cluster.
      subject: `${about.subject} role ${role}`,
      ...(cellId ? { cellId } : {}),
      level,
      summary: `${tenantId ? 'A tenant’s role' : 'The role of Starter tenants'} uses ${ofRole} of ${most} connections (${percent(ofRole / most)}).`,
      details: { database: key, role, used: ofRole, limit: most },
    });
  }
  return found;
}
