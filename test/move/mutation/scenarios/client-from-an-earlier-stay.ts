import { randomUUID } from 'node:crypto';
import { onStage, refused } from '../scenario.ts';

/**
 * A tenant is about to come back to its dedicated database, under the role that belongs to it, and is placed there
 * already. A client with a cache of its first stay comes by before the flip.
 */
export const clientFromAnEarlierStay = onStage('dedicated', async (stage) => {
  const { code, tenant } = stage;
  const { tenantId, schemaName, roleName } = tenant;
  const owner = await stage.owner();
  const attempt = { tenantId, epoch: 1, attemptId: randomUUID() };
  await code.claim.claimTenant(owner, attempt);
  const fence = await code.fence.raiseFence(owner, attempt);
  await code.fence.withoutWriters(owner, tenantId, () =>
    code.fence.commitRelocate(owner, attempt, fence, { forward: {} }),
  );
  await code.claim.releaseClaim(owner, attempt);
  const cell = await stage.addDatabase();
  const home = `${schemaName}_in_the_cell`;
  const second = {
    tenantId,
    epoch: 2,
    isolationModel: 'schema' as const,
    schemaName: home,
    roleName: home,
  };
  await stage.addSchema(cell, second);
  await stage.place(cell, second);

  const third = {
    tenantId,
    epoch: 3,
    isolationModel: 'dedicated' as const,
    schemaName: `${schemaName}_again`,
    roleName,
  };
  await stage.addSchema(stage.database, third);
  await code.arrival.placeAtTarget(owner, third);
  const homes = ['the cell'];
  await stage.write((visitor) => visitor.add('eve', 'in the cell'), second, cell);
  const knocking = stage.write((visitor) => visitor.add('dan', 'in the dedicated database'), tenant);
  if (!(await refused(knocking, 'TN003'))) homes.push('the database where it is about to arrive');
  return homes.length > 1 ? [`two homes take writes: ${homes.join(' and ')}`] : [];
});
