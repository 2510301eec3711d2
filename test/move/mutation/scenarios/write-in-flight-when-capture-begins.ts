import { StepLog } from '../../hop-world.ts';
import { onStage } from '../scenario.ts';

/**
 * A write entered before its row would be noted, and the copy does not see it, since it is committed only behind the
 * last comparison: or the capture is not switched on before it has ended.
 */
export const writeInFlightWhenCaptureBegins = onStage('schema', async (stage) => {
  const { code } = stage;
  const log = new StepLog(await stage.hop('reshape', 'shared'));
  const writer = await stage.enter();
  await writer.rename('ada', 'second');
  const preparing = log.run(code.prepareReshape);
  const drained = await stage.waitsOrEnds(preparing);
  if (drained) await writer.commit();
  await preparing;
  await log.run(code.copyReshape);
  await log.run(code.catchUpReshape);
  const cuttingOver = stage.cutOver(log);
  if (!drained) {
    await stage.waitsOrEnds(cuttingOver);
    await writer.commit();
  }
  await cuttingOver;
  return stage.violations();
});
