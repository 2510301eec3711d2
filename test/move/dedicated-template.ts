import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ControlPlane } from '../onboarding/control-plane.ts';

export const dedicatedSettings = {
  templateUrl: 'https://bucket.s3.us-east-1.amazonaws.com/dedicated.json',
  parameters: { SubnetIds: 'subnet-1,subnet-2' },
  sizes: {},
  // The stand-in has no cluster.
  deletionProtection: false,
};

/**
 * Serves a stand-in for DedicatedDatabaseStack with its parameters, secrets and outputs, whose cluster and proxy are one
 * PostgreSQL server that is there already.
 */
export function serveDedicatedTemplate(
  plane: ControlPlane,
  directory: string,
  server: { host: string; port: number; masterPassword: string; ownerPassword: string },
): void {
  const secret = (name: string, username: unknown, password: string) => ({
    Type: 'AWS::SecretsManager::Secret',
    Properties: {
      Name: { Ref: name },
      SecretString: { 'Fn::Join': ['', ['{"username":"', username, `","password":"${password}"}`]] },
    },
  });
  const names = [
    'TenantId',
    'TenantSlug',
    'LaunchId',
    'RoleName',
    'SecretName',
    'OwnerSecretName',
    'MasterSecretName',
  ];
  const template = {
    Parameters: Object.fromEntries([...names, 'SubnetIds'].map((name) => [name, { Type: 'String' }])),
    Resources: {
      Tenant: secret('SecretName', { Ref: 'RoleName' }, 'tenant-password'),
      Owner: secret('OwnerSecretName', 'strata_owner', server.ownerPassword),
      Master: secret('MasterSecretName', 'strata_master', server.masterPassword),
    },
    Outputs: {
      ClusterArn: {
        Value: { 'Fn::Join': [':', ['arn:aws:rds:us-east-1:000000000000:cluster', { Ref: 'TenantId' }]] },
      },
      WriterHost: { Value: server.host },
      ProxyReaderHost: { Value: 'reader.test' },
      ProxyHost: { Value: server.host },
      Port: { Value: String(server.port) },
      TenantSecretArn: { Value: { Ref: 'Tenant' } },
      OwnerSecretArn: { Value: { Ref: 'Owner' } },
    },
  };
  const file = join(directory, 'dedicated.json');
  writeFileSync(file, JSON.stringify(template));
  plane.serveTemplate(dedicatedSettings.templateUrl, file);
}
