import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decide } from '../../functions/promotion/decide.ts';
import type { PromotionFigures } from '../../functions/promotion/figures.ts';
import { defaultPromotionPolicy as policy } from '../../functions/promotion/promotion-policy.ts';
import { sampled } from '../full-run.ts';
import { AT, dayBefore, GB, instantBefore } from './some-figures.ts';

describe('whatever the figures', () => {
  const anySample = (ago: number) =>
    fc.record({
      sampledOn: fc.constant(dayBefore(ago)),
      activeUsers: fc.nat(600),
      activeEmployees: fc.nat(600),
      assessmentCount: fc.constant(0),
      storageBytes: fc.option(fc.nat(200).map((gb) => gb * GB)),
      rowOperations: fc.option(fc.nat(100_000_000)),
      monthlyRevenue: fc.option(fc.nat(2_000)),
    });
  const anyFigures: fc.Arbitrary<PromotionFigures> = fc.record({
    at: fc.nat(23).map((hour) => `2026-03-10T${String(hour).padStart(2, '0')}:15:00.000Z`),
    tier: fc.constantFrom('starter', 'business', 'enterprise'),
    status: fc.constantFrom('active', 'active', 'active', 'suspended'),
    complianceRequirements: fc.subarray(['soc2', 'hipaa', 'pci', 'gdpr']),
    storageLimitBytes: fc.option(fc.constant(100 * GB)),
    samples: fc
      .nat(6)
      .chain((count) => fc.tuple(...Array.from({ length: count }, (_, ago) => anySample(ago)))),
    moving: fc.boolean(),
    lastMove: fc.option(fc.record({ finishedAt: fc.nat(30).map(instantBefore), succeeded: fc.boolean() })),
    movedDown: fc.boolean(),
    runningMoves: fc.nat(5),
    openOffer: fc.boolean(),
    declinedAt: fc.option(fc.nat(120).map(instantBefore)),
  });

  test('only an idle Starter tenant with the figures for it is promoted, in the window, to Business', () => {
    fc.assert(
      fc.property(anyFigures, (given) => {
        const { decision, targetTier, reasons } = decide(given, policy);
        expect(reasons.length).toBeGreaterThan(0);
        expect(targetTier === null).toBe(decision === 'keep');
        if (decision === 'offer') expect([given.tier, targetTier]).toEqual(['business', 'enterprise']);
        if (decision !== 'promote') return;
        expect([given.tier, given.status, targetTier]).toEqual(['starter', 'active', 'business']);
        expect(given.moving).toBe(false);
        expect(given.runningMoves).toBeLessThan(policy.maxRunningMoves);
        const hour = new Date(given.at).getUTCHours();
        expect(hour >= policy.maintenanceWindow.startHour && hour < policy.maintenanceWindow.endHour).toBe(
          true,
        );
        const [latest] = given.samples;
        const factor = given.movedDown ? 1.1 : 1;
        const users = Math.max(latest?.activeUsers ?? 0, latest?.activeEmployees ?? 0);
        expect(users >= 50 * factor - 1e-9 || (latest?.monthlyRevenue ?? 0) >= 500 * factor - 1e-9).toBe(
          true,
        );
      }),
      { numRuns: sampled(400, 2_000) },
    );
  });

  test('more users never lead to less: what was promoted, put off or offered is not kept then', () => {
    const eager = ['promote', 'defer', 'offer'];
    fc.assert(
      fc.property(anyFigures, fc.nat(500), (given, more) => {
        const grown = given.samples.map((one) => ({ ...one, activeUsers: one.activeUsers + more }));
        if (!eager.includes(decide(given, policy).decision)) return;
        expect(eager).toContain(decide({ ...given, samples: grown }, policy).decision);
      }),
      { numRuns: sampled(400, 2_000) },
    );
  });

  test('what stands in the way only puts off: without it the same figures lead to the move or the offer', () => {
    const free = { moving: false, lastMove: null, runningMoves: 0, at: AT } as const;
    fc.assert(
      fc.property(anyFigures, (given) => {
        const { decision, targetTier } = decide(given, policy);
        if (decision !== 'defer') return;
        const expected = targetTier === 'business' ? 'promote' : 'offer';
        expect(decide({ ...given, ...free, declinedAt: null }, policy).decision).toBe(expected);
      }),
      { numRuns: sampled(400, 2_000) },
    );
  });

  test('whoever was just promoted is kept, or put off, the day after: no move is followed by another', () => {
    fc.assert(
      fc.property(anyFigures, (given) => {
        if (decide(given, policy).decision !== 'promote') return;
        const after = { ...given, lastMove: { finishedAt: given.at, succeeded: true } };
        expect(decide({ ...after, tier: 'business' }, policy).decision).not.toBe('promote');
        // An operator takes the tenant back down: the next run must not take it up again.
        expect(decide({ ...after, movedDown: true }, policy).decision).not.toBe('promote');
      }),
      { numRuns: sampled(400, 2_000) },
    );
  });
});
