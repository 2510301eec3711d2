import { stepContext } from '../../relocation-world.ts';
import { onRelocatingStage } from '../relocating-stage.ts';
import { refused } from '../scenario.ts';
import { withinPause } from '../within-pause.ts';

/**
 * A write has entered before the fence, and is committed once the mover waits for it: before the fence stands, or only
 * at the flip, when the marker has arrived without it. (Where the flip's patience was too short for this test, the move
 * is put off, and it all begins anew.)
 */
export const writeInFlightAtTheFence = onRelocatingStage(async (stage, { hop, home, keepBack, arrived }) => {
  for (let tries = 0; tries < 5; tries++) {
    const letThrough = await keepBack('ada');
    const writer = await stage.enter();
    await writer.rename('ada', 'second');
    const cuttingOver = withinPause(5_000, () => stage.code.cutOverRelocate(stepContext(hop)));
    const postponed = refused(cuttingOver, 'CutOverPostponed');
    await stage.waitsOrEnds(cuttingOver);
    if (!(await stage.isFenced())) await letThrough();
    await writer.commit();
    if (!(await postponed)) break;
    await letThrough();
    await arrived('ada', 'second');
    await stage.write((visitor) => visitor.rename('ada', 'first'));
    await arrived('ada', 'first');
  }
  return stage.violations(await home());
});
