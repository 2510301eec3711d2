import { setTimeout as delay } from 'node:timers/promises';

/** What was to be delivered cannot be, however often it is tried: a missing permission, a target that is gone. */
export class Undeliverable extends Error {
  override name = 'Undeliverable';
}

export interface RetryOptions {
  /** Attempts after the first one. */
  retries: number;
  /** Before the first retry; each further pause is twice as long. */
  pauseMs: number;
  /** Ends the waiting. */
  signal: AbortSignal;
}

/** What Lambda waits before it retries an asynchronous invocation, in milliseconds before scaling. */
export const FIRST_RETRY_PAUSE_MS = 60_000;

/**
 * Runs `attempt`, numbered from 1, until it succeeds.
 * @throws the last attempt's error; an {@link Undeliverable} at once
 */
export async function withRetries(
  attempt: (number: number) => Promise<void>,
  options: RetryOptions,
): Promise<void> {
  let pause = options.pauseMs;
  for (let number = 1; ; number += 1) {
    try {
      await attempt(number);
      return;
    } catch (cause) {
      if (cause instanceof Undeliverable || number > options.retries || options.signal.aborted) throw cause;
      await delay(pause, undefined, { signal: options.signal }).catch(() => {
        throw cause;
      });
      pause *= 2;
    }
  }
}
