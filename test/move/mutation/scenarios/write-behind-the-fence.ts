import { until } from '../../../enter-tenant.ts';
import { stepContext } from '../../relocation-world.ts';
import { onRelocatingStage } from '../relocating-stage.ts';
import { refused } from '../scenario.ts';
import { withinPause } from '../within-pause.ts';

/** The marker is on its way, and a client writes behind it: or it is told to come again. */
export const writeBehindTheFence = onRelocatingStage(async (stage, { hop, home, keepBack }) => {
  const letMarkerThrough = await keepBack('ada');
  await keepBack('bob');
  await stage.write((visitor) => visitor.rename('ada', 'second'));
  const cuttingOver = withinPause(5_000, () => stage.code.cutOverRelocate(stepContext(hop)));
  cuttingOver.catch(() => {});
  const source = await stage.owner();
  await until(async () => {
    const marked = await source.query(
      `SELECT FROM ${hop.source.schemaName}.move_markers m JOIN tenancy.placement p ON p.fence_token = m.marker
       WHERE p.tenant_id = $1`,
      [hop.attempt.tenantId],
    );
    return marked.rowCount === 1;
  });
  await refused(
    stage.write((visitor) => visitor.rename('bob', 'second')),
    'TN001',
  );
  await letMarkerThrough();
  await cuttingOver;
  return stage.violations(await home());
});
