/** Whether this is `npm run test:full`: every kill point and every size, where `npm test` takes one of each kind. */
export const FULL_RUN = Boolean(process.env.STRATA_TEST_FULL);

/** The first in `npm test`, the second in `npm run test:full`. */
export function sampled<Value>(sample: Value, all: Value): Value {
  return FULL_RUN ? all : sample;
}
