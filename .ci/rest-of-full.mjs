/**
 * `node .ci/rest-of-full.mjs SECONDS`: runs the test files of which `npm run test:full` has more than `npm test`,
 * one after the other, until the seconds are used up, and says which were left out. Each commit begins with another
 * one, so that all take their turn.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';

const [seconds = '0'] = process.argv.slice(2);
const deadline = Date.now() + Number(seconds) * 1_000;
const files = globSync('test/**/*.test.ts', { exclude: ['test/bench/**'] })
  .filter((file) => file.endsWith('.full.test.ts') || readFileSync(file, 'utf8').includes('/full-run.ts'))
  .sort();
const commits = Number(execFileSync('git', ['rev-list', '--count', 'HEAD'], { encoding: 'utf8' }));
const first = commits % files.length;
const order = [...files.slice(first), ...files.slice(0, first)];

/** Of one file, about. What is begun is brought to its end. */
const LONGEST_MS = 360_000;
/** They take up to 15 minutes. */
const LONGER = ['test/move/relocate-killed.test.ts', 'test/restore/killed.test.ts'];
const leftOut = [];
let failures = 0;
for (const file of order) {
  if (LONGER.includes(file) || deadline - Date.now() < LONGEST_MS) {
    leftOut.push(file);
    continue;
  }
  const { status } = spawnSync(
    process.execPath,
    [
      ...['node_modules/vitest/vitest.mjs', 'run', file],
      ...['--reporter=default', '--reporter=./.ci/results-reporter.mjs'],
    ],
    { env: { ...process.env, STRATA_TEST_FULL: '1' }, stdio: 'inherit' },
  );
  if (status !== 0) failures += 1;
}
console.log(
  leftOut.length === 0
    ? 'all of test:full was run'
    : `left out of test:full for want of time: ${leftOut.join(', ')}`,
);
process.exitCode = failures > 0 ? 1 : 0;
