import { StepLog } from '../../hop-world.ts';
import { onStage, refused } from '../scenario.ts';

/** The copy is delivered once more when the tenant lives at the target, and the claim has not been released yet. */
export const stepDeliveredAfterTheFlip = onStage('schema', async (stage) => {
  const { code } = stage;
  const hop = await stage.hop('reshape', 'shared');
  const log = new StepLog(hop);
  for (const step of [code.prepareReshape, code.copyReshape, code.catchUpReshape]) await log.run(step);
  await stage.cutOver(log);
  await stage.write((visitor) => visitor.rename('ada', 'second'), hop.target);
  // It knows nothing of what was kept since it was first delivered.
  await refused(new StepLog(hop).run(code.copyReshape), 'ClaimLost');
  return stage.violations();
});
