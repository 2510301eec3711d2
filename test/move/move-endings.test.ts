import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { beginMove } from '../../functions/moves/begin-move.ts';
import { cleanUpHop } from '../../functions/moves/clean-up-hop.ts';
import { endFailedMove, endMove } from '../../functions/moves/end-move.ts';
import { HopNotCommitted, MoveAborted, MoveNotAbortable } from '../../functions/moves/errors.ts';
import { hopsOf } from '../../functions/moves/move-records.ts';
import { nextHop } from '../../functions/moves/next-hop.ts';
import { type Probes, recoverMoves } from '../../functions/moves/recover-moves.ts';
import { abortMove } from '../../functions/moves/request-move.ts';
import { getTenant } from '../../functions/registry/tenant-record.ts';
import { alive, arn, dead, MoveRegistry, operator, STATE_MACHINE } from './move-registry.ts';
import { openHop, place } from './target-hop.ts';

let world: MoveRegistry;
beforeAll(async () => {
  world = await MoveRegistry.create();
  await world.addCell('a');
  await world.addCell('b');
  await world.addCell('e1', { region: 'eu', dataResidency: 'eu' });
});
afterAll(() => world?.drop());

describe('an abort', () => {
  test('between two hops stops before the second, and says where the tenant is', async () => {
    const { tenantId, moveId } = await world.begin({}, { targetTier: 'enterprise' });
    await nextHop(world.registry, moveId);
    await world.settle(moveId, 0);
    await abortMove(world.registry, { tenantId, moveId, operator: operator.id });
    await expect(nextHop(world.registry, moveId)).rejects.toThrow(MoveAborted);
    const cause = JSON.stringify({ errorMessage: new MoveAborted().message });
    const reason = 'The move was aborted. The tenant is in a schema of cell a now.';
    for (let n = 0; n < 2; n++) {
      expect(await endFailedMove(world.registry, moveId, { Error: 'MoveAborted', Cause: cause })).toEqual({
        outcome: 'aborted',
        reason,
      });
    }
    expect(await world.view(tenantId, moveId)).toMatchObject({
      status: 'aborted',
      reason,
      plan: [{ state: 'settled' }, {}],
    });
  });

  test('comes too late for a tenant that has arrived, and for a move that has ended', async () => {
    const { tenantId, moveId } = await world.begin();
    const abort = () => abortMove(world.registry, { tenantId, moveId, operator: operator.id });
    await nextHop(world.registry, moveId);
    await world.settle(moveId, 0);
    await expect(abort()).rejects.toThrow(MoveNotAbortable);
    await endMove(world.registry, moveId);
    await expect(abort()).rejects.toThrow(MoveNotAbortable);
    const other = await world.addTenant();
    expect(await abortMove(world.registry, { tenantId: other, moveId, operator: operator.id })).toBe(false);
  });
});

