import { beforeAll, expect, test } from 'vitest';
import { internals } from '../../infra/local/index.ts';
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
      'AvailabilityZones',
      'InstanceClass',
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
      'ProxyReaderHost',
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
  const sizes = JSON.parse(text(Variables.DEDICATED_SIZES)) as Record<string, Record<string, string>>;
  // Each size has all of them or, with fixed instances, all but the capacities.
  const sized = Object.keys(sizes.medium ?? {});
  const tenantsOwn = [
    'TenantId',
    'TenantSlug',
    'LaunchId',
    'RoleName',
    'SecretName',
    'OwnerSecretName',
    'MasterSecretName',
  ];
  expect([...given, ...sized, ...tenantsOwn].sort()).toEqual(
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

test('readers and their endpoint exist on request only, and nothing else waits for them', () => {
  const readers = Object.entries(assembly.dedicated.template.Resources).filter(
    ([, { Condition }]) => Condition,
  );
  expect(readers.map(([, { Type, Condition }]) => [Type, Condition])).toEqual([
    ['AWS::RDS::DBInstance', 'HasReader'],
    ['AWS::RDS::DBInstance', 'HasSecondReader'],
    ['AWS::RDS::DBProxyEndpoint', 'HasReader'],
  ]);
  const ids = readers.map(([id]) => id);
  for (const { DependsOn } of resources) {
    for (const other of listOf(DependsOn ?? [])) expect(ids).not.toContain(other);
  }
});

/** What CloudFormation would make for a size, resolved by the local platform as it resolves a launch. */
async function madeFor(size: 'small' | 'medium' | 'large') {
  const { resolveIntrinsics, conditionHolds } = await internals();
  const launch = assembly.resources.find(
    ({ Properties }) => Properties.Handler === 'tasks/move-aws.handler',
  ) as Resource;
  const { Variables } = launch.Properties.Environment as { Variables: Record<string, unknown> };
  const sizes = JSON.parse(text(Variables.DEDICATED_SIZES)) as Record<string, Record<string, string>>;
  const { template } = assembly.dedicated;
  const defaults = Object.entries(template.Parameters ?? {}).map(([name, parameter]) => [
    name,
    (parameter as { Default?: unknown }).Default ?? name,
  ]);
  const zones = (JSON.parse(text(Variables.DEDICATED_PARAMETERS)) as { AvailabilityZones: string })
    .AvailabilityZones;
  const parameters: Record<string, unknown> = {
    ...Object.fromEntries(defaults),
    ...sizes[size],
    AvailabilityZones: zones.split(','),
  };
  const scope = {
    template: template as never,
    region: 'us-east-1',
    ref: (name: string) => parameters[name] ?? name,
    getAtt: (id: string, attribute: string) => `${id}.${attribute}`,
    importValue: () => undefined,
    dynamicReference: () => '',
  };
  const made = Object.values(template.Resources)
    .filter(({ Condition }) => conditionHolds(Condition as string | undefined, scope))
    .map(({ Type, Properties }) => ({
      Type,
      Properties: (resolveIntrinsics(Properties ?? {}, scope) ?? {}) as Record<string, unknown>,
    }));
  const ofKind = (type: string) => made.filter(({ Type }) => Type === type).map((one) => one.Properties);
  const outputs = Object.entries(template.Outputs ?? {})
    .filter(([, output]) => conditionHolds((output as { Condition?: string }).Condition, scope))
    .map(([name]) => name);
  return {
    instances: ofKind('AWS::RDS::DBInstance').map(
      ({ DBInstanceClass, AvailabilityZone }) => `${DBInstanceClass} ${AvailabilityZone}`,
    ),
    capacity: ofKind('AWS::RDS::DBCluster')[0]?.ServerlessV2ScalingConfiguration,
    endpoints: ofKind('AWS::RDS::DBProxyEndpoint').map(({ TargetRole }) => TargetRole),
    hasReaderHost: outputs.includes('ProxyReaderHost'),
  };
}

test.each([
  ['small', { instances: ['db.t4g.medium us-east-1a'], endpoints: [], hasReaderHost: false }],
  [
    'medium',
    {
      instances: ['db.serverless us-east-1a', 'db.serverless us-east-1b'],
      capacity: { MinCapacity: '1', MaxCapacity: '16' },
      endpoints: ['READ_ONLY'],
      hasReaderHost: true,
    },
  ],
  [
    'large',
    {
      instances: ['db.r6g.xlarge us-east-1a', 'db.r6g.xlarge us-east-1b', 'db.r6g.xlarge us-east-1c'],
      endpoints: ['READ_ONLY'],
      hasReaderHost: true,
    },
  ],
] as const)('the size %s has its instances, each in another zone', async (size, expected) => {
  expect(await madeFor(size)).toMatchObject(expected);
});

test('the names of its cluster, proxy and endpoint have at most 63 characters', () => {
  const uuid = '00000000-0000-0000-0000-000000000000';
  const nameOf = (type: string, property: string) =>
    text(ofType(type)[0]?.Properties[property])
      .replace('<TenantId>', uuid)
      .replace('<LaunchId>', Date.now().toString(36));
  expect(nameOf('AWS::RDS::DBCluster', 'DBClusterIdentifier').length).toBeLessThanOrEqual(63);
  expect(nameOf('AWS::RDS::DBProxyEndpoint', 'DBProxyEndpointName').length).toBeLessThanOrEqual(63);
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
