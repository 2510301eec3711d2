/**
 * Vitest's setup: the functions that run in a test's own process write their log as in Lambda, one line of JSON for each
 * request, which would bury the results of thousands of tests. `LOG=1` shows these lines, as for `npm start`.
 */
const LOG_LINE = /^\{"(?:_aws|level)":/;
const QUIET = Symbol.for('strata.quiet-logs');

/** Files share a process, and each file runs this module. */
const known = globalThis as { [QUIET]?: true };
if (!process.env.LOG && !known[QUIET]) {
  known[QUIET] = true;
  for (const stream of [process.stdout, process.stderr]) {
    const write = stream.write.bind(stream) as (...parameters: unknown[]) => boolean;
    stream.write = ((...parameters: unknown[]) => {
      const [chunk] = parameters;
      if (typeof chunk !== 'string' || !LOG_LINE.test(chunk)) return write(...parameters);
      const written = parameters.at(-1);
      if (typeof written === 'function') written();
      return true;
    }) as typeof stream.write;
  }
}
