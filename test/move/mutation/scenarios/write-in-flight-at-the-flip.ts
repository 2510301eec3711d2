import { StepLog } from '../../hop-world.ts';
import { onStage } from '../scenario.ts';

/** A write has entered, and is committed only after the move has been: or the move waits for it. */
export const writeInFlightAtTheFlip = onStage('schema', async (stage) => {
  const { code } = stage;
  const log = new StepLog(await stage.hop('reshape', 'shared'));
  for (const step of [code.prepareReshape, code.copyReshape, code.catchUpReshape]) await log.run(step);
  const writer = await stage.enter();
  await writer.rename('ada', 'second');
  const cuttingOver = stage.cutOver(log);
  await stage.waitsOrEnds(cuttingOver);
  await writer.commit();
  await cuttingOver;
  return stage.violations();
});
