import type { CloudFormationClient } from '@aws-sdk/client-cloudformation';
import type { RDSClient } from '@aws-sdk/client-rds';
import type { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import type { ServiceQuotasClient } from '@aws-sdk/client-service-quotas';

/** An AWS region, such as `eu-west-1`; the function's own when absent. */
type Region = string | undefined;

// One client per container and region, loaded at first use: SDK clients dominate a function's cold start, and no task
// needs all. A call that hangs must end, and be repeated, well within a task's timeout.
const requestHandler = { connectionTimeout: 3_000, requestTimeout: 10_000, throwOnRequestTimeout: true };

const inRegion = (region: Region) => (region === undefined ? {} : { region });

function perRegion<Client>(
  create: (region: Region) => Promise<Client>,
): (region?: string) => Promise<Client> {
  const clients = new Map<Region, Promise<Client>>();
  return (region) => {
    const known = clients.get(region) ?? create(region);
    clients.set(region, known);
    return known;
  };
}

export const cloudFormationClient = perRegion<CloudFormationClient>(async (region) => {
  const { CloudFormationClient } = await import('@aws-sdk/client-cloudformation');
  return new CloudFormationClient({ requestHandler, ...inRegion(region) });
});

export const rdsClient = perRegion<RDSClient>(async (region) => {
  const { RDSClient } = await import('@aws-sdk/client-rds');
  // Both attempts together end within the proxy's lease.
  const inTime = { requestHandler: { ...requestHandler, requestTimeout: 6_000 }, maxAttempts: 2 };
  return new RDSClient({ ...inTime, ...inRegion(region) });
});

export const secretsManagerClient = perRegion<SecretsManagerClient>(async (region) => {
  const { SecretsManagerClient } = await import('@aws-sdk/client-secrets-manager');
  return new SecretsManagerClient({ requestHandler, ...inRegion(region) });
});

export const serviceQuotasClient = perRegion<ServiceQuotasClient>(async (region) => {
  const { ServiceQuotasClient } = await import('@aws-sdk/client-service-quotas');
  return new ServiceQuotasClient({ requestHandler, ...inRegion(region) });
});
