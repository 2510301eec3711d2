/** Unusual access to one tenant's data, and its broken audit chain, as its audit log has it. */
import { type Finding, ofTenant } from './finding.ts';
import type { AccessObservation } from './survey-access.ts';
import type { AlertThresholds } from './thresholds.ts';

export function judgeAccess(
  { tenantId, refusals, operator, changes, newOperators, brokenChain }: AccessObservation,
  { access }: AlertThresholds,
): Finding[] {
  const about = ofTenant(tenantId);
  const found: Finding[] = [];
  if (refusals && refusals.count >= access.refusalsAnHour) {
    found.push({
      kind: 'access-refused',
      ...about,
      level: 'raise',
      summary: `${refusals.count} requests of one actor were refused within an hour.`,
      details: { actor: refusals.actor, refusals: refusals.count },
    });
  }
  if (operator?.days && operator.count >= access.operatorRequestsAnHour) {
    // Operators are rarely at a tenant: without earlier days the threshold alone counts.
    const usual = median(operator.days.totals);
    if (operator.count >= access.factor * usual) {
      found.push({
        kind: 'access-operator',
        ...about,
        level: 'raise',
        summary: `An operator made ${operator.count} requests for one tenant within an hour; ${usual} are usual on a day.`,
        details: { actor: operator.actor, requests: operator.count, usualOnADay: usual },
      });
    }
  }
  if (changes?.days && changes.count >= access.changesADay) {
    const { totals } = changes.days;
    const usual = median(totals);
    if (totals.length >= access.daysOfBaseline && changes.count >= access.factor * usual) {
      found.push({
        kind: 'access-volume',
        ...about,
        level: 'raise',
        summary: `One actor made ${changes.count} changes within a day; all actors of the tenant make ${usual} on a usual day.`,
        details: { actor: changes.actor, changes: changes.count, usualOnADay: usual },
      });
    }
  }
  for (const actor of newOperators) {
    found.push({
      kind: 'access-encrypted',
      ...about,
      subject: `${about.subject} ${actor}`,
      level: 'raise',
      summary: 'An operator had the first access to a tenant that has encrypted fields.',
      details: { actor },
    });
  }
  if (brokenChain) {
    found.push({
      kind: 'audit-chain-broken',
      ...about,
      level: 'raise',
      summary: `The verification of ${brokenChain.checkedAt} found a tenant’s audit log broken.`,
      details: { ...brokenChain },
    });
  }
  return found;
}

/** 0 of nothing. */
function median(values: readonly number[]): number {
  const sorted = [...values].sort((one, other) => one - other);
  const middle = Math.floor(sorted.length / 2);
  if (sorted.length === 0) return 0;
  if (sorted.length % 2 === 1) return sorted[middle] as number;
  return ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2;
}
