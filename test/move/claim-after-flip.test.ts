/** What the model of the placement protocol found in an earlier form of the claim (guard `claimChecksEpoch`). */
import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { expect, test } from 'vitest';
import { type Attempt, claimed, claimTenant } from '../../functions/database/transfer/claim.ts';
import { ClaimLost, WritersBusy } from '../../functions/database/transfer/errors.ts';
import {
  commitReshape,
  lowerFence,
  raiseFence,
  withoutWriters,
} from '../../functions/database/transfer/fence.ts';
import { TestDatabase } from '../test-database.ts';

async function claimedTenant(): Promise<{ database: TestDatabase; owner: pg.Client; attempt: Attempt }> {
  const database = await TestDatabase.clone();
  const { tenantId } = await database.addTenant('schema');
  const owner = await database.connect('owner');
  const attempt = { tenantId, epoch: 1, attemptId: randomUUID() };
  await claimTenant(owner, attempt);
  return { database, owner, attempt };
}

test('a step that is delivered once more after the flip, before the release, is refused', async () => {
  const { owner, attempt } = await claimedTenant();
  const fence = await raiseFence(owner, attempt);
  const next = { isolationModel: 'schema', schemaName: 'x', roleName: 'x', forward: {} } as const;
  await withoutWriters(owner, attempt.tenantId, () => commitReshape(owner, attempt, fence, next));
  await expect(claimed(owner, attempt, async () => 'empties the target')).rejects.toThrow(ClaimLost);
});

test('a fence that meets a snapshot of the same attempt says that it can be tried again', async () => {
  const { database, owner, attempt } = await claimedTenant();
  const other = await database.connect('owner');
  // A step that runs twice: its snapshot locks the placement's row.
  const work = async () => {
    const raising = raiseFence(other, attempt, { patienceMs: 0 });
    const error = await raising.catch((caught: unknown) => caught);
    if (!(error instanceof Error)) await lowerFence(other, attempt, error as Awaited<typeof raising>);
    return error;
  };
  expect(await claimed(owner, attempt, work, { isolation: 'repeatable read' })).toBeInstanceOf(WritersBusy);
});

test('a ROLLBACK that the transaction’s own statement timeout cancels is sent again, and the session goes on', async () => {
  const { owner, attempt } = await claimedTenant();
  const query = owner.query.bind(owner) as (...sent: unknown[]) => Promise<unknown>;
  let cancelled = 0;
  // As PostgreSQL does it to a process that did not get the processor in time: the transaction stays aborted.
  const cancelOnce = async (...sent: unknown[]) => {
    if (sent[0] !== 'ROLLBACK' || cancelled++ > 0) return query(...sent);
    const error = new pg.DatabaseError('canceling statement due to statement timeout', 0, 'error');
    throw Object.assign(error, { code: '57014' });
  };
  Object.assign(owner, { query: cancelOnce });
  const tooLate = async () => {
    await owner.query("SET LOCAL statement_timeout = '1ms'");
    await owner.query('SELECT pg_catalog.pg_sleep(1)');
  };
  await expect(withoutWriters(owner, attempt.tenantId, tooLate)).rejects.toMatchObject({ code: '57014' });
  expect(cancelled).toBe(2);
  await expect(withoutWriters(owner, attempt.tenantId, async () => 'next')).resolves.toBe('next');
});
