import { type PlacementRow, readPlacement } from '../database/transfer/fence.ts';
import { asOwnerOf, type Hop } from './hop.ts';

/** Whether the placement in the database that the tenant leaves says that the hop is committed. */
export function showsCommit(placement: PlacementRow | undefined, hop: Hop): boolean {
  const { attempt, kind, source, target } = hop;
  if (placement?.epoch !== source.epoch + 1) return false;
  // Another attempt can commit only after this one's hop was rolled back, but it costs nothing to look.
  if (placement.mover !== null && placement.mover !== attempt.attemptId) return false;
  if (kind === 'relocate') return placement.state === 'moved';
  return (
    placement.state !== 'moved' &&
    placement.schema_name === target.schemaName &&
    placement.role_name === target.roleName
  );
}

/**
 * The same, as it is now. A hop that is not committed may still be, until its claim has been taken away: the roll back
 * of either kind does that before it drops anything, and stops where it finds a commit.
 */
export function isCommitted(hop: Hop): Promise<boolean> {
  return asOwnerOf(hop.source, async (owner) =>
    showsCommit(await readPlacement(owner, hop.attempt.tenantId), hop),
  );
}
