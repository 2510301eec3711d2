import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { costModel } from '../../functions/costs/cost-model.ts';
import { config } from '../../infra/config.ts';
import { costBasisOf } from '../../infra/cost-basis.ts';
import { ConfigError, validateConfig } from '../../infra/validate-config.ts';

const [home] = config.regions;
if (!home) throw new Error('there is no region');

describe('docs/cost-model.md', () => {
  const document = costModel(costBasisOf(config, home));

  test('is what the price table gives; write it again with npm run cost-model', () => {
    const path = resolve(import.meta.dirname, '../../docs/cost-model.md');
    expect(readFileSync(path, 'utf8')).toBe(document);
  });

  test('has every model within the strategy’s range', () => {
    expect(document.match(/within it/g)).toHaveLength(5);
    expect(document).not.toMatch(/below it|above it/);
  });
});

describe('the price table', () => {
  test('must have every region, a date, and no negative price', () => {
    const { us } = config.prices.regions;
    if (!us) throw new Error('us has no prices');
    const wrong = {
      ...config,
      prices: { ...config.prices, asOf: 'today', regions: { us: { ...us, acuHour: -1 } } },
      regions: [home, { ...home, key: 'eu', awsRegion: 'eu-west-1', cidr: '10.30.0.0/16', cells: [] }],
    };
    expect(() => validateConfig(wrong)).toThrow(ConfigError);
    expect(() => validateConfig(wrong)).toThrow(
      /asOf is today.*prices.regions.us.acuHour is -1.*region eu has none/s,
    );
  });
});
