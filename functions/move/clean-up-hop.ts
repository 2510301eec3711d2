import type { DataApi } from '../database/registry/data-api.ts';
import { tenantSecretName } from '../placement/tenant-names.ts';
import { HopNotCommitted, MoveOvertaken } from './errors.ts';
import { hopsOf, setHopState } from './move-records.ts';
import { cleanUpRelocate } from './relocate/clean-up-relocate.ts';
import { cleanUpReshape } from './reshape/clean-up-reshape.ts';
import { discardCredentials } from './target/discard-credentials.ts';

/**
 * Drops what the tenant left at the place that a settled hop took it away from, last the secret of its role there.
 * Called until it is done.
 * @param deadline on `performance.now()`'s clock.
 * @throws {HopNotCommitted} the hop is not settled; a hop whose sides differ never is.
 */
export async function cleanUpHop(
  registry: Pick<DataApi, 'query'>,
  { moveId, hopIndex }: { moveId: string; hopIndex: number },
  deadline: number,
): Promise<{ done: boolean }> {
  const hop = (await hopsOf(registry, moveId)).find(({ index }) => index === hopIndex);
  if (!hop) throw new MoveOvertaken();
  if (hop.state === 'cleaned') return { done: true };
  if (hop.state !== 'settled') throw new HopNotCommitted();
  const { kind, source, attempt } = hop;
  const { done } = await (kind === 'reshape'
    ? cleanUpReshape(hop, deadline)
    : cleanUpRelocate(hop, deadline));
  if (!done) return { done };
  // No other attempt ever has this name, so the tenant cannot have come back to it.
  if (source.isolationModel === 'schema') {
    await discardCredentials(source.secretArn ?? tenantSecretName(attempt.tenantId, source.roleName));
  }
  await setHopState(registry, hop, ['settled'], 'cleaned');
  return { done: true };
}
