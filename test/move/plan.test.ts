import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { planMove } from '../../functions/moves/plan.ts';
import { type Location, sameLocation } from '../../functions/places/place.ts';

const shared = (cellId: string, region = 'us'): Location => ({ isolationModel: 'shared', cellId, region });
const schema = (cellId: string, region = 'us'): Location => ({ isolationModel: 'schema', cellId, region });
const dedicated = (region = 'us'): Location => ({ isolationModel: 'dedicated', cellId: null, region });
const sized = (databaseSize: 'small' | 'medium' | 'large', region = 'us'): Location => ({
  ...dedicated(region),
  databaseSize,
});

describe('the way from one place to another', () => {
  test.each([
    ['up a tier in the cell', shared('a'), schema('a'), ['reshape']],
    ['down a tier in the cell', schema('a'), shared('a'), ['reshape']],
    ['to another cell', schema('a'), schema('b'), ['relocate']],
    ['to a dedicated database', schema('a'), dedicated(), ['relocate']],
    ['back from it', dedicated(), schema('b'), ['relocate']],
    ['a dedicated database to another region', dedicated('us'), dedicated('eu'), ['relocate']],
    ['two tiers up', shared('a'), dedicated(), ['reshape', 'relocate']],
    ['two tiers down', dedicated(), shared('b'), ['relocate', 'reshape']],
    ['up a tier in another cell', shared('a'), schema('b'), ['reshape', 'relocate']],
    ['down a tier in another cell', schema('a'), shared('b'), ['relocate', 'reshape']],
    ['shared rows to another cell', shared('a'), shared('b'), ['reshape', 'relocate', 'reshape']],
    ['shared rows to another region', shared('a'), shared('e', 'eu'), ['reshape', 'relocate', 'reshape']],
    ['nowhere', shared('a'), shared('a'), []],
    ['nowhere, dedicated', dedicated(), dedicated(), []],
    ['to another size', sized('small'), sized('large'), ['relocate']],
    ['to the same size', sized('large'), sized('large'), []],
    ['to the usual size, from a plan without one', dedicated(), sized('medium'), []],
    ['from shared rows to a size', shared('a'), sized('small'), ['reshape', 'relocate']],
  ] as const)('%s', (_, from, to, kinds) => {
    expect(planMove(from, to).map(({ kind }) => kind)).toEqual(kinds);
  });

  const cells = fc.constantFrom(['a', 'us'], ['b', 'us'], ['c', 'eu'], ['d', 'eu']);
  const spots = fc.oneof(
    cells.map(([cell, region]) => shared(cell as string, region)),
    cells.map(([cell, region]) => schema(cell as string, region)),
    fc.constantFrom('us', 'eu').map(dedicated),
    fc
      .tuple(fc.constantFrom('small', 'large'), fc.constantFrom('us', 'eu'))
      .map(([size, region]) => sized(size as 'small' | 'large', region)),
  );

  test('chains, ends at the target, and takes at most three hops of which each is possible', () => {
    fc.assert(
      fc.property(spots, spots, (from, to) => {
        const hops = planMove(from, to);
        expect(hops.length).toBeLessThanOrEqual(3);
        let here = from;
        for (const hop of hops) {
          expect(hop.from).toEqual(here);
          expect(sameLocation(hop.from, hop.to)).toBe(false);
          const models = [hop.from.isolationModel, hop.to.isolationModel];
          if (hop.kind === 'reshape') {
            expect([hop.to.cellId, hop.to.region]).toEqual([hop.from.cellId, hop.from.region]);
            expect(models.sort()).toEqual(['schema', 'shared']);
          } else {
            expect(models).not.toContain('shared');
          }
          here = hop.to;
        }
        expect(here).toEqual(to);
      }),
    );
  });
});
