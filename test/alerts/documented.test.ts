import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ALERT_KINDS } from '../../functions/alerts/alert-kinds.ts';

const KINDS = Object.keys(ALERT_KINDS).sort();

test('docs/operations.md has each kind as the table of alerts has it', () => {
  const page = readFileSync(join(import.meta.dirname, '../../docs/operations.md'), 'utf8');
  for (const [kind, { severity, condition, advice }] of Object.entries(ALERT_KINDS)) {
    expect(page).toContain(`| \`${kind}\` | ${severity} | ${condition} | ${advice} |`);
  }
});

/**
 * A test that causes the condition of an alert by what really causes it has a name that begins with `alert <kind>`, for each
 * kind that it causes. It looks for the alert with `AlertRuns`, or on the platform with the command line.
 */
test('each kind has a test of its real cause in `npm test`', () => {
  const tests = join(import.meta.dirname, '..');
  const files = readdirSync(tests, { recursive: true, encoding: 'utf8' }).filter(
    (name) => name.endsWith('.test.ts') && !name.endsWith('.full.test.ts'),
  );
  const named = files.flatMap((name) => {
    const text = readFileSync(join(tests, name), 'utf8');
    const titles = text.matchAll(/\btest(?:\.each\([^)]*\))?\(\s*['`]((?:alert [a-z-]+[,:] )+)/g);
    return [...titles].flatMap(([, kinds = '']) =>
      [...kinds.matchAll(/alert ([a-z-]+)/g)].map(([, kind]) => kind),
    );
  });
  expect([...new Set(named)].sort()).toEqual(KINDS);
});
