import { Duration, RemovalPolicy } from 'aws-cdk-lib';
import {
  AccountRecovery,
  CfnUserPoolGroup,
  FeaturePlan,
  LambdaVersion,
  Mfa,
  ResourceServerScope,
  UserPool,
  type UserPoolClient,
  UserPoolOperation,
} from 'aws-cdk-lib/aws-cognito';
import { Construct } from 'constructs';
import { OPERATOR_SCOPE } from '../../functions/contracts/names.ts';
import { acknowledgeFinding } from './acknowledge-finding.ts';
import type { Registry } from './registry.ts';
import { type FunctionSettings, StrataFunction } from './strata-function.ts';

/**
 * The user pool of a region. One pool per registry, because a pool holds users' addresses and those stay in their
 * region. At sign-in a trigger reads the user's tenant and role from the registry and adds them to the access token.
 */
export class Identity extends Construct {
  /** Issuer of the tokens, for JWT authorizers. */
  readonly issuer: string;
  readonly clientId: string;
  readonly userPoolId: string;

  constructor(scope: Construct, id: string, props: FunctionSettings & { readonly registry: Registry }) {
    super(scope, id);
    const { registry, ...settings } = props;
    const issueClaims = new StrataFunction(this, 'IssueClaims', {
      ...settings,
      entry: 'tasks/issue-claims',
      description: 'Adds tenant, role and operator scope to access tokens',
      environment: registry.readerEnvironment,
      // Cognito waits for 5 seconds.
      timeout: Duration.seconds(5),
    });
    registry.grantRead(issueClaims);

    const pool = new UserPool(this, 'Users', {
      featurePlan: FeaturePlan.ESSENTIALS,
      // Users are created by an administrator or an invitation: the owner of an address must not join a tenant without
      // one.
      selfSignUpEnabled: false,
      signInAliases: { email: true },
      signInCaseSensitive: false,
      autoVerify: { email: true },
      keepOriginal: { email: true },
      standardAttributes: { email: { required: true, mutable: true } },
      accountRecovery: AccountRecovery.EMAIL_ONLY,
      mfa: Mfa.REQUIRED,
      mfaSecondFactor: { otp: true, sms: false },
      passwordPolicy: {
        minLength: 12,
        requireDigits: true,
        requireLowercase: true,
        requireUppercase: true,
        requireSymbols: true,
        tempPasswordValidity: Duration.days(3),
      },
      deletionProtection: props.config.deletionProtection,
      removalPolicy: RemovalPolicy.RETAIN,
    });
    pool.addTrigger(UserPoolOperation.PRE_TOKEN_GENERATION_CONFIG, issueClaims, LambdaVersion.V2_0);
    new CfnUserPoolGroup(this, 'Operators', {
      userPoolId: pool.userPoolId,
      groupName: 'operators',
      description: `Platform operators: their tokens carry the scope ${OPERATOR_SCOPE}`,
    });
    const [resource, name] = OPERATOR_SCOPE.split('/') as [string, string];
    const operator = new ResourceServerScope({ scopeName: name, scopeDescription: 'Operate the platform' });
    pool.addResourceServer('Api', { identifier: resource, scopes: [operator] });
    const client = this.#addClient(pool);
    this.issuer = pool.userPoolProviderUrl;
    this.clientId = client.userPoolClientId;
    this.userPoolId = pool.userPoolId;
    acknowledgeFinding(
      pool,
      'COG8',
      'Essentials is enough: claims need trigger version V2_0, which it has. Threat protection of the Plus plan is bought per user when a customer asks for it.',
    );
  }

  #addClient(pool: UserPool): UserPoolClient {
    return pool.addClient('App', {
      generateSecret: false,
      // Passwords never reach the application: clients prove them by SRP.
      authFlows: { userSrp: true },
      disableOAuth: true,
      preventUserExistenceErrors: true,
      enableTokenRevocation: true,
      accessTokenValidity: Duration.hours(1),
      idTokenValidity: Duration.hours(1),
      refreshTokenValidity: Duration.days(1),
    });
  }
}
