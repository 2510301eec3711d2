import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { DATABASE_SIZES } from '../../functions/contracts/database-size.ts';
import { FIXED_OF_DEDICATED, HOURS_OF_A_MONTH } from '../../functions/contracts/price-table.ts';
import { fixedOfDedicated, hourlyOf } from '../../functions/costs/bill.ts';
import { config } from '../../infra/config.ts';
import { costBasisOf } from '../../infra/cost-basis.ts';
import { alarmMetrics } from './alarm-metrics.ts';
import { sharedAssembly } from './synthesized-app.ts';

const deployPage = readFileSync(join(import.meta.dirname, '../../docs/deploy.md'), 'utf8');
const [home] = config.regions;
if (!home) throw new Error('there is no region');
const basis = costBasisOf(config, home);

test('the bill counts the secrets and alarms of a dedicated database as its template has them', async () => {
  const resources = Object.values((await sharedAssembly('default')).dedicated.template.Resources);
  const count = (type: string) => resources.filter(({ Type }) => Type === type).length;
  expect(FIXED_OF_DEDICATED).toEqual({
    secrets: count('AWS::SecretsManager::Secret'),
    alarms: count('AWS::CloudWatch::Alarm'),
    alarmMetrics: alarmMetrics(resources),
    // Not the template's: the workflow makes the tenant's own key before it launches the stack.
    keys: 1 + count('AWS::KMS::Key'),
  });
});

test('docs/deploy.md has the price of each size that the bill has', () => {
  const fixed = fixedOfDedicated(basis);
  const { secrets, alarms, alarmMetrics: metrics } = FIXED_OF_DEDICATED;
  expect(deployPage).toContain(
    `contains ${secrets} secrets, ${alarms} alarms of ${metrics} metrics and a key: ${fixed.toFixed(2)}.`,
  );
  for (const size of DATABASE_SIZES) {
    const { instances, proxy } = hourlyOf(basis.installation.dedicated[size], basis);
    const month = ((instances + proxy) * HOURS_OF_A_MONTH + fixed).toLocaleString('en-US', {
      minimumFractionDigits: 2,
      maximumFractionDigits: 2,
    });
    const [row] = deployPage.match(new RegExp(`^\\| \`${size}\` \\|.*$`, 'm')) ?? [];
    expect(row, size).toContain(`**${month}**`);
  }
});
