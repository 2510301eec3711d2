import { beforeAll, expect, test } from 'vitest';
import { listOf, text } from './iam-statements.ts';
import { type Assembly, type Resource, sharedAssembly } from './synthesized-app.ts';

let assembly: Assembly;
let resources: Resource[];
beforeAll(async () => {
  assembly = await sharedAssembly('default');
  resources = Object.values(assembly.dedicated.template.Resources);
});

const ofType = (type: string) => resources.filter(({ Type }) => Type === type);

test('fits into the limit of CloudFormation, creates no IAM and needs no assets or bootstrap stack', () => {
  expect(assembly.dedicated.bytes).toBeLessThan(1_000_000);
  expect(
    resources.filter(({ Type }) => Type.startsWith('AWS::IAM::') || Type.startsWith('Custom::')),
  ).toEqual([]);
  const json = JSON.stringify(assembly.dedicated.template);
  expect(json).not.toContain('cdk-hnb659fds');
  expect(json).not.toContain('BootstrapVersion');
  expect(json).not.toContain('Fn::ImportValue');
});

test('takes the agreed parameters and gives the agreed outputs', () => {
  const { Parameters = {}, Outputs = {} } = assembly.dedicated.template;
  expect(Object.keys(Parameters).sort()).toEqual(
    [
      'TenantId',
      'TenantSlug',
      'LaunchId',
      'RoleName',
      'SecretName',
      'OwnerSecretName',
      'MasterSecretName',
      'SubnetIds',
      'ClusterSecurityGroupId',
      'ProxySecurityGroupId',
      'ProxyRoleArn',
      'KmsKeyArn',
      'AlarmTopicArn',
      'MinCapacity',
      'MaxCapacity',
      'ReaderCount',
    ].sort(),
  );
  expect(Object.keys(Outputs).sort()).toEqual(
    [
      'ClusterArn',
      'ClusterIdentifier',
      'WriterHost',
      'ReaderHost',
      'Port',
      'ProxyHost',
      'ProxyName',
      'MasterSecretArn',
      'OwnerSecretArn',
      'TenantSecretArn',
    ].sort(),
  );
});

test.each(['onboarding-aws', 'move-aws'])('%s knows every parameter that is not the tenant’s own', (task) => {
  const launch = assembly.resources.find(
    ({ Properties }) => Properties.Handler === `tasks/${task}.handler`,
  ) as Resource;
  const { Variables } = launch.Properties.Environment as { Variables: Record<string, unknown> };
  const given = Object.keys(JSON.parse(text(Variables.DEDICATED_PARAMETERS)));
  const tenantsOwn = [
    'TenantId',
    'TenantSlug',
    'LaunchId',
    'RoleName',
    'SecretName',
    'OwnerSecretName',
    'MasterSecretName',
  ];
  expect([...given, ...tenantsOwn].sort()).toEqual(
    Object.keys(assembly.dedicated.template.Parameters ?? {}).sort(),
  );
});

test('the cluster is named after the tenant, retained once made, and can go back 35 days', () => {
  const [cluster] = ofType('AWS::RDS::DBCluster') as [Resource];
  expect(cluster).toMatchObject({ DeletionPolicy: 'RetainExceptOnCreate', UpdateReplacePolicy: 'Retain' });
  expect(cluster.Properties).toMatchObject({
    StorageEncrypted: true,
    BackupRetentionPeriod: 35,
    EnableHttpEndpoint: true,
    DatabaseName: 'strata',
  });
  // Its launch can be rolled back; the workflow protects it afterwards.
  expect(cluster.Properties).not.toHaveProperty('DeletionProtection');
  expect(text(cluster.Properties.DBClusterIdentifier)).toBe('strata-tenant-<TenantId>-<LaunchId>');
});

test('the reader exists on request only, and nothing else waits for it', () => {
  const readers = Object.entries(assembly.dedicated.template.Resources).filter(
    ([, { Condition }]) => Condition,
  );
  expect(readers.map(([, { Type, Condition }]) => [Type, Condition])).toEqual([
    ['AWS::RDS::DBInstance', 'HasReader'],
  ]);
  for (const { DependsOn } of resources) expect(listOf(DependsOn ?? [])).not.toContain(readers[0]?.[0]);
});

test('the proxy requires TLS and accepts the tenant’s secret only', () => {
  const [proxy] = ofType('AWS::RDS::DBProxy') as [Resource];
  expect(proxy.Properties.RequireTLS).toBe(true);
  const auth = proxy.Properties.Auth as { SecretArn: { Ref: string } }[];
  expect(auth).toHaveLength(1);
  const secret = assembly.dedicated.template.Resources[auth[0]?.SecretArn.Ref as string] as Resource;
  expect(secret.Properties.Name).toEqual({ Ref: 'SecretName' });
});

test('the cluster waits for the proxy, so that a launch without a proxy left can still roll back', () => {
  const { Resources } = assembly.dedicated.template;
  const [cluster] = ofType('AWS::RDS::DBCluster') as [Resource];
  const [proxyId] = Object.entries(Resources).find(([, { Type }]) => Type === 'AWS::RDS::DBProxy') as [
    string,
    Resource,
  ];
  expect(cluster.DependsOn).toContain(proxyId);
});
