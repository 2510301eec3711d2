import { att, type FixtureStack, ref, role } from './assembly.ts';

const secretOf = (parameter: string, username: string) => ({
  Type: 'AWS::SecretsManager::Secret',
  DeletionPolicy: 'Retain',
  Properties: {
    Name: ref(parameter),
    GenerateSecretString: {
      SecretStringTemplate: JSON.stringify({ username }),
      GenerateStringKey: 'password',
      ExcludePunctuation: true,
    },
  },
});

/** What a dedicated database amounts to. */
export const databaseTemplate = {
  Description: 'One database',
  Parameters: {
    Identifier: { Type: 'String' },
    SecretName: { Type: 'String' },
    ProxyRoleArn: { Type: 'String' },
    Retained: { Type: 'String', Default: 'no', AllowedValues: ['yes', 'no'] },
  },
  Resources: {
    Secret: secretOf('SecretName', 'strata_master'),
    Cluster: {
      Type: 'AWS::RDS::DBCluster',
      DeletionPolicy: 'Delete',
      Properties: {
        DBClusterIdentifier: ref('Identifier'),
        DatabaseName: 'strata',
        MasterUsername: 'strata_master',
        MasterUserPassword: {
          'Fn::Join': ['', ['{{resolve:secretsmanager:', ref('Secret'), ':SecretString:password::}}']],
        },
        EnableHttpEndpoint: true,
      },
    },
    Proxy: {
      Type: 'AWS::RDS::DBProxy',
      Properties: {
        DBProxyName: ref('Identifier'),
        EngineFamily: 'POSTGRESQL',
        RoleArn: ref('ProxyRoleArn'),
        VpcSubnetIds: ['subnet-1'],
        Auth: [{ AuthScheme: 'SECRETS', SecretArn: ref('Secret') }],
      },
    },
  },
  Outputs: {
    ClusterArn: { Value: att('Cluster', 'DBClusterArn') },
    Port: { Value: att('Cluster', 'Endpoint.Port') },
    SecretArn: { Value: ref('Secret') },
  },
};

export const roleArn = (name: string) => `arn:aws:iam::000000000000:role/${name}`;
const stackPattern = 'arn:aws:cloudformation:us-east-1:000000000000:stack/strata-tenant-*';

/** The stack whose roles launch and build databases at run time. */
export const launchingStack: FixtureStack = {
  name: 'Home',
  resources: {
    ...role('ProxyRole', []),
    ...role('DeployRole', [
      {
        Action: [
          'secretsmanager:CreateSecret',
          'secretsmanager:TagResource',
          'secretsmanager:GetRandomPassword',
        ],
        Resource: '*',
      },
      { Action: 'secretsmanager:De*', Resource: '*' },
      {
        Action: ['rds:Create*', 'rds:Delete*', 'rds:Describe*'],
        Resource: ['arn:aws:rds:us-east-1:000000000000:*', 'arn:aws:rds::000000000000:global-cluster:*'],
      },
      { Action: 'rds:CreateDBProxy', Resource: '*' },
      { Action: 'iam:PassRole', Resource: att('ProxyRole', 'Arn') },
    ]),
    ...role('WeakDeployRole', [{ Action: 'secretsmanager:*', Resource: '*' }]),
    ...role('Launcher', [
      {
        Action: ['CreateStack', 'DescribeStacks', 'TagResource'].map((name) => `cloudformation:${name}`),
        Resource: stackPattern,
      },
      { Action: 's3:GetObject', Resource: 'arn:aws:s3:::assets-000000000000-us-east-1/*' },
      {
        Action: 'iam:PassRole',
        Resource: att('DeployRole', 'Arn'),
        Condition: { StringEquals: { 'iam:PassedToService': 'cloudformation.amazonaws.com' } },
      },
    ]),
    ...role('LauncherWithoutTemplate', [
      { Action: 'cloudformation:CreateStack', Resource: stackPattern },
      { Action: 'iam:PassRole', Resource: att('DeployRole', 'Arn') },
    ]),
  },
  outputs: { Role: { Value: att('ProxyRole', 'Arn') } },
};
