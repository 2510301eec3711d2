import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { MoveAborted, MoveOvertaken } from '../../functions/moves/errors.ts';
import { openPhase } from '../../functions/moves/hop-context.ts';
import { hopsOf, setHopState } from '../../functions/moves/move-records.ts';
import { nextHop } from '../../functions/moves/next-hop.ts';
import { abortMove } from '../../functions/moves/request-move.ts';
import { far, MoveRegistry, operator } from './move-registry.ts';

let world: MoveRegistry;
beforeAll(async () => {
  world = await MoveRegistry.create();
  await world.addCell('a');
  await world.addCell('b');
  await world.addCell('e1', { region: 'eu', dataResidency: 'eu' });
});
afterAll(() => world?.drop());

describe('a step', () => {
  const entries = async (tenantId: string, moveId: string) =>
    (await world.view(tenantId, moveId)).phases as Record<string, unknown>[];

  test('shows its phase and progress, and ends the phase before', async () => {
    const { tenantId, moveId } = await world.begin();
    await nextHop(world.registry, moveId);
    await openPhase(world.registry, { moveId, hopIndex: 0, phase: 'prepare' }, far());
    const copy = await openPhase(world.registry, { moveId, hopIndex: 0, phase: 'copy' }, far());
    await copy.progress({ rowsDone: 10, rowsTotal: 100, bytesDone: 5 });
    // Too soon to be told, but kept for the next time.
    await copy.progress({ rowsDone: 20, bytesDone: 50 });
    expect((await entries(tenantId, moveId))[1]).toMatchObject({
      rowsDone: 10,
      rowsTotal: 100,
      bytesDone: 5,
    });
    await copy.progress({ rowsDone: 100, rowsTotal: 100 });
    await copy.progress({ pauseMs: 12.5 });
    const move = await world.view(tenantId, moveId);
    expect(move).toMatchObject({ phase: 'copy', currentPauseMs: 12.5 });
    expect(move.phases).toEqual([
      {
        hop: 0,
        name: 'prepare',
        status: 'done',
        startedAt: expect.any(String),
        finishedAt: expect.any(String),
        rowsDone: null,
        rowsTotal: null,
        bytesDone: null,
        bytesTotal: null,
        lagBytes: null,
        pauseMs: null,
      },
      {
        hop: 0,
        name: 'copy',
        status: 'running',
        startedAt: expect.any(String),
        finishedAt: null,
        rowsDone: 100,
        rowsTotal: 100,
        bytesDone: 50,
        bytesTotal: null,
        lagBytes: null,
        pauseMs: 12.5,
      },
    ]);
  });

  test('that runs late, or twice at once, lists no phase twice and takes none back', async () => {
    const { tenantId, moveId } = await world.begin();
    await nextHop(world.registry, moveId);
    const late = await openPhase(world.registry, { moveId, hopIndex: 0, phase: 'prepare' }, far());
    const registries = await Promise.all(Array.from({ length: 5 }, () => world.another()));
    await Promise.all(
      registries.map((registry) => openPhase(registry, { moveId, hopIndex: 0, phase: 'copy' }, far())),
    );
    await late.progress({ rowsDone: 1 });
    await openPhase(world.registry, { moveId, hopIndex: 0, phase: 'prepare' }, far());
    expect(await entries(tenantId, moveId)).toMatchObject([
      { name: 'prepare', status: 'done', rowsDone: null },
      { name: 'copy', status: 'running' },
    ]);
    expect((await world.view(tenantId, moveId)).phase).toBe('copy');
  });

  test('keeps facts and fills in the target for those that follow', async () => {
    const { moveId } = await world.begin();
    await nextHop(world.registry, moveId);
    const step = { moveId, hopIndex: 0, phase: 'credentials' };
    const context = await openPhase(world.registry, step, far());
    await context.keep({ copiedRows: 5, tables: [{ name: 'teams', rows: 5 }] });
    await context.keep({ copiedBytes: 50 });
    await context.amendTarget({ secretArn: 'made' });
    expect(context.hop.target.secretArn).toBe('made');
    const next = await openPhase(world.registry, { ...step, phase: 'prepare' }, far());
    expect(next.kept).toEqual({ copiedRows: 5, copiedBytes: 50, tables: [{ name: 'teams', rows: 5 }] });
    expect(next.hop.target.secretArn).toBe('made');
  });

  test('is stopped by an abort until it is committed, and by nothing afterwards', async () => {
    const { tenantId, moveId } = await world.begin();
    await nextHop(world.registry, moveId);
    const step = { moveId, hopIndex: 0, phase: 'cut-over' };
    const context = await openPhase(world.registry, step, far());
    expect(await abortMove(world.registry, { tenantId, moveId, operator: operator.id })).toBe(true);
    expect(await abortMove(world.registry, { tenantId, moveId, operator: operator.id })).toBe(true);
    await expect(context.progress({})).rejects.toThrow(MoveAborted);
    await expect(openPhase(world.registry, step, far())).rejects.toThrow(MoveAborted);
    await expect(nextHop(world.registry, moveId)).rejects.toThrow(MoveAborted);
    await context.keep({ committedAt: new Date().toISOString(), writePauseMs: 3 });
    await context.progress({});
    await openPhase(world.registry, step, far());
    await openPhase(world.registry, { ...step, phase: 'compare' }, far());
    expect((await hopsOf(world.registry, moveId))[0]?.state).toBe('committed');
    expect(await world.audited(tenantId)).toEqual(['move.start', 'move.abort']);
  });

  test('has nothing to say in a move that has ended, or a hop that is rolled back', async () => {
    const { moveId } = await world.begin();
    await nextHop(world.registry, moveId);
    const context = await openPhase(world.registry, { moveId, hopIndex: 0, phase: 'copy' }, far());
    await setHopState(world.registry, context.hop, ['working'], 'rolling-back');
    await expect(context.progress({})).rejects.toThrow(MoveOvertaken);
    await expect(context.keep({ a: 1 })).rejects.toThrow(MoveOvertaken);
    await expect(context.amendTarget({ secretArn: 'x' })).rejects.toThrow(MoveOvertaken);
    await expect(openPhase(world.registry, { moveId, hopIndex: 0, phase: 'copy' }, far())).rejects.toThrow(
      MoveOvertaken,
    );
    await expect(nextHop(world.registry, moveId)).rejects.toThrow(MoveOvertaken);
  });
});
