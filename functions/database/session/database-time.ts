/**
 * How long this container's tenant transactions have taken: from the check-out of their connection to the answer to
 * COMMIT, retries included. A Lambda container serves one request at a time, so the difference between the end and the
 * begin of a request is the request's database time. Where requests overlap, as in tests, each one also sees the others'.
 */
let spentMs = 0;

/** Milliseconds since the container has started. */
export const databaseTimeSpent = (): number => spentMs;

export function addDatabaseTime(ms: number): void {
  spentMs += ms;
}
