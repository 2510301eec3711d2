import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { BACKUP_POLICY, type BackupPolicy, copiedTiers } from '../../functions/contracts/backup-policy.ts';

const DOCUMENT = join(import.meta.dirname, '../../docs/backups.md');

const yesOrNo = (value: boolean) => (value ? 'yes' : 'no');
const COLUMNS: readonly [title: string, cell: (policy: BackupPolicy) => string][] = [
  ['object backup', ({ every }) => ({ day: 'daily' })[every]],
  ['kept for', ({ retentionDays }) => `${retentionDays} days`],
  ['continuous backup of its own cluster', ({ continuous }) => yesOrNo(continuous)],
  ['point in time', ({ pointInTime }) => yesOrNo(pointInTime)],
  [
    'copy in a second region',
    ({ secondRegion }) => ({ always: 'yes', optional: 'optional', never: 'no' })[secondRegion],
  ],
];

/** The table of docs/backups.md. If the policy changes, copy the table from the output of this test. */
function policyTable(): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [
    line(['tier', ...COLUMNS.map(([title]) => title)]),
    `|${'---|'.repeat(COLUMNS.length + 1)}`,
    ...Object.entries(BACKUP_POLICY).map(([tier, policy]) =>
      line([`${tier[0]?.toUpperCase()}${tier.slice(1)}`, ...COLUMNS.map(([, cell]) => cell(policy))]),
    ),
  ].join('\n');
}

test('docs/backups.md has the current policy', () => {
  const [, between] = readFileSync(DOCUMENT, 'utf8').split(/<!-- \/?policy -->/);
  expect(between?.trim()).toBe(policyTable());
});

test('the policy is that of the strategy', () => {
  expect(BACKUP_POLICY).toEqual({
    starter: { every: 'day', continuous: false, retentionDays: 7, pointInTime: false, secondRegion: 'never' },
    business: {
      every: 'day',
      continuous: false,
      retentionDays: 14,
      pointInTime: true,
      secondRegion: 'optional',
    },
    enterprise: {
      every: 'day',
      continuous: true,
      retentionDays: 35,
      pointInTime: true,
      secondRegion: 'always',
    },
  });
});

test('Enterprise backups are copied to a second region, Business backups by option, Starter backups never', () => {
  expect(copiedTiers({ copyBusiness: false })).toEqual(['enterprise']);
  expect(copiedTiers({ copyBusiness: true })).toEqual(['business', 'enterprise']);
});
