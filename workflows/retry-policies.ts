import { Duration } from 'aws-cdk-lib';
import { Errors, JitterType, type RetryProps } from 'aws-cdk-lib/aws-stepfunctions';
import {
  DependencyUnavailable,
  ProxyBusy,
  ProxyLeaseLost,
  TenantUnreachable,
} from '../functions/lifecycle/errors.ts';

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
