import { StepLog } from '../../hop-world.ts';
import { onStage, refused } from '../scenario.ts';

/** A row of the copy is changed behind everybody's back. */
export const rowThatDiffersAfterTheCopy = onStage('schema', async (stage) => {
  const { code } = stage;
  const log = new StepLog(await stage.hop('reshape', 'shared'));
  await log.run(code.prepareReshape);
  await log.run(code.copyReshape);
  const owner = await stage.owner();
  await owner.query('BEGIN');
  await owner.query('SELECT tenancy.enter_move($1, NULL)', [stage.tenant.tenantId]);
  await owner.query("UPDATE shared.employees SET first_name = 'tampered' WHERE email = 'ada'");
  await owner.query('COMMIT');
  if (!(await refused(log.run(code.catchUpReshape), 'MoveMismatch'))) await stage.cutOver(log);
  return stage.violations();
});
