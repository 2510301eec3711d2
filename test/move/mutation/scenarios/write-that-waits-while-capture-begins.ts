import { StepLog } from '../../hop-world.ts';
import { freezeBefore } from '../frozen-statement.ts';
import { onStage } from '../scenario.ts';

/** A write waits for the mover that switches the capture on, and goes by what the placement says after the wait. */
export const writeThatWaitsWhileCaptureBegins = onStage('schema', async (stage) => {
  const { code } = stage;
  const log = new StepLog(await stage.hop('reshape', 'shared'));
  const switching = freezeBefore('set capture = true');
  const preparing = log.run(code.prepareReshape);
  await switching.reached;
  const entering = stage.enter();
  await stage.somebodyWaits('shared');
  switching.thaw();
  await preparing;
  const writer = await entering;
  await writer.rename('ada', 'second');
  await log.run(code.copyReshape);
  await log.run(code.catchUpReshape);
  const cuttingOver = stage.cutOver(log);
  await stage.waitsOrEnds(cuttingOver);
  await writer.commit();
  await cuttingOver;
  return stage.violations();
});