describe('the end of a move', () => {
  test('waits for a function of the stopped workflow that opens a hop just now, and closes that too', async () => {
    const { tenantId, moveId } = await world.begin();
    const late = await world.another();
    const pid = (await late.query<{ pid: number }>('SELECT pg_backend_pid() AS pid'))[0]?.pid ?? 0;
    const observer = await world.another();
    let recovery: Promise<unknown> | undefined;
    await late.transaction(async (transaction) => {
      await nextHop({ transaction: (work) => work(transaction) }, moveId);
      recovery = recoverMoves(world.registry, dead);
      recovery.catch(() => {});
      const waits = async () =>
        (
          await observer.query('SELECT FROM pg_stat_activity WHERE :pid::int = ANY (pg_blocking_pids(pid))', {
            pid,
          })
        ).length;
      await expect.poll(waits, { interval: 10 }).toBe(1);
    });
    // The source of this hop is nowhere, so it cannot be closed yet. The next recovery finds it.
    await expect(recovery).rejects.toThrow();
    expect((await hopsOf(world.registry, moveId)).map(({ state }) => state)).toEqual(['working']);
    expect(await world.view(tenantId, moveId)).toMatchObject({ status: 'running' });
  });

  test('gives the tenant its tier and the move its report', async () => {
    const { tenantId, moveId, executionArn } = await world.begin({}, { targetTier: 'enterprise' });
    await world.registry.query('UPDATE tenants SET max_storage_gb = 7 WHERE tenant_id = :tenantId::uuid', {
      tenantId,
    });
    await nextHop(world.registry, moveId);
    const tables = [{ name: 'teams', rows: 4, sourceHash: 'h', targetHash: 'h' }];
    const facts = {
      copiedRows: 3,
      copiedBytes: 30,
      pauses: [4, 9],
      writePauseMs: 9,
      copyRestedMs: 700,
      retried: { source: 2, target: 1 },
    };
    await world.settle(moveId, 0, facts);
    await expect(endMove(world.registry, moveId)).rejects.toThrow(HopNotCommitted);
    await nextHop(world.registry, moveId);
    const more = { ...facts, copiedRows: 4, copiedBytes: 40, tables, writePauseMs: 5, pauses: [5] };
    await world.settle(moveId, 1, { ...more, retried: { source: 5, target: 3 } });
    expect(await nextHop(world.registry, moveId)).toMatchObject({
      finished: true,
      hopIndex: 2,
      needsDatabase: false,
    });
    const finished = await endMove(world.registry, moveId);
    expect(await endMove(world.registry, moveId)).toEqual(finished);
    const move = await world.view(tenantId, moveId);
    expect(move).toMatchObject({
      status: 'succeeded',
      phase: 'finished',
      report: finished.report,
      reason: null,
    });
    expect(finished.report).toEqual({
      writePauseMs: 9,
      rows: 4,
      bytes: 40,
      tables,
      retriedRequests: 10,
      copyRestedMs: 1_400,
      startedBy: executionArn,
      seconds: expect.any(Number),
      phases: expect.any(Array),
      hops: [
        {
          kind: 'reshape',
          writePauseMs: 9,
          pauses: [4, 9],
          rows: 3,
          bytes: 30,
          committedAt: expect.any(String),
        },
        {
          kind: 'relocate',
          writePauseMs: 5,
          pauses: [5],
          rows: 4,
          bytes: 40,
          committedAt: expect.any(String),
        },
      ],
    });
    expect(finished.report.phases.map(({ hop, name }) => `${hop} ${name}`)).toEqual(['0 settle', '1 settle']);
    expect(await getTenant(world.registry, tenantId)).toMatchObject({
      tier: 'enterprise',
      isolationModel: 'dedicated',
      cellId: null,
      epoch: 3,
      maxUsers: null,
      maxStorageGb: 7,
    });
    expect(await world.audited(tenantId)).toEqual(['move.start', 'move.succeed']);

    // What was counted at the place before is not told again by the next move.
    const back = await beginMove(
      world.registry,
      { tenantId, targetTier: 'business', force: true },
      arn(`b-${tenantId}`),
      alive,
    );
    await nextHop(world.registry, back.moveId);
    await world.settle(back.moveId, 0, { retried: { source: 4, target: 1 } });
    expect((await endMove(world.registry, back.moveId)).report.retriedRequests).toBe(2);
  });

  test('of a residency move changes where the tenant is at home', async () => {
    const { tenantId, moveId } = await world.begin({ tier: 'business' }, { targetResidency: 'eu' });
    await nextHop(world.registry, moveId);
    await world.settle(moveId, 0);
    await endMove(world.registry, moveId);
    expect(await getTenant(world.registry, tenantId)).toMatchObject({
      tier: 'business',
      dataResidency: 'eu',
      region: 'eu',
      cellId: 'e1',
      maxUsers: 500,
    });
    const [row] = await world.registry.query(
      'SELECT home_region FROM tenants WHERE tenant_id = :tenantId::uuid',
      {
        tenantId,
      },
    );
    expect(row).toEqual({ home_region: 'eu' });
  });

  test('in a place that the tier already has is reached without a hop', async () => {
    const tenantId = await world.addTenant({ tier: 'business' });
    await world.registry.query(
      "UPDATE tenants SET subscription_tier = 'starter' WHERE tenant_id = :tenantId::uuid",
      {
        tenantId,
      },
    );
    const { moveId } = await beginMove(
      world.registry,
      { tenantId, targetTier: 'business' },
      arn(`0-${tenantId}`),
      alive,
    );
    expect(await nextHop(world.registry, moveId)).toMatchObject({ finished: true, hopIndex: 0 });
    const { report } = await endMove(world.registry, moveId);
    expect(report).toMatchObject({ rows: 0, writePauseMs: 0, hops: [] });
    expect((await getTenant(world.registry, tenantId)).tier).toBe('business');
  });

  test('between two hops leaves the tenant where the first one took it, and the same input does the rest', async () => {
    const { tenantId, moveId } = await world.begin({}, { targetTier: 'enterprise' });
    await nextHop(world.registry, moveId);
    await world.settle(moveId, 0);
    expect(await endFailedMove(world.registry, moveId, { Error: 'States.Timeout' })).toEqual({
      outcome: 'failed',
      reason: 'A phase of the move took too long. The tenant is in a schema of cell a now.',
    });
    expect(await getTenant(world.registry, tenantId)).toMatchObject({
      tier: 'starter',
      isolationModel: 'schema',
      epoch: 2,
    });
    const input = { tenantId, targetTier: 'enterprise' };
    const again = await beginMove(world.registry, input, arn(`a-${tenantId}`), alive);
    await nextHop(world.registry, again.moveId);
    await world.settle(again.moveId, 0);
    await endMove(world.registry, again.moveId);
    expect(await getTenant(world.registry, tenantId)).toMatchObject({
      tier: 'enterprise',
      isolationModel: 'dedicated',
      epoch: 3,
    });
  });

  test('by an error says no more than our own errors vouch for', async () => {
    const told = async (failure: { Error: string; Cause?: string }) => {
      const { tenantId, moveId } = await world.begin();
      const { outcome, reason } = await endFailedMove(world.registry, moveId, failure);
      expect(await world.view(tenantId, moveId)).toMatchObject({ status: outcome, reason });
      return reason;
    };
    const secret = JSON.stringify({ errorMessage: 'password authentication failed for db.internal' });
    expect(await told({ Error: 'DatabaseError', Cause: secret })).toBe('An internal error stopped the move.');
    expect(await told({ Error: 'States.Timeout' })).toBe('A phase of the move took too long.');
    expect(await told({ Error: 'ReplicationBroken', Cause: 'not JSON' })).toBe(
      'An internal error stopped the move.',
    );
    const broken = JSON.stringify({ errorMessage: 'The replication to the new place broke.' });
    expect(await told({ Error: 'ReplicationBroken', Cause: broken })).toBe(
      'The replication to the new place broke.',
    );
  });
});

