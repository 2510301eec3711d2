import { stepContext } from '../../relocation-world.ts';
import { onStage, refused } from '../scenario.ts';

/** A relocated row is not what it was: the source, which is kept until both sides were compared, is the only right one. */
export const rowThatDiffersAfterTheFlip = onStage('schema', async (stage) => {
  const { code } = stage;
  const away = await stage.addDatabase();
  const hop = await stage.hop('relocate', 'schema', { to: away });
  const { attempt, target } = hop;
  const [source, arriving] = [await stage.owner(), await stage.owner(away)];
  await stage.addSchema(away, { tenantId: attempt.tenantId, ...target });
  const { rows } = await source.query(
    `SELECT employee_id, email, first_name, last_name, created_at, updated_at FROM ${hop.source.schemaName}.employees`,
  );
  await code.claim.claimTenant(source, attempt);
  for (const row of rows)
    await arriving.query(
      `INSERT INTO ${target.schemaName}.employees (${Object.keys(row).join(', ')}) VALUES ($1, $2, $3, $4, $5, $6)`,
      Object.values({ ...row, first_name: row.email === 'ada' ? 'tampered' : row.first_name }),
    );
  await code.arrival.placeAtTarget(arriving, { tenantId: attempt.tenantId, ...target });
  const fence = await code.fence.raiseFence(source, attempt);
  await code.fence.withoutWriters(source, attempt.tenantId, () =>
    code.fence.commitRelocate(source, attempt, fence, { forward: {} }),
  );
  if (await refused(code.compareRelocate(stepContext(hop)), 'MoveMismatch')) return [];
  return stage.violations(away);
});
