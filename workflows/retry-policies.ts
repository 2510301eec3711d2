import { Duration } from 'aws-cdk-lib';
import { Errors, JitterType, type RetryProps } from 'aws-cdk-lib/aws-stepfunctions';
import { TablesChanging } from '../functions/backups/engine-errors.ts';
import { BackupDuringMove } from '../functions/backups/errors.ts';
import { CutOverPostponed, TablesUpgrading } from '../functions/moves/errors.ts';
import {
  DependencyUnavailable,
  ProxyBusy,
  ProxyLeaseLost,
  TenantUnreachable,
} from '../functions/places/errors.ts';

/** What passes by itself: a dependency that is away, a function that was throttled, killed or cut off. */
export const transient: RetryProps = {
  errors: [
    DependencyUnavailable.name,
    Errors.TIMEOUT,
    'Lambda.ServiceException',
    'Lambda.AWSLambdaException',
    'Lambda.SdkClientException',
    'Lambda.TooManyRequestsException',
    'Lambda.Unknown',
    'Runtime.ExitError',
    'Sandbox.Timedout',
  ],
  interval: Duration.seconds(2),
  backoffRate: 2,
  maxAttempts: 6,
  maxDelay: Duration.seconds(60),
  jitterStrategy: JitterType.FULL,
};

/** Another workflow changes the same proxy; each needs well under a minute. */
export const proxyTaken: RetryProps = {
  errors: [ProxyBusy.name, ProxyLeaseLost.name],
  interval: Duration.seconds(5),
  backoffRate: 1.2,
  maxAttempts: 30,
  maxDelay: Duration.seconds(30),
  jitterStrategy: JitterType.FULL,
};

/** A proxy takes a while before it knows a new secret or cluster. */
export const notYetReachable: RetryProps = {
  errors: [TenantUnreachable.name],
  interval: Duration.seconds(3),
  backoffRate: 1.5,
  maxAttempts: 12,
  maxDelay: Duration.seconds(30),
};

/**
 * The tenant's writers, or another mover, would not let the step have its turn, or a rollout is not done with the shared
 * tables: it is asked for again for about five hours. Each try has been patient itself, so the writers get a rest in between.
 */
export const postponed: RetryProps = {
  errors: [CutOverPostponed.name, TablesUpgrading.name],
  interval: Duration.seconds(10),
  backoffRate: 1.5,
  maxAttempts: 65,
  maxDelay: Duration.minutes(5),
  jitterStrategy: JitterType.FULL,
};

/** A move keeps the tenant, or a rollout its tables: the backup waits for about five hours. */
export const keptByOther: RetryProps = {
  errors: [BackupDuringMove.name, TablesChanging.name],
  interval: Duration.seconds(10),
  backoffRate: 1.5,
  maxAttempts: 65,
  maxDelay: Duration.minutes(5),
  jitterStrategy: JitterType.FULL,
};

/** For what has to be done whatever stands in its way, for about an hour: somebody waits for the tenant to be free. */
export const insistent: RetryProps = {
  errors: [Errors.ALL],
  interval: Duration.seconds(5),
  backoffRate: 2,
  maxAttempts: 40,
  maxDelay: Duration.minutes(3),
  jitterStrategy: JitterType.FULL,
};

/** For what has to be done and nobody waits for, for about a day. */
export const patient: RetryProps = {
  errors: [Errors.ALL],
  interval: Duration.seconds(10),
  backoffRate: 2,
  maxAttempts: 200,
  maxDelay: Duration.minutes(15),
  jitterStrategy: JitterType.FULL,
};
