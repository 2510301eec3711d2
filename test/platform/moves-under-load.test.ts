import { expect, test } from 'vitest';
import { MovingTenant } from './moving-tenant.ts';

/** Paths that together use both hops in both directions, alone and composed. */
const TOURS = [
  ['up a tier at a time and back down', ['business', 'enterprise', 'business', 'starter']],
  ['from one end to the other', ['enterprise', 'starter']],
] as const;

test.concurrent.each(TOURS)(
  '%s: no request fails, nothing acknowledged is lost, no read goes back in time',
  async (_name, tiers) => {
    const tenant = await MovingTenant.create();
    const load = tenant.load();
    load.start();
    await load.written(20);
    for (const targetTier of tiers) {
      const move = await tenant.move({ targetTier });
      expect(move, JSON.stringify(move)).toMatchObject({ status: 'succeeded', reason: null });
      expect(await tenant.tenant()).toMatchObject({ tier: targetTier, status: 'active' });
      const { report } = move;
      expect(report.rows).toBeGreaterThan(0);
      expect(report.writePauseMs).toBeGreaterThan(0);
      // Generous: the machine of the test does everything at once. The benchmark has the real figures.
      expect(report.writePauseMs).toBeLessThan(1_000);
      for (const { name, sourceHash, targetHash } of report.tables) expect(targetHash, name).toBe(sourceHash);
      await load.written(20);
    }
    await load.stop();
    expect(load.violations).toEqual([]);
    expect(await load.verify()).toEqual([]);
  },
  180_000,
);

test('to another cell and back, as a Starter and as a Business tenant', async () => {
  const tenant = await MovingTenant.create();
  const load = tenant.load();
  load.start();
  await load.written(20);
  const first = (await tenant.tenant()).cellId;
  const other = first === 'us-1' ? 'us-2' : 'us-1';
  for (const body of [{ targetCell: other }, { targetTier: 'business' }, { targetCell: first }]) {
    const move = await tenant.move(body);
    expect(move, JSON.stringify(move)).toMatchObject({ status: 'succeeded' });
    await load.written(20);
  }
  expect(await tenant.tenant()).toMatchObject({ tier: 'business', cellId: first });
  await load.stop();
  expect(load.violations).toEqual([]);
  expect(await load.verify()).toEqual([]);
}, 180_000);

test('once cleaned up, a move has left nothing behind but the new home', async () => {
  const tenant = await MovingTenant.create();
  const load = tenant.load({ writers: 1, readers: 1 });
  load.start();
  await load.written(5);
  await tenant.move({ targetTier: 'business' });
  const { cellId } = await tenant.tenant();
  const cell = `strata-${cellId}`;
  const name = 'tenant_ID_e2a1';
  const business = [
    ...[`${cell}: home schema ${name}`, `${cell}: role ${name}`, `${cell}: schema ${name}`],
    `secret strata/tenant/ID/${name}`,
  ];
  expect(await tenant.traces(business)).toEqual(business.sort());
  await tenant.move({ targetTier: 'enterprise' });
  const dedicated = 'tenant_ID_e3a1';
  const enterprise = [
    ...[`dedicated: home dedicated ${dedicated}`, `dedicated: role ${dedicated}`],
    ...[`dedicated: schema ${dedicated}`, `secret strata/tenant/ID/${dedicated}`],
  ];
  expect(await tenant.traces(enterprise)).toEqual(enterprise.sort());
  await load.stop();
  expect(load.violations).toEqual([]);
}, 180_000);
