import { stepContext } from '../../relocation-world.ts';
import { onRelocatingStage } from '../relocating-stage.ts';
import { refused } from '../scenario.ts';
import { withinPause } from '../within-pause.ts';

/** A write was acknowledged long before the fence, and is late on its way to the target. */
export const writeThatHasNotArrived = onRelocatingStage(async (stage, { hop, home, keepBack }) => {
  await keepBack('ada');
  await stage.write((visitor) => visitor.rename('ada', 'second'));
  const cuttingOver = () => stage.code.cutOverRelocate(stepContext(hop));
  await refused(withinPause(1_000, cuttingOver), 'CutOverPostponed');
  return stage.violations(await home());
});
