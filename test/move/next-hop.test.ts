import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { beginMove } from '../../functions/moves/begin-move.ts';
import { endFailedMove } from '../../functions/moves/end-move.ts';
import { MoveOvertaken } from '../../functions/moves/errors.ts';
import { hopsOf, setHopState } from '../../functions/moves/move-records.ts';
import { nextHop } from '../../functions/moves/next-hop.ts';
import { getTenant } from '../../functions/registry/tenant-record.ts';
import { alive, arn, MoveRegistry } from './move-registry.ts';

let world: MoveRegistry;
beforeAll(async () => {
  world = await MoveRegistry.create();
  await world.addCell('a');
  await world.addCell('b');
  await world.addCell('e1', { region: 'eu', dataResidency: 'eu' });
});
afterAll(() => world?.drop());

describe('hops', () => {
  test('lead from where the tenant is, as full places, under names that no other attempt has', async () => {
    const { tenantId, moveId } = await world.begin({ epoch: 7 }, { targetTier: 'enterprise' });
    const next = {
      moveId,
      tenantId,
      hopIndex: 0,
      finished: false,
      needsDatabase: false,
      needsSecret: true,
      needsFilling: false,
    };
    expect(await nextHop(world.registry, moveId)).toEqual(next);
    expect(await nextHop(world.registry, moveId)).toEqual(next);
    const own = `tenant_${tenantId.replaceAll('-', '')}`;
    const [hop] = await hopsOf(world.registry, moveId);
    expect(hop).toMatchObject({
      kind: 'reshape',
      index: 0,
      suffix: '8a1',
      state: 'working',
      attempt: { tenantId, epoch: 7 },
      source: {
        isolationModel: 'shared',
        cellId: 'a',
        host: 'old.proxy.test',
        writerHost: 'a.writer.test',
        schemaName: 'shared',
        roleName: 'strata_starter',
        secretArn: 'starter of a',
        epoch: 7,
        ownerSecret: 'owner of a',
        stackName: null,
        poolSize: 10,
      },
      target: {
        isolationModel: 'schema',
        cellId: 'a',
        host: 'a.proxy.test',
        writerHost: 'a.writer.test',
        schemaName: `${own}_e8a1`,
        roleName: `${own}_e8a1`,
        secretArn: null,
        epoch: 8,
        poolSize: 10,
      },
    });
    await world.settle(moveId, 0);
    expect(await getTenant(world.registry, tenantId)).toMatchObject({
      isolationModel: 'schema',
      tier: 'starter',
      epoch: 8,
    });
    expect(await nextHop(world.registry, moveId)).toEqual({
      moveId,
      tenantId,
      hopIndex: 1,
      finished: false,
      needsDatabase: true,
      needsSecret: false,
      needsFilling: false,
    });
    expect((await hopsOf(world.registry, moveId))[1]).toMatchObject({
      kind: 'relocate',
      suffix: '9a1',
      source: { schemaName: `${own}_e8a1`, secretArn: 'secret', epoch: 8 },
      target: {
        isolationModel: 'dedicated',
        cellId: null,
        host: null,
        port: null,
        writerHost: null,
        secretArn: null,
        schemaName: `${own}_e9a1`,
        stackName: `strata-tenant-${tenantId}`,
        database: 'strata',
        epoch: 9,
        ownerSecret: `strata/dedicated/${tenantId}/owner`,
      },
    });
  });

  test('of a later attempt from the same place have another name', async () => {
    const first = await world.begin();
    await nextHop(world.registry, first.moveId);
    const [hop] = await hopsOf(world.registry, first.moveId);
    await setHopState(world.registry, hop!, ['working'], 'rolled-back');
    await endFailedMove(world.registry, first.moveId, { Error: 'States.Timeout' });
    const { tenantId } = first;
    const { moveId } = await beginMove(
      world.registry,
      { tenantId, targetTier: 'business' },
      arn(`2-${tenantId}`),
      alive,
    );
    await nextHop(world.registry, moveId);
    expect((await hopsOf(world.registry, moveId))[0]?.suffix).toBe('2a2');
  });

  test('are opened once, by as many as ask at once', async () => {
    const { moveId } = await world.begin();
    const registries = await Promise.all(Array.from({ length: 5 }, () => world.another()));
    const answers = await Promise.all(registries.map((registry) => nextHop(registry, moveId)));
    expect(new Set(answers.map((answer) => JSON.stringify(answer))).size).toBe(1);
    expect(await hopsOf(world.registry, moveId)).toHaveLength(1);
  });

  test('are not opened from where the tenant is not', async () => {
    const { tenantId, moveId } = await world.begin();
    await world.registry.query(
      "UPDATE tenant_database_routing SET cell_id = 'b' WHERE tenant_id = :tenantId::uuid",
      { tenantId },
    );
    await expect(nextHop(world.registry, moveId)).rejects.toThrow(MoveOvertaken);
  });
});
