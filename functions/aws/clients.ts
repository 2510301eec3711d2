/**
 * The only place that constructs clients of AWS services: one per container and region, loaded on first use, because
 * SDK clients dominate a function's cold start and no function needs all of them.
 *
 * Every client has time limits. A call that hangs must fail, and be repeated, well within the time that its caller has:
 * API Gateway waits for 30 seconds, and a task's timeout is longer.
 */
import type { CloudFormationClient } from '@aws-sdk/client-cloudformation';
import type { CloudWatchLogsClient } from '@aws-sdk/client-cloudwatch-logs';
import type { CognitoIdentityProviderClient } from '@aws-sdk/client-cognito-identity-provider';
import type { EventBridgeClient } from '@aws-sdk/client-eventbridge';
import type { KMSClient } from '@aws-sdk/client-kms';
import type { LambdaClient } from '@aws-sdk/client-lambda';
import type { RDSClient } from '@aws-sdk/client-rds';
import type { RDSDataClient } from '@aws-sdk/client-rds-data';
import type { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import type { ServiceQuotasClient } from '@aws-sdk/client-service-quotas';
import type { SFNClient } from '@aws-sdk/client-sfn';
import type { SNSClient } from '@aws-sdk/client-sns';

/** An AWS region, such as `eu-west-1`; the function's own when absent. */
type Region = string | undefined;

/** Both times are in milliseconds. `attempts`: the SDK's default of three when absent. */
interface Limits {
  readonly connectMs?: number;
  readonly requestMs?: number;
  readonly attempts?: number;
}

const settings = (region: Region, { connectMs = 3_000, requestMs = 10_000, attempts }: Limits = {}) => ({
  requestHandler: {
    connectionTimeout: connectMs,
    requestTimeout: requestMs,
    throwOnRequestTimeout: true,
  },
  ...(region === undefined ? {} : { region }),
  ...(attempts === undefined ? {} : { maxAttempts: attempts }),
});

/** The client of a region. A client that failed to load is loaded again by the next call. */
function perRegion<Client>(
  create: (region: Region) => Promise<Client>,
): (region?: string) => Promise<Client> {
  const clients = new Map<Region, Promise<Client>>();
  return (region) => {
    let client = clients.get(region);
    if (!client) {
      client = create(region);
      clients.set(region, client);
      client.catch(() => clients.delete(region));
    }
    return client;
  };
}

export const cloudFormationClient = perRegion<CloudFormationClient>(async (region) => {
  const { CloudFormationClient } = await import('@aws-sdk/client-cloudformation');
  return new CloudFormationClient(settings(region));
});

export const logsClient = perRegion<CloudWatchLogsClient>(async (region) => {
  const { CloudWatchLogsClient } = await import('@aws-sdk/client-cloudwatch-logs');
  return new CloudWatchLogsClient(settings(region));
});

export const eventBridgeClient = perRegion<EventBridgeClient>(async (region) => {
  const { EventBridgeClient } = await import('@aws-sdk/client-eventbridge');
  return new EventBridgeClient(settings(region));
});

/** For data keys that a request waits for. The call must fail soon when KMS does not answer. */
export const kmsClient = perRegion<KMSClient>(async (region) => {
  const { KMSClient } = await import('@aws-sdk/client-kms');
  return new KMSClient(settings(region, { connectMs: 1_000, requestMs: 2_000, attempts: 2 }));
});

/** For calls of functions: never repeated, because a second call would run beside the first. */
export const lambdaClient = perRegion<LambdaClient>(async (region) => {
  const { LambdaClient } = await import('@aws-sdk/client-lambda');
  return new LambdaClient(settings(region, { attempts: 1 }));
});

export const rdsClient = perRegion<RDSClient>(async (region) => {
  const { RDSClient } = await import('@aws-sdk/client-rds');
  // Both attempts together end within the proxy's lease.
  return new RDSClient(settings(region, { requestMs: 6_000, attempts: 2 }));
});

/** For the registry. Two attempts on our own registry end before API Gateway stops waiting. */
export const rdsDataClient = perRegion<RDSDataClient>(async (region) => {
  const { RDSDataClient } = await import('@aws-sdk/client-rds-data');
  const ownRegion = { connectMs: 2_000, requestMs: 12_000, attempts: 2 };
  return new RDSDataClient(settings(region, region === undefined ? ownRegion : {}));
});

export const secretsManagerClient = perRegion<SecretsManagerClient>(async (region) => {
  const { SecretsManagerClient } = await import('@aws-sdk/client-secrets-manager');
  return new SecretsManagerClient(settings(region));
});

/** For credentials that a request waits for. The call must fail soon when Secrets Manager does not answer. */
export const secretsManagerClientOfRequests = perRegion<SecretsManagerClient>(async (region) => {
  const { SecretsManagerClient } = await import('@aws-sdk/client-secrets-manager');
  return new SecretsManagerClient(settings(region, { connectMs: 2_000, requestMs: 4_000, attempts: 2 }));
});

export const serviceQuotasClient = perRegion<ServiceQuotasClient>(async (region) => {
  const { ServiceQuotasClient } = await import('@aws-sdk/client-service-quotas');
  return new ServiceQuotasClient(settings(region));
});

export const snsClient = perRegion<SNSClient>(async (region) => {
  const { SNSClient } = await import('@aws-sdk/client-sns');
  return new SNSClient(settings(region));
});

/** Cognito's user administration. */
export const userPoolClient = perRegion<CognitoIdentityProviderClient>(async (region) => {
  const { CognitoIdentityProviderClient } = await import('@aws-sdk/client-cognito-identity-provider');
  return new CognitoIdentityProviderClient(settings(region));
});

/** Step Functions. */
export const statesClient = perRegion<SFNClient>(async (region) => {
  const { SFNClient } = await import('@aws-sdk/client-sfn');
  return new SFNClient(settings(region, { requestMs: 8_000 }));
});
