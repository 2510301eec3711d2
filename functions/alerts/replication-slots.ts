/**
 * Replication slots of moves: each retains WAL until its subscriber has confirmed it, and loses it beyond
 * `max_slot_wal_keep_size`. A slot that is left behind retains WAL for nothing.
 */
import { type Finding, ofCell, ofTenant, sizeText } from './finding.ts';
import type { ObservedDatabase } from './observed-database.ts';
import type { DatabaseObservation } from './survey-database.ts';
import type { AlertThresholds } from './thresholds.ts';

type Slot = DatabaseObservation['slots'][number];

/** @param replicating tenants whose rows a hop that is not ended replicates. */
export function judgeSlots(
  { key, cellId, observation }: ObservedDatabase,
  replicating: ReadonlySet<string>,
  { slots: thresholds }: AlertThresholds,
): Finding[] {
  return observation.slots.flatMap((slot): Finding[] => {
    const reasons = reasonsFor(slot);
    if (reasons.length === 0) return [];
    const tenantId = tenantOfSlot(slot.name);
    const { name, active, walStatus, lagBytes, inactiveSeconds } = slot;
    return [
      {
        kind: 'replication-slot',
        ...(cellId ? ofCell(cellId) : ofTenant(key)),
        ...(tenantId ? { tenantId } : {}),
        subject: `database ${key} slot ${name}`,
        level: 'raise',
        ...(walStatus === 'lost' || walStatus === 'unreserved' ? { severity: 'critical' as const } : {}),
        summary: `Replication slot ${name} ${reasons.join(', and ')}.`,
        details: { database: key, slot: name, active, walStatus, lagBytes, inactiveSeconds },
      },
    ];
  });

  function reasonsFor(slot: Slot): string[] {
    const { active, walStatus, lagBytes, inactiveSeconds, name } = slot;
    const tenantId = tenantOfSlot(name);
    // Slots that copy tables belong to a subscription elsewhere, whose move cannot be told from their names.
    const isUsed = tenantId !== undefined && replicating.has(tenantId);
    return [
      ...(walStatus === 'lost' ? ['has lost its WAL'] : []),
      ...(walStatus === 'unreserved' ? ['is about to lose its WAL'] : []),
      ...(lagBytes >= thresholds.lagBytes ? [`retains ${sizeText(lagBytes)} of WAL`] : []),
      ...(!active && !isUsed && (inactiveSeconds ?? 0) >= thresholds.orphanSeconds
        ? ['is used by no move']
        : []),
    ];
  }
}

/** Slots are named after the tenant: `move_<id>_e<epoch>a<attempt>`. */
function tenantOfSlot(name: string): string | undefined {
  const [, id] = /^move_([0-9a-f]{32})_e/.exec(name) ?? [];
  return id?.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
