import { StepLog } from '../../hop-world.ts';
import { freezeBefore } from '../frozen-statement.ts';
import { onStage } from '../scenario.ts';

/**
 * The copy is delivered twice. One of them is frozen behind its snapshot, and goes on when the rounds have brought what
 * was written since, compared both sides and ended: or they do not begin before it has ended.
 */
export const copyFrozenSinceBeforeTheRounds = onStage('shared', async (stage) => {
  const { code } = stage;
  const hop = await stage.hop('reshape', 'schema');
  const log = new StepLog(hop);
  for (const step of [code.prepareReshape, code.copyReshape, code.indexReshape]) await log.run(step);
  const emptying = freezeBefore('TRUNCATE');
  const copying = new StepLog(hop).run(code.copyReshape);
  await emptying.reached;
  await stage.write((visitor) => visitor.rename('ada', 'second'));
  await code.catchUpReshape(log.context(0));
  emptying.thaw();
  await copying;
  // Nothing but the turn stands behind the comparison: the flip looks at what was noted since, and at no other row.
  await stage.cutOver(log);
  return stage.violations();
});
