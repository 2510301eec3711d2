/** A failure that one line explains. The command ends with exit code 1. */
export class CommandError extends Error {
  override name = 'CommandError';
}

/** The command line itself is wrong. The command ends with exit code 2. */
export class UsageError extends CommandError {
  override name = 'UsageError';
}