describe('recovery', () => {
  test('ends what dead executions left, of one of them or of all, and leaves the living alone', async () => {
    const [one, two, three] = [await world.begin(), await world.begin(), await world.begin()];
    const status = async ({ tenantId, moveId }: typeof one) => (await world.view(tenantId, moveId)).status;
    const ended = { executionArn: one.executionArn, status: 'FAILED' };
    const failed: Probes = { statusOf: async () => 'failed' };
    expect(await recoverMoves(world.registry, { ...failed, ended })).toEqual({
      moves: [one.moveId],
      cleanUps: [],
    });
    expect([await status(one), await status(two)]).toEqual(['failed', 'running']);
    const { moves } = await recoverMoves(world.registry, {
      statusOf: async (executionArn) => (executionArn === three.executionArn ? 'ended' : 'running'),
    });
    expect(moves).toContain(three.moveId);
    expect([await status(two), await status(three)]).toEqual(['running', 'aborted']);
  });

  test('starts a clean-up anew that is missing or dead, once', async () => {
    const { moveId } = await world.begin();
    await nextHop(world.registry, moveId);
    await world.settle(moveId, 0);
    const started: object[] = [];
    const cleanUp = {
      stateMachineArn: STATE_MACHINE,
      start: async (_: string, input: object) => {
        started.push(input);
      },
    };
    const ours = () => started.filter((input) => (input as { moveId: string }).moveId === moveId);
    // The workflow, which is still at it, starts the first one itself.
    await recoverMoves(world.registry, { ...alive, cleanUp });
    expect(ours()).toEqual([]);
    await endMove(world.registry, moveId);
    const { cleanUps } = await recoverMoves(world.registry, { ...alive, cleanUp });
    expect(ours()).toEqual([{ moveId, hopIndex: 0 }]);
    await recoverMoves(world.registry, { ...alive, cleanUp });
    expect(ours()).toHaveLength(1);
    const executionArn = (await hopsOf(world.registry, moveId))[0]?.cleanUpExecutionArn as string;
    expect(cleanUps).toContain(executionArn);
    await recoverMoves(world.registry, { ...dead, cleanUp, ended: { executionArn, status: 'TIMED_OUT' } });
    expect(ours()).toHaveLength(2);
  });
});

test('moves.keepDedicated: a clean-up says until when a dedicated database stays, also when it is started anew', async () => {
  const { registry } = world;
  const tenantId = await world.addTenant();
  await openHop(registry, tenantId, { source: place({ isolationModel: 'dedicated' }), target: place({}) });
  // The schema in the database is dropped.
  const [hop] = await registry.query<{ move_id: string }>(
    `UPDATE tenant_move_hops SET state = 'settled', result = '{"cleanedAt": "2026-01-01T00:00:00.000Z"}'
     WHERE tenant_id = :tenantId::uuid RETURNING move_id::text`,
    { tenantId },
  );
  const moveId = hop!.move_id;
  for (const [keepDays, keepUntil] of [
    [0, '2026-01-01T00:00:00.000Z'],
    [30, '2026-01-31T00:00:00.000Z'],
  ] as const) {
    const cleaned = await cleanUpHop(
      registry,
      { moveId, hopIndex: 0 },
      { deadline: 0, keepDays, keepReplacedHours: 0 },
    );
    expect(cleaned).toEqual({ done: true, database: true, keepUntil });
  }
  expect(await hopsOf(registry, moveId)).toMatchObject([{ state: 'settled' }]);
});
