import { Duration } from 'aws-cdk-lib';

/** How long the functions of moves may take: each as long as its longest phase. */
export const MOVE_TIMEOUTS = {
  /** The registry. */
  registry: Duration.minutes(1),
  /** Calls of AWS services, and waiting for one for 50 seconds. */
  aws: Duration.minutes(2),
  /** Transactions that nothing can divide: a copy, a comparison in one snapshot, a table that is emptied. */
  data: Duration.minutes(15),
} as const;

/** What a state waits for a function, so that the function's own answer comes first. */
export const beyond = (timeout: Duration): Duration => Duration.seconds(timeout.toSeconds() + 10);
