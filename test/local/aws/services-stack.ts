import { att, type FixtureStack, lambdaFunction, ref, role } from './assembly.ts';

const viaSecretsManager = {
  StringEquals: { 'kms:ViaService': 'secretsmanager.us-east-1.amazonaws.com' },
};
const secretPattern = 'arn:aws:secretsmanager:us-east-1:000000000000:secret:granted/*';

/** A key, a secret, a proxy, functions, and roles with various rights. */
export const servicesStack: FixtureStack = {
  name: 'Services',
  resources: {
    Key: { Type: 'AWS::KMS::Key', Properties: { Description: 'of the test' } },
    Alias: { Type: 'AWS::KMS::Alias', Properties: { AliasName: 'alias/test', TargetKeyId: ref('Key') } },
    Generated: {
      Type: 'AWS::SecretsManager::Secret',
      Properties: {
        Name: 'template/generated',
        GenerateSecretString: {
          SecretStringTemplate: '{"username":"u"}',
          GenerateStringKey: 'password',
          PasswordLength: 40,
          ExcludePunctuation: true,
        },
      },
    },
    Proxy: {
      Type: 'AWS::RDS::DBProxy',
      Properties: {
        DBProxyName: 'cell-proxy',
        RoleArn: att('FunctionRole', 'Arn'),
        RequireTLS: true,
        EngineFamily: 'POSTGRESQL',
        VpcSubnetIds: ['subnet-1'],
        Auth: [{ AuthScheme: 'SECRETS', IAMAuth: 'DISABLED', SecretArn: ref('Generated') }],
      },
    },
    ...role('FunctionRole', []),
    ...lambdaFunction('Echo', 'echo', 'FunctionRole'),
    ...lambdaFunction('Fail', 'fail', 'FunctionRole'),
    ...role('Granted', [
      {
        Action: [
          'secretsmanager:CreateSecret',
          'secretsmanager:TagResource',
          'secretsmanager:GetSecretValue',
        ],
        Resource: secretPattern,
      },
      {
        Action: ['kms:GenerateDataKey', 'kms:Decrypt'],
        Resource: att('Key', 'Arn'),
        Condition: viaSecretsManager,
      },
      { Action: 'rds:DescribeDBProxies', Resource: '*' },
    ]),
    ...role('WithoutKey', [{ Action: 'secretsmanager:*', Resource: '*' }]),
    ...role('Bounded', [{ Action: 'secretsmanager:*', Resource: '*' }], {
      PermissionsBoundary: ref('Boundary'),
    }),
    Boundary: {
      Type: 'AWS::IAM::ManagedPolicy',
      Properties: {
        PolicyDocument: { Statement: { Effect: 'Allow', Action: 'secretsmanager:List*', Resource: '*' } },
      },
    },
  },
  outputs: { Key: { Value: att('Key', 'Arn') } },
};
