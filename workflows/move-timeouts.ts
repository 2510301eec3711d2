import { Duration } from 'aws-cdk-lib';

/** How long the functions of moves may take. */
export const MOVE_TIMEOUTS = {
  /** The registry, or one call of an AWS service. */
  short: Duration.minutes(1),
  /** A few statements, or waiting for 50 seconds, at a database or service. */
  medium: Duration.minutes(2),
  /** Work in portions, of which the last may begin after 50 seconds. */
  long: Duration.minutes(5),
  /** Transactions that nothing can divide: a copy, a comparison in one snapshot, a table that is emptied. */
  longest: Duration.minutes(15),
} as const;

/** What a state waits for a function, so that the function's own answer comes first. */
export const beyond = (timeout: Duration): Duration => Duration.seconds(timeout.toSeconds() + 10);
