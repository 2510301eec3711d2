import { expect, test } from 'vitest';
import { FULL_RUN, sampled } from '../full-run.ts';
import { addCountedSkill, COUNTED, summaryOf } from './counted-skill.ts';
import { MovingTenant } from './moving-tenant.ts';
import { userToken } from './running-platform.ts';

const OTHER_CELL = 'the other cell';

/** Paths that together use every hop in both directions, alone and composed. `npm test` takes each hop once. */
const TOURS = sampled<readonly (readonly [string, readonly string[]])[]>(
  [['a tier or a cell at a time', ['business', OTHER_CELL, 'enterprise', 'business', 'starter']]],
  [
    ['up a tier at a time and back down', ['business', 'enterprise', 'business', 'starter']],
    ['from one end to the other', ['enterprise', 'starter']],
    ['to another cell and back', [OTHER_CELL, 'business', OTHER_CELL]],
  ],
);

test.concurrent.each(TOURS)(
  '%s: no request fails, nothing acknowledged is lost, no read goes back in time',
  async (_name, stops) => {
    const tenant = await MovingTenant.create();
    const token = await userToken(tenant.slug);
    const skillId = await addCountedSkill(token);
    const load = tenant.load({ writers: 2, readers: 2, restMs: 30 });
    load.start();
    await load.written(20);
    for (const stop of stops) {
      const before = await tenant.tenant();
      const otherCell = before.cellId === 'us-1' ? 'us-2' : 'us-1';
      const move = await tenant.move(stop === OTHER_CELL ? { targetCell: otherCell } : { targetTier: stop });
      expect(move, JSON.stringify(move)).toMatchObject({ status: 'succeeded', reason: null });
      expect(await tenant.tenant()).toMatchObject(
        stop === OTHER_CELL ? { tier: before.tier, cellId: otherCell } : { tier: stop, status: 'active' },
      );
      const { report } = move;
      expect(report.rows).toBeGreaterThan(0);
      expect(report.writePauseMs).toBeGreaterThan(0);
      // Generous: the machine of the test does everything at once. The benchmark has the real figures.
      expect(report.writePauseMs).toBeLessThan(1_000);
      for (const { name, sourceHash, targetHash } of report.tables) expect(targetHash, name).toBe(sourceHash);
      // The summary is not moved; it is computed again.
      expect((await summaryOf(token, skillId)).items, stop).toMatchObject(COUNTED);
      await load.written(20);
    }
    await load.stop();
    expect(load.violations).toEqual([]);
    expect(await load.verify()).toEqual([]);
  },
  180_000,
);

// test/move shows the same without a platform.
test.runIf(FULL_RUN)(
  'once cleaned up, a move has left nothing behind but the new home',
  async () => {
    const tenant = await MovingTenant.create();
    const load = tenant.load({ writers: 1, readers: 1 });
    load.start();
    await load.written(5);
    await tenant.move({ targetTier: 'business' });
    const { cellId } = await tenant.tenant();
    const cell = `strata-${cellId}`;
    const name = 'tenant_ID_e2a1';
    const business = [
      `${cell}: home schema ${name}`,
      `${cell}: role ${name}`,
      `${cell}: schema ${name}`,
      `secret strata/tenant/ID/${name}`,
    ];
    expect(await tenant.traces(business)).toEqual(business.sort());
    await tenant.move({ targetTier: 'enterprise' });
    const dedicated = 'tenant_ID_e3a1';
    const enterprise = [
      `dedicated: home dedicated ${dedicated}`,
      `dedicated: role ${dedicated}`,
      `dedicated: schema ${dedicated}`,
      `secret strata/tenant/ID/${dedicated}`,
    ];
    expect(await tenant.traces(enterprise)).toEqual(enterprise.sort());
    await load.stop();
    expect(load.violations).toEqual([]);
  },
  180_000,
);
