import { expect, test } from 'vitest';
import { dryRunMove } from '../../functions/moves/dry-run.ts';
import { openPhase } from '../../functions/moves/hop-context.ts';
import { nextHop } from '../../functions/moves/next-hop.ts';
import { far, MoveRegistry } from './move-registry.ts';

test('a dry run reckons with the dedicated database that an earlier attempt has launched', async () => {
  const world = await MoveRegistry.create();
  try {
    await world.addCell('a');
    const { tenantId, moveId } = await world.begin({ tier: 'business' }, { targetTier: 'enterprise' });
    await nextHop(world.registry, moveId);
    const asked = { tenantId, target: { tier: 'enterprise' }, force: false } as const;
    const estimated = async () => {
      const survey = async () => ({ rows: 10, bytes: 1_000, activeEmployees: 0, tables: [] });
      return (await dryRunMove(world.registry, asked, survey)).estimate?.seconds ?? 0;
    };
    const before = await estimated();
    const launch = await openPhase(world.registry, { moveId, hopIndex: 0, phase: 'launch' }, far());
    await launch.amendTarget({ clusterArn: 'arn of the cluster' });
    expect(before - (await estimated())).toBe(15 * 60);
  } finally {
    await world.drop();
  }
});

test('a dry run for which no cell has room has no estimate, rather than one of no time at all', async () => {
  const world = await MoveRegistry.create();
  try {
    await world.addCell('a');
    await world.addCell('e1', { region: 'eu', dataResidency: 'eu', status: 'full' });
    const asked = { tenantId: await world.addTenant(), target: { residency: 'eu' }, force: false } as const;
    const survey = async () => ({ rows: 10, bytes: 1_000, activeEmployees: 0, tables: [] });
    expect(await dryRunMove(world.registry, asked, survey)).toMatchObject({
      plan: [],
      estimate: null,
      forbidden: [{ rule: 'cell' }],
    });
  } finally {
    await world.drop();
  }
});
