import { att, type FixtureStack, lambdaFunction, type PolicyStatement, ref, role } from './assembly.ts';

export const CALLBACK = 'http://localhost:17831/callback';

/** A user pool with a trigger, a client of its own accounts, one of an identity provider, and one without a page. */
export function poolStack(statements: PolicyStatement[] = []): FixtureStack {
  const client = (providers: string[], more: object = {}) => ({
    Type: 'AWS::Cognito::UserPoolClient',
    Properties: {
      UserPoolId: ref('Pool'),
      SupportedIdentityProviders: providers,
      AllowedOAuthFlowsUserPoolClient: true,
      AllowedOAuthFlows: ['code'],
      AllowedOAuthScopes: ['openid', 'email'],
      CallbackURLs: [CALLBACK],
      LogoutURLs: [CALLBACK],
      AccessTokenValidity: 5,
      RefreshTokenValidity: 60,
      TokenValidityUnits: { AccessToken: 'minutes', RefreshToken: 'minutes' },
      ...more,
    },
  });
  return {
    name: 'Pools',
    resources: {
      ...role('TriggerRole', []),
      ...role('Accounts', statements),
      ...lambdaFunction('Claims', 'claims', 'TriggerRole'),
      Pool: {
        Type: 'AWS::Cognito::UserPool',
        Properties: {
          LambdaConfig: {
            PreTokenGenerationConfig: { LambdaArn: att('Claims', 'Arn'), LambdaVersion: 'V2_0' },
          },
        },
      },
      Allowed: {
        Type: 'AWS::Lambda::Permission',
        Properties: {
          Action: 'lambda:InvokeFunction',
          FunctionName: att('Claims', 'Arn'),
          Principal: 'cognito-idp.amazonaws.com',
          SourceArn: att('Pool', 'Arn'),
        },
      },
      Quiet: {
        Type: 'AWS::Cognito::UserPool',
        Properties: {
          LambdaConfig: {
            PreTokenGenerationConfig: { LambdaArn: att('Claims', 'Arn'), LambdaVersion: 'V2_0' },
          },
        },
      },
      Provider: {
        Type: 'AWS::Cognito::UserPoolIdentityProvider',
        Properties: { UserPoolId: ref('Pool'), ProviderName: 'Corp', ProviderType: 'OIDC' },
      },
      Own: client(['COGNITO']),
      Corp: client(['Corp']),
      Api: client(['COGNITO'], { AllowedOAuthFlowsUserPoolClient: false }),
      Unpermitted: client(['COGNITO'], { UserPoolId: ref('Quiet') }),
    },
    outputs: {
      Pool: { Value: ref('Pool') },
      Quiet: { Value: ref('Quiet') },
      Issuer: { Value: att('Pool', 'ProviderURL') },
      Own: { Value: ref('Own') },
      Corp: { Value: ref('Corp') },
      Api: { Value: ref('Api') },
      Unpermitted: { Value: ref('Unpermitted') },
    },
  };
}
