import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ALERT_KINDS } from '../../functions/alerts/alert-kinds.ts';

test('docs/operations.md has each kind as the table of alerts has it', () => {
  const page = readFileSync(join(import.meta.dirname, '../../docs/operations.md'), 'utf8');
  for (const [kind, { severity, condition, advice }] of Object.entries(ALERT_KINDS)) {
    expect(page).toContain(`| \`${kind}\` | ${severity} | ${condition} | ${advice} |`);
  }
});
