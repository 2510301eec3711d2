/** Stacks of one name in two regions: whatever has a name has it twice. */
import { att, type FixtureStack, lambdaFunction, type Resources, ref } from '../aws/assembly.ts';

export const US = 'us-east-1';
export const EU = 'eu-west-1';

export interface TwinFiles {
  /** Where the functions append what they are given, one file per region. */
  record(region: string): string;
  /** What `GET /tenants/{tenantId}` answers. */
  tenants: string;
}

const ASSUMED = { Version: '2012-10-17', Statement: [] };
const OWN_WHERE = {
  'Fn::Join': [':', ['arn:aws:lambda', ref('AWS::Region'), ref('AWS::AccountId'), 'function:where']],
};

/** @param files of the machine that both run on */
export function twinStack(region: string, files: TwinFiles): FixtureStack {
  return {
    name: 'Twin',
    region,
    resources: {
      // Without names, which would be one and the same in all regions.
      Role: {
        Type: 'AWS::IAM::Role',
        Properties: {
          AssumeRolePolicyDocument: ASSUMED,
          Policies: [
            {
              PolicyName: 'own',
              PolicyDocument: {
                Statement: [{ Effect: 'Allow', Action: 'lambda:InvokeFunction', Resource: OWN_WHERE }],
              },
            },
          ],
        },
      },
      ...lambdaFunction('where', 'where', 'Role'),
      ...lambdaFunction('record', 'record', 'Role', { RECORD_FILE: files.record(region) }),
      ...lambdaFunction('tenant', 'tenant', 'Role', { TENANTS_FILE: files.tenants }),
      ...lambdaFunction('maker', 'customResource', 'Role'),
      Thing: { Type: 'Custom::Thing', Properties: { ServiceToken: att('maker', 'Arn') } },
      Key: { Type: 'AWS::KMS::Key', Properties: {} },
      Alias: { Type: 'AWS::KMS::Alias', Properties: { AliasName: 'alias/twin', TargetKeyId: ref('Key') } },
      Secret: {
        Type: 'AWS::SecretsManager::Secret',
        Properties: { Name: 'twin/secret', SecretString: JSON.stringify({ password: `of-${region}` }) },
      },
      Topic: { Type: 'AWS::SNS::Topic', Properties: { TopicName: 'twin' } },
      Machine: {
        Type: 'AWS::StepFunctions::StateMachine',
        Properties: {
          StateMachineName: 'twin',
          RoleArn: att('Role', 'Arn'),
          DefinitionString: JSON.stringify({
            StartAt: 'Where',
            States: {
              Where: {
                Type: 'Task',
                Resource: 'arn:aws:states:::lambda:invoke',
                Parameters: { FunctionName: 'where', 'Payload.$': '$' },
                OutputPath: '$.Payload',
                End: true,
              },
            },
          }),
        },
      },
      Schedule: {
        Type: 'AWS::Scheduler::Schedule',
        Properties: {
          Name: 'nightly',
          ScheduleExpression: 'cron(0 2 * * ? *)',
          FlexibleTimeWindow: { Mode: 'OFF' },
          Target: {
            RoleArn: att('Role', 'Arn'),
            Arn: att('record', 'Arn'),
            Input: JSON.stringify({ scheduled: region }),
          },
        },
      },
      Rule: {
        Type: 'AWS::Events::Rule',
        Properties: {
          Name: 'ended',
          EventPattern: { source: ['aws.states'], detail: { status: ['SUCCEEDED'] } },
          Targets: [{ Id: 'record', Arn: att('record', 'Arn'), InputPath: '$.region' }],
        },
      },
      // Names its function as what it is called in its own region; the other region's rule is not let by it.
      ...(region === EU
        ? { MayRecord: permission('record', 'events.amazonaws.com', att('Rule', 'Arn')) }
        : {}),
      ...httpApi(region),
    },
    outputs: {
      Endpoint: { Value: att('Api', 'ApiEndpoint') },
      Pool: { Value: ref('Pool') },
      Role: { Value: att('Role', 'Arn') },
      Key: { Value: ref('Key') },
      Topic: { Value: ref('Topic') },
      Request: { Value: att('Thing', 'Request') },
      Secret: { Value: ref('Secret') },
      Password: { Value: '{{resolve:secretsmanager:twin/secret:SecretString:password}}' },
    },
  };
}

/** An API whose users come from a pool of its region: `/where` is open to all, `/mine` to them. */
function httpApi(region: string): Resources {
  const routes: Resources = {
    ...route('Where', 'GET /where', 'where'),
    ...route('Mine', 'GET /mine', 'where', { AuthorizationType: 'JWT', AuthorizerId: ref('Authorizer') }),
    // Operators have one API.
    ...(region === US ? route('Tenant', 'GET /tenants/{tenantId}', 'tenant') : {}),
  };
  return {
    Pool: { Type: 'AWS::Cognito::UserPool', Properties: {} },
    Client: { Type: 'AWS::Cognito::UserPoolClient', Properties: { UserPoolId: ref('Pool') } },
    Api: { Type: 'AWS::ApiGatewayV2::Api', Properties: { Name: 'twin', ProtocolType: 'HTTP' } },
    Stage: { Type: 'AWS::ApiGatewayV2::Stage', Properties: { ApiId: ref('Api'), StageName: '$default' } },
    Authorizer: {
      Type: 'AWS::ApiGatewayV2::Authorizer',
      Properties: {
        ApiId: ref('Api'),
        AuthorizerType: 'JWT',
        IdentitySource: ['$request.header.Authorization'],
        JwtConfiguration: { Issuer: att('Pool', 'ProviderURL'), Audience: [ref('Client')] },
      },
    },
    ...routes,
  };
}

function route(id: string, RouteKey: string, functionName: string, properties: object = {}): Resources {
  return {
    [`${id}Integration`]: {
      Type: 'AWS::ApiGatewayV2::Integration',
      Properties: { ApiId: ref('Api'), IntegrationUri: att(functionName, 'Arn') },
    },
    [`${id}Route`]: {
      Type: 'AWS::ApiGatewayV2::Route',
      Properties: {
        ApiId: ref('Api'),
        RouteKey,
        Target: { 'Fn::Join': ['/', ['integrations', ref(`${id}Integration`)]] },
        ...properties,
      },
    },
    [`${id}Permission`]: permission(functionName, 'apigateway.amazonaws.com'),
  };
}

function permission(functionName: string, Principal: string, SourceArn?: unknown) {
  return {
    Type: 'AWS::Lambda::Permission',
    Properties: {
      Action: 'lambda:InvokeFunction',
      FunctionName: ref(functionName),
      Principal,
      ...(SourceArn === undefined ? {} : { SourceArn }),
    },
  };
}
