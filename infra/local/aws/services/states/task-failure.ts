/**
 * What makes a state fail with a chosen error name, which Retry and Catch compare. `message` becomes the cause.
 * Terminal ones can be neither retried nor caught.
 */
export class TaskFailure extends Error {
  /** Read by the interpreter. */
  readonly isRetryable: boolean;
  readonly isCatchable: boolean;

  constructor(name: string, cause: string, options: { terminal?: boolean } = {}) {
    super(cause);
    this.name = name;
    this.isRetryable = !options.terminal;
    this.isCatchable = !options.terminal;
  }
}
