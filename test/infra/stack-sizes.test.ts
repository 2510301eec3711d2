import { beforeAll, expect, test } from 'vitest';
import { type Assembly, sharedAssembly } from './synthesized-app.ts';

/** Resources by stack. */
function sizesOf(assembly: Assembly): Map<string, number> {
  const sizes = new Map<string, number>();
  for (const { stack } of assembly.resources) sizes.set(stack, (sizes.get(stack) ?? 0) + 1);
  return sizes;
}

let normal: Map<string, number>;
let largest: Map<string, number>;
beforeAll(async () => {
  normal = sizesOf(await sharedAssembly('default'));
  largest = sizesOf(await sharedAssembly('threeRegionsOfThreeCells'));
});

test('a region of one cell has at most 160 resources in each of its stacks, and so has the control plane', () => {
  expect([...normal.keys()]).toEqual([
    'Strata-ControlPlane',
    'Strata-us-network',
    'Strata-us-cell-us-1',
    'Strata-us-api',
    'Strata-us-backups',
    'Strata-us-operations',
    'Strata-us-fleet',
  ]);
  expect([...normal].filter(([, size]) => size > 160)).toEqual([]);
});

test('in three regions of three cells every stack stays below 400 of the 500 resources that CloudFormation takes', () => {
  expect([...largest.keys()].filter((name) => name.includes('-cell-'))).toHaveLength(9);
  expect([...largest].filter(([, size]) => size >= 400)).toEqual([]);
});

test('a further cell costs a stack of its own, and next to nothing in the others', () => {
  for (const part of ['network', 'api', 'backups', 'operations', 'fleet']) {
    const [one = 0, three = 0] = [normal, largest].map((sizes) => sizes.get(`Strata-us-${part}`));
    expect(three - one, part).toBeLessThanOrEqual(5);
  }
});
