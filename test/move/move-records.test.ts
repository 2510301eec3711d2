import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { beginMove } from '../../functions/moves/begin-move.ts';
import {
  MoveForbidden,
  MoveInProgress,
  MoveNotStarted,
  MoveOvertaken,
  NothingToMove,
  TenantNotMovable,
} from '../../functions/moves/errors.ts';
import type { MoveTarget } from '../../functions/moves/move-target.ts';
import { nextHop } from '../../functions/moves/next-hop.ts';
import { recoverMoves } from '../../functions/moves/recover-moves.ts';
import { requestMove } from '../../functions/moves/request-move.ts';
import { listMoves } from '../../functions/registry/moves.ts';
import { getTenant } from '../../functions/registry/tenant-record.ts';
import { alive, arn, dead, MoveRegistry, operator, STATE_MACHINE, unknown } from './move-registry.ts';

let world: MoveRegistry;
beforeAll(async () => {
  world = await MoveRegistry.create();
  await world.addCell('a');
  await world.addCell('b');
  await world.addCell('e1', { region: 'eu', dataResidency: 'eu' });
});
afterAll(() => world?.drop());

const oneRegion = () => ({ keys: ['us'], ownKey: 'us', own: world.registry, of: () => world.registry });

function request(
  tenantId: string,
  target: MoveTarget,
  start: (name: string, input: object) => Promise<void>,
) {
  const options = { actor: operator, startedBy: operator.id, stateMachineArn: STATE_MACHINE, start };
  return requestMove(world.registry, { tenantId, target, force: false }, options);
}

describe('asking for a move', () => {
  test('records it under the name of its execution before it is started', async () => {
    const tenantId = await world.addTenant();
    const started: { name: string; input: object }[] = [];
    const moveId = await request(tenantId, { tier: 'enterprise' }, async (name, input) => {
      started.push({ name, input });
    });
    const input = { tenantId, targetTier: 'enterprise', moveId, startedBy: operator.id };
    expect(started).toEqual([{ name: `move-${moveId}`, input }]);
    expect(await world.view(tenantId, moveId)).toMatchObject({
      moveId,
      tenantId,
      status: 'running',
      phase: 'planned',
      reason: null,
      target: { tier: 'enterprise' },
      force: false,
      phases: [],
      report: null,
      executionArn: arn(`move-${moveId}`),
      finishedAt: null,
      plan: [
        {
          hop: 0,
          kind: 'reshape',
          from: { isolationModel: 'shared', cellId: 'a', region: 'us' },
          state: 'planned',
        },
        {
          hop: 1,
          kind: 'relocate',
          to: { isolationModel: 'dedicated', cellId: null, region: 'us' },
          state: 'planned',
        },
      ],
      startedBy: operator.id,
    });
    await expect(request(tenantId, { tier: 'business' }, async () => {})).rejects.toThrow(MoveInProgress);
    expect(await world.audited(tenantId)).toEqual(['move.start']);
    // Its execution takes it up, however often it begins.
    for (let n = 0; n < 2; n++) {
      expect(await beginMove(world.registry, input, arn(`move-${moveId}`), dead)).toEqual({
        moveId,
        tenantId,
      });
    }
    expect((await world.view(tenantId, moveId)).phase).toBe('begun');
  });

  test('that cannot be started fails, and frees the tenant', async () => {
    const tenantId = await world.addTenant();
    const refuse = async () => {
      throw new Error('no workflow today');
    };
    await expect(request(tenantId, { tier: 'business' }, refuse)).rejects.toThrow(MoveNotStarted);
    const { items } = await listMoves(oneRegion(), tenantId, { limit: 50, cursor: undefined });
    expect(items).toMatchObject([
      { status: 'failed', reason: 'The move could not be started. Try again later.' },
    ]);
    expect(await world.audited(tenantId)).toEqual(['move.start', 'move.fail']);
    // The start had happened all the same: its execution has nothing to do.
    const executionArn = items[0]?.executionArn as string;
    const input = { tenantId, targetTier: 'business' };
    await expect(beginMove(world.registry, input, executionArn, alive)).rejects.toThrow(MoveOvertaken);
    await request(tenantId, { tier: 'business' }, async () => {});
  });

  test.each([
    [{}, { tier: 'starter' }, NothingToMove],
    [{ status: 'suspended' }, { tier: 'business' }, TenantNotMovable],
    [{}, { cell: 'e1' }, MoveForbidden],
  ] as const)('%j to %j is refused and leaves no trace', async (settings, target, error) => {
    const tenantId = await world.addTenant(settings);
    await expect(request(tenantId, target, async () => {})).rejects.toThrow(error);
    expect(await world.audited(tenantId)).toEqual([]);
    expect((await listMoves(oneRegion(), tenantId, { limit: 1, cursor: undefined })).items).toEqual([]);
  });

  test('ten times at once makes one move', async () => {
    const tenantId = await world.addTenant();
    const registries = await Promise.all(Array.from({ length: 10 }, () => world.another()));
    const outcomes = await Promise.allSettled(
      registries.map((registry, n) =>
        beginMove(registry, { tenantId, targetTier: 'business' }, arn(`at-once-${n}`), alive),
      ),
    );
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    for (const outcome of outcomes) {
      if (outcome.status === 'rejected') expect(outcome.reason).toBeInstanceOf(MoveInProgress);
    }
  });
});

describe('an execution that begins', () => {
  test('takes the tenant from a dead one, which is marked as aborted, but not from a live one', async () => {
    const first = await world.begin();
    const { tenantId } = first;
    const again = () =>
      beginMove(world.registry, { tenantId, targetTier: 'business' }, arn(`new-${tenantId}`), dead);
    await expect(
      beginMove(world.registry, { tenantId, targetTier: 'business' }, arn('other'), alive),
    ).rejects.toThrow(MoveInProgress);
    const { moveId } = await again();
    expect(moveId).not.toBe(first.moveId);
    expect(await again()).toEqual({ tenantId, moveId });
    expect(await world.view(tenantId, first.moveId)).toMatchObject({
      status: 'aborted',
      reason: 'The workflow of the move ended before the move was done.',
    });
    await expect(nextHop(world.registry, first.moveId)).rejects.toThrow(MoveOvertaken);
  });

  test('leaves a move alone that was recorded a moment ago and whose execution is not there yet', async () => {
    const tenantId = await world.addTenant();
    const moveId = await request(tenantId, { tier: 'business' }, async () => {});
    const begin = () =>
      beginMove(world.registry, { tenantId, targetTier: 'business' }, arn(`x-${tenantId}`), unknown);
    await expect(begin()).rejects.toThrow(MoveInProgress);
    expect(await recoverMoves(world.registry, unknown)).toMatchObject({ cleanUps: [] });
    expect((await world.view(tenantId, moveId)).status).toBe('running');
    await world.registry.query(
      "UPDATE tenant_moves SET started_at = started_at - interval '2 minutes' WHERE move_id = :moveId::uuid",
      { moveId },
    );
    await begin();
    expect((await world.view(tenantId, moveId)).status).toBe('aborted');
  });

  test('names the tenant by its slug too', async () => {
    const tenantId = await world.addTenant();
    const { slug } = await getTenant(world.registry, tenantId);
    const input = { tenantId: slug, targetTier: 'business', startedBy: 'billing' };
    const { moveId } = await beginMove(world.registry, input, arn(`slug-${slug}`), alive);
    expect(await world.view(tenantId, moveId)).toMatchObject({ tenantId, startedBy: 'billing' });
  });
});
