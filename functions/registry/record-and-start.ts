/**
 * Requests of work that an execution does: a move, a restore, a backup, an export, a rollout. The work is recorded under
 * the name of its execution first, and the execution is started then, so that no work runs that the registry does not have.
 *
 *   (none) ──record──▶ planned ──start──▶ (the execution takes it up) begun ▶ …
 *                      planned ──the start has failed──▶ failed
 *                      planned ──a repeated request──▶ started again under the same name
 *
 * Invariants: a request that is repeated under its key records nothing and answers the first one's record. Two starts under
 * one name are one execution, also when that has ended before the second one. Where the answer of a start was lost, the
 * execution finds its record ended, and stops.
 */
import type { RepeatableRequest } from './control-idempotency.ts';
import type { DataApi, RegistryExecutor } from './data-api.ts';
import { boundTransaction } from './transaction-limits.ts';

/** One kind of work. */
export interface RecordedWork<Subject> {
  /** The id of new work. */
  readonly newId: string;
  /** Locks what the work is done to until the transaction ends. @throws a refusal: nothing was changed. */
  readonly lock: (transaction: RegistryExecutor) => Promise<Subject>;
  /** The record of an earlier request. */
  readonly find: (
    transaction: RegistryExecutor,
    id: string,
  ) => Promise<{ readonly status: string; readonly phase: string } | undefined>;
  /** Records the new work as running, in phase `planned`. @throws a refusal: nothing was changed. */
  readonly record: (transaction: RegistryExecutor, subject: Subject) => Promise<void>;
  /** Starts the execution that is named after the work, if it was not started before. @throws Step Functions' error. */
  readonly start: (id: string) => Promise<void>;
  /** For a start that has failed; the message may be shown to a client. */
  readonly notStarted: (options: ErrorOptions) => Error;
  /** Records that the new work has failed. */
  readonly giveUp: (transaction: RegistryExecutor, reason: string) => Promise<void>;
}

/**
 * @param once for a request that the client may repeat.
 * @returns the id of the work.
 * @throws the refusals of `lock` and `record`.
 * @throws what `notStarted` makes: the work is recorded as failed, unless an earlier request recorded it.
 */
export async function recordAndStart<Subject>(
  registry: Pick<DataApi, 'transaction'>,
  once: RepeatableRequest | undefined,
  { newId, lock, find, record, start, notStarted, giveUp }: RecordedWork<Subject>,
): Promise<string> {
  const { id, begun } = await registry.transaction(async (transaction) => {
    await boundTransaction(transaction);
    const subject = await lock(transaction);
    const known = await once?.find(transaction);
    if (known) {
      const first = await find(transaction, known);
      return { id: known, begun: first?.status !== 'running' || first.phase !== 'planned' };
    }
    await record(transaction, subject);
    await once?.keep(transaction, newId);
    return { id: newId, begun: false };
  });
  if (begun) return id;
  try {
    await start(id);
  } catch (cause) {
    const error = notStarted({ cause });
    // A failed start may have worked after all, so only the request that recorded the work marks it as failed.
    if (id === newId) {
      await registry.transaction(async (transaction) => {
        await giveUp(transaction, error.message);
        await once?.forget(transaction);
      });
    }
    throw error;
  }
  return id;
}
