/**
 * Vitest reporter for `.ci/run`: adds the result of a test run, as one line of JSON, to the file `STRATA_TEST_RESULTS`:
 * `{ passed, failed, failures }`. A failure is the text of a failed test, of a file or hook that failed, or of an error
 * outside of tests, which the reporter `json` does not tell.
 */
import { appendFileSync } from 'node:fs';

export default class ResultsReporter {
  onTestRunEnd(modules, unhandledErrors) {
    let passed = 0;
    const failures = [];
    for (const module of modules) {
      for (const test of module.children.allTests()) {
        const { state, errors = [] } = test.result();
        if (state === 'passed') passed += 1;
        if (state === 'failed') failures.push(failure(`${module.moduleId}: ${test.fullName}`, errors));
      }
      // Of a file that could not be loaded, or whose hook failed: their tests count as skipped.
      for (const part of [module, ...module.children.allSuites()]) {
        const errors = part.errors();
        if (errors.length > 0)
          failures.push(failure(`${module.moduleId}: ${part.fullName ?? 'the file'}`, errors));
      }
    }
    if (unhandledErrors.length > 0) failures.push(failure('errors outside of tests', unhandledErrors));
    const line = JSON.stringify({ passed, failed: failures.length, failures });
    appendFileSync(process.env.STRATA_TEST_RESULTS, `${line}\n`);
  }
}

const failure = (name, errors) =>
  [
    name,
    ...errors.map(({ message, stack }) => (stack?.includes(message) ? stack : `${message}\n${stack}`)),
  ].join('\n');
