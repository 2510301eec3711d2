import type { CloudFormationClient } from '@aws-sdk/client-cloudformation';
import type { RDSClient } from '@aws-sdk/client-rds';
import type { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';

let cloudFormation: Promise<CloudFormationClient> | undefined;
let rds: Promise<RDSClient> | undefined;
let secretsManager: Promise<SecretsManagerClient> | undefined;

// One client per container, loaded at first use: SDK clients dominate a function's cold start, and no task needs all.
// A call that hangs must end, and be repeated, well within a task's timeout.
const requestHandler = { connectionTimeout: 3_000, requestTimeout: 10_000, throwOnRequestTimeout: true };

export function cloudFormationClient(): Promise<CloudFormationClient> {
  cloudFormation ??= import('@aws-sdk/client-cloudformation').then(
    (sdk) => new sdk.CloudFormationClient({ requestHandler }),
  );
  return cloudFormation;
}

export function rdsClient(): Promise<RDSClient> {
  // Both attempts together end within the proxy's lease.
  const inTime = { requestHandler: { ...requestHandler, requestTimeout: 6_000 }, maxAttempts: 2 };
  rds ??= import('@aws-sdk/client-rds').then((sdk) => new sdk.RDSClient(inTime));
  return rds;
}

export function secretsManagerClient(): Promise<SecretsManagerClient> {
  secretsManager ??= import('@aws-sdk/client-secrets-manager').then(
    (sdk) => new sdk.SecretsManagerClient({ requestHandler }),
  );
  return secretsManager;
}
