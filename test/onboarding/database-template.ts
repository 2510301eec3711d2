/** Stand-ins for DedicatedDatabaseStack with its parameters and outputs. */

const secret = (name: string) => ({
  Type: 'AWS::SecretsManager::Secret',
  Properties: { Name: { Ref: name }, SecretString: '{}' },
});
const names = [
  'TenantId',
  'TenantSlug',
  'LaunchId',
  'RoleName',
  'SecretName',
  'OwnerSecretName',
  'MasterSecretName',
  'SubnetIds',
];

/** Without a database. */
export const secretsTemplate = {
  Parameters: Object.fromEntries(names.map((name) => [name, { Type: 'String' }])),
  Resources: {
    Tenant: secret('SecretName'),
    Owner: secret('OwnerSecretName'),
    Master: secret('MasterSecretName'),
  },
  Outputs: {
    ClusterArn: {
      Value: { 'Fn::Join': [':', ['arn:aws:rds:us-east-1:000000000000:cluster', { Ref: 'TenantId' }]] },
    },
    WriterHost: { Value: 'writer.test' },
    ProxyHost: { Value: 'proxy.test' },
    Port: { Value: '5432' },
    TenantSecretArn: { Value: { Ref: 'Tenant' } },
    OwnerSecretArn: { Value: { Ref: 'Owner' } },
  },
};

const physicalName = { 'Fn::Join': ['-', ['strata-tenant', { Ref: 'TenantId' }, { Ref: 'LaunchId' }]] };
const retained = { DeletionPolicy: 'RetainExceptOnCreate' };
const { Tenant, Owner, Master } = secretsTemplate.Resources;

/** With a real cluster, named and retained as in the real template, but protected while it is being made. */
export const databaseTemplate = {
  ...secretsTemplate,
  Resources: {
    Tenant: { ...Tenant, ...retained },
    // Last, and what may be in its way makes the creation fail.
    Owner: { ...Owner, ...retained, DependsOn: ['Writer', 'Proxy', 'Master', 'Tenant'] },
    Master: { ...Master, ...retained },
    Subnets: { Type: 'AWS::RDS::DBSubnetGroup', Properties: { SubnetIds: ['subnet-1'] } },
    Cluster: {
      Type: 'AWS::RDS::DBCluster',
      ...retained,
      Properties: {
        DBClusterIdentifier: physicalName,
        DBSubnetGroupName: { Ref: 'Subnets' },
        MasterUsername: 'strata_master',
        MasterUserPassword: 'master-password',
        // As somebody may have protected it while it was being made.
        DeletionProtection: true,
      },
    },
    Writer: {
      Type: 'AWS::RDS::DBInstance',
      ...retained,
      Properties: { DBClusterIdentifier: { Ref: 'Cluster' } },
    },
    Proxy: {
      Type: 'AWS::RDS::DBProxy',
      ...retained,
      Properties: {
        DBProxyName: physicalName,
        EngineFamily: 'POSTGRESQL',
        RoleArn: 'role',
        VpcSubnetIds: [],
      },
    },
  },
  Outputs: { ...secretsTemplate.Outputs, ClusterIdentifier: { Value: { Ref: 'Cluster' } } },
};
