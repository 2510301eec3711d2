import type pg from 'pg';
import { exclusively } from '../database/transfer/claim.ts';
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
 * The same, once every transaction of the attempt that is under way has ended.
 * @throws {MoverBusy} one did not end in time.
 */
export function isCommitted(hop: Hop): Promise<boolean> {
  return asOwnerOf(hop.source, (owner: pg.Client) =>
    exclusively(owner, hop.attempt, async () =>
      showsCommit(await readPlacement(owner, hop.attempt.tenantId), hop),
    ),
  );
}
