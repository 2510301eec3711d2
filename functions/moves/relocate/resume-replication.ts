import { type BothSides, claimedAtTarget } from '../../database/transfer/claimed-target.ts';
import { isEnabled, resume } from '../../database/transfer/replication/subscription.ts';
import { type Hop, replicationName } from '../hop.ts';

/** Lets the workers of a suspended subscription run. Nothing is claimed where they may. @throws {ClaimLost | MoverBusy} */
export async function resumeReplication(sides: BothSides, hop: Hop): Promise<void> {
  const name = replicationName(hop);
  if ((await isEnabled(sides.target, name)) === false)
    await claimedAtTarget(sides, hop.attempt, () => resume(sides.target, name));
}
