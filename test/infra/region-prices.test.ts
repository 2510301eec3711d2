import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { HOURS_OF_A_MONTH } from '../../functions/contracts/price-table.ts';
import { billOf } from '../../functions/costs/bill.ts';
import type { StrataConfig } from '../../infra/config.ts';
import { costBasisOf, installationOf } from '../../infra/cost-basis.ts';
import { alarmMetrics } from './alarm-metrics.ts';
import { VARIANTS, type Variant } from './assemblies.ts';
import { listOf } from './iam-statements.ts';
import { type Assembly, type Resource, sharedAssembly } from './synthesized-app.ts';

/** The key of the region whose bill has the stack: `us` of `Strata-us-cell-us-1`, and of `Strata-Link-us-eu`. */
function billedIn(stack: string, { regions }: StrataConfig): string | undefined {
  if (stack === 'Strata-ControlPlane') return regions[0]?.key;
  return /^Strata-(?:Link-)?([a-z]+)-/.exec(stack)?.[1];
}

/** What the templates of a region have of what the bill counts. */
function countedIn(resources: Assembly['resources']) {
  const ofType = (type: string): Resource[] => resources.filter(({ Type }) => Type === type);
  return {
    alarmMetrics: alarmMetrics(resources),
    dashboards: ofType('AWS::CloudWatch::Dashboard').length,
    secrets: ofType('AWS::SecretsManager::Secret').length,
    keys: ofType('AWS::KMS::Key').length,
    endpoints: ofType('AWS::EC2::VPCEndpoint')
      .filter(({ Properties }) => Properties.VpcEndpointType === 'Interface')
      .flatMap(({ Properties }) => listOf(Properties.SubnetIds)).length,
    natGateways: ofType('AWS::EC2::NatGateway').length,
  };
}

// One cell, further cells, other regions with their links, caches, and copies of backups in a second region.
const variants: Variant[] = [
  'default',
  'twoCells',
  'threeRegions',
  'threeRegionsOfThreeCells',
  'guardedBackups',
];

test.each(variants)('in %s, the bill of each region counts what stands in its templates', async (variant) => {
  const config: StrataConfig = VARIANTS[variant];
  const { resources } = await sharedAssembly(variant);
  expect(resources.map(({ stack }) => billedIn(stack, config))).not.toContain(undefined);
  for (const region of config.regions) {
    const own = resources.filter(({ stack }) => billedIn(stack, config) === region.key);
    const counted = countedIn(own);
    // The copy of the key of encrypted fields is made at run time.
    const atRunTime = config.backups.secondRegions?.[region.key] ? 1 : 0;
    expect(installationOf(config, region), region.key).toMatchObject({
      ...counted,
      keys: counted.keys + atRunTime,
    });
  }
});

test('no API has metrics of its routes, which the bill would have to count', async () => {
  const { resources } = await sharedAssembly('default');
  const stages = resources.filter(({ Type }) => Type === 'AWS::ApiGatewayV2::Stage');
  expect(
    stages.map(
      ({ Properties }) =>
        (Properties.DefaultRouteSettings as Record<string, unknown>)?.DetailedMetricsEnabled,
    ),
  ).toEqual([false, false]);
});

describe('docs/deploy.md', () => {
  const { default: config } = VARIANTS;
  const page = readFileSync(join(import.meta.dirname, '../../docs/deploy.md'), 'utf8');
  const [home] = config.regions;
  if (!home) throw new Error('there is no region');
  const basis = costBasisOf(config, home);
  const [period, days] = [{ from: '2026-01-01', to: '2026-01-30' }, 30];
  const bill = billOf(basis, [], period).map(({ item, amount }) => ({
    item,
    month: (amount / 1e6) * (HOURS_OF_A_MONTH / (days * 24)),
  }));

  test('has the price of what stands that the bill has, and the same sum', () => {
    const { alarmMetrics: metrics, dashboards, customMetrics, secrets, keys } = basis.installation;
    const priceOf = (wanted: string) => bill.find(({ item }) => item === wanted)?.month.toFixed(2);
    for (const [item, count] of [
      ['alarms', `of ${metrics} metrics × 0.10`],
      ['dashboards', `${dashboards} × 3.00`],
      ['metrics', `${customMetrics} at most × 0.30`],
      ['secrets', `${secrets} × 0.40`],
      ['keys', `${keys} × 1.00`],
    ] as const) {
      const row = page.split('\n').find((line) => line.startsWith(`| ${item}`) && line.includes(count));
      expect(row, item).toMatch(new RegExp(`\\| ${priceOf(item)} \\|$`));
    }
    const together = bill.reduce((sum, { month }) => sum + month, 0);
    expect(page).toContain(`| **together** | | **${together.toFixed(2)}** |`);
    const readme = readFileSync(join(import.meta.dirname, '../../README.md'), 'utf8');
    expect(readme).toContain(`about ${Math.round(together)} USD a month`);
  });
});
