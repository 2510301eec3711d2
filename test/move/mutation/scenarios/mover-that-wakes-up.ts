import { until } from '../../../enter-tenant.ts';
import { onRelocatingStage } from '../relocating-stage.ts';
import { refused } from '../scenario.ts';

/**
 * A mover is frozen when its marker has arrived. Its fence runs out, a client clears it and writes, and another run of
 * the step raises the next fence, behind which the first one wakes up.
 */
export const moverThatWakesUp = onRelocatingStage(async (stage, { hop, away, home, keepBack }) => {
  const { arrival, claim, fence, marker } = stage.code;
  const { attempt, source, target } = hop;
  const { tenantId } = attempt;
  const [frozen, other, arriving] = [await stage.owner(), await stage.owner(), await stage.owner(away)];
  await claim.inTransaction(arriving, 'read committed', 10, () =>
    arrival.placeAtTarget(arriving, { tenantId, ...target }),
  );
  const first = await fence.raiseFence(frozen, attempt, { seconds: 1 });
  await marker.markFence(frozen, source.schemaName, attempt, first);
  const patience = performance.now() + 10_000;
  if (!(await marker.awaitMarker(arriving, target.schemaName, first.token, patience)))
    throw new Error('the marker has not arrived');
  const client = await stage.database.connect(stage.tenant.login);
  await until(async () => {
    const { rows } = await client.query('SELECT tenancy.clear_fence($1, $2) AS cleared', [
      tenantId,
      first.token,
    ]);
    return rows[0].cleared;
  });
  await keepBack('ada');
  await stage.write((visitor) => visitor.rename('ada', 'second'));
  await fence.raiseFence(other, attempt);
  const flipping = fence.withoutWriters(frozen, tenantId, () =>
    fence.commitRelocate(frozen, attempt, first, { forward: {} }),
  );
  await refused(flipping, 'FenceLost');
  return stage.violations(await home());
});
