import { setTimeout as delay } from 'node:timers/promises';
import { TenantUnavailable } from './errors.ts';
import type { DirectoryEntry, TenantDirectory } from './tenant-directory.ts';

/** Pauses between two looks at the registry, in milliseconds: the first one, and what they grow to. */
const FIRST_PAUSE = 50;
const LONGEST_PAUSE = 1_000;

/**
 * Waits until a tenant that a move is bringing has arrived; any other is answered at once.
 * @param patienceMs how long one request may wait.
 * @returns what the registry says of it then, or undefined where it knows the tenant no more.
 * @throws {TenantUnavailable} it is still on its way.
 */
export async function awaitArrival(
  directory: TenantDirectory,
  entry: DirectoryEntry,
  patienceMs = 10_000,
): Promise<DirectoryEntry | undefined> {
  const deadline = performance.now() + patienceMs;
  let found: DirectoryEntry | undefined = entry;
  for (
    let longest = FIRST_PAUSE;
    found?.status === 'arriving';
    longest = Math.min(longest * 2, LONGEST_PAUSE)
  ) {
    // With jitter, so that the requests behind one move do not all ask at once.
    const pause = longest * (0.5 + Math.random() / 2);
    if (performance.now() + pause > deadline) {
      throw new TenantUnavailable('the tenant has not arrived yet', 2);
    }
    await delay(pause);
    found = await directory.refresh(entry.tenantId);
  }
  return found;
}
