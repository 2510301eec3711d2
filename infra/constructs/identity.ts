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
  UserPoolEmail,
  UserPoolOperation,
} from 'aws-cdk-lib/aws-cognito';
import { Grant, type IGrantable } from 'aws-cdk-lib/aws-iam';
import { Construct } from 'constructs';
import type { AccountsEnvironment } from '../../functions/contracts/environments.ts';
import { accountsFunctionName, OPERATOR_SCOPE, OPERATORS_GROUP } from '../../functions/contracts/names.ts';
import type { RegionConfig } from '../config.ts';
import { acknowledgeFinding } from './acknowledge-finding.ts';
import type { Registry } from './registry.ts';
import { providersOf, SignInClients } from './sign-in-clients.ts';
import { type FunctionSettings, StrataFunction } from './strata-function.ts';
import { TaskSchedule } from './task-schedule.ts';

export interface IdentityProps extends FunctionSettings {
  readonly registry: Registry;
  readonly region: RegionConfig;
}

/**
 * The user pool of a region. One pool per registry, because a pool holds users' addresses and those stay in their
 * region. At sign-in a trigger reads the user's tenant and role from the registry and adds them to the access token. A
 * task makes the pool's accounts agree with the registry's memberships.
 */
export class Identity extends Construct {
  /** Issuer of the tokens, for JWT authorizers. */
  readonly issuer: string;
  /** Of the clients whose tokens the APIs accept; the first one is that of applications. */
  readonly clientIds: readonly string[];
  readonly userPoolId: string;
  readonly #userPoolArn: string;

  constructor(scope: Construct, id: string, props: IdentityProps) {
    super(scope, id);
    const { registry, region, ...settings } = props;
    const { config } = props;
    const providers = providersOf(config, region).map(({ name, tenant }) => [name, tenant]);
    const environment = {
      ...registry.usersEnvironment,
      IDENTITY_PROVIDERS: JSON.stringify(Object.fromEntries(providers)),
    };
    const issueClaims = new StrataFunction(this, 'IssueClaims', {
      ...settings,
      entry: 'tasks/issue-claims',
      description: 'Adds tenant, role and operator scope to access tokens',
      environment,
      // Cognito waits for 5 seconds.
      timeout: Duration.seconds(5),
    });
    registry.grantUsers(issueClaims);
    // While a deployment updates it, a sign-in already needs the new tables.
    issueClaims.node.addDependency(registry.schema);

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
      userInvitation: {
        emailSubject: 'Your invitation to Strata',
        emailBody:
          'You are invited to Strata as {username}. The password for your first sign-in is {####}; it is valid for three days.',
      },
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
      ...(config.signIn.emailFrom
        ? {
            email: UserPoolEmail.withSES({ fromEmail: config.signIn.emailFrom, sesRegion: region.awsRegion }),
          }
        : {}),
      deletionProtection: config.deletionProtection,
      removalPolicy: RemovalPolicy.RETAIN,
    });
    pool.addTrigger(UserPoolOperation.PRE_TOKEN_GENERATION_CONFIG, issueClaims, LambdaVersion.V2_0);
    new CfnUserPoolGroup(this, 'Operators', {
      userPoolId: pool.userPoolId,
      groupName: OPERATORS_GROUP,
      description: `Platform operators: their tokens carry the scope ${OPERATOR_SCOPE}`,
    });
    const [resource, name] = OPERATOR_SCOPE.split('/') as [string, string];
    const operator = new ResourceServerScope({ scopeName: name, scopeDescription: 'Operate the platform' });
    pool.addResourceServer('Api', { identifier: resource, scopes: [operator] });
    const client = this.#addClient(pool);
    const signIn = new SignInClients(this, 'SignIn', { config, region, pool });
    this.issuer = pool.userPoolProviderUrl;
    this.clientIds = [client.userPoolClientId, ...signIn.clientIds];
    this.userPoolId = pool.userPoolId;
    this.#userPoolArn = pool.userPoolArn;
    this.#addAccounts(pool, environment, { ...settings, registry, region });
    acknowledgeFinding(
      pool,
      'COG8',
      'Essentials is enough: claims need trigger version V2_0, which it has. Threat protection of the Plus plan is bought per user when a customer asks for it.',
    );
  }

  /** May delete accounts of users, and look up whether a user is an operator. */
  grantRemove(grantee: IGrantable): void {
    Grant.addToPrincipal({
      grantee,
      actions: [
        'cognito-idp:AdminDeleteUser',
        'cognito-idp:AdminGetUser',
        'cognito-idp:AdminListGroupsForUser',
      ],
      resourceArns: [this.#userPoolArn],
    });
  }

  /** Outside of the network: there is no endpoint of Cognito in it. */
  #addAccounts(
    pool: UserPool,
    environment: Omit<AccountsEnvironment, 'USER_POOL_ID'>,
    { registry, region, ...settings }: IdentityProps,
  ): void {
    const accounts = new StrataFunction(this, 'Accounts', {
      ...settings,
      entry: 'tasks/accounts',
      functionName: accountsFunctionName(region.key),
      description: 'Invites users, and disables, enables and deletes their accounts, as the registry says',
      environment: { ...environment, USER_POOL_ID: pool.userPoolId },
      timeout: Duration.minutes(1),
    });
    registry.grantUsers(accounts);
    accounts.node.addDependency(registry.schema);
    Grant.addToPrincipal({
      grantee: accounts,
      actions: [
        'cognito-idp:AdminCreateUser',
        'cognito-idp:AdminDeleteUser',
        'cognito-idp:AdminDisableUser',
        'cognito-idp:AdminEnableUser',
        'cognito-idp:AdminGetUser',
        'cognito-idp:AdminListGroupsForUser',
      ],
      resourceArns: [pool.userPoolArn],
    });
    // Changes start it themselves, except those of tenants' own admins: their functions reach no API of Lambda.
    new TaskSchedule(this, 'AccountsSchedule', {
      name: `strata-${region.key}-accounts`,
      description: 'Works on requested accounts',
      expression: 'rate(1 minute)',
      punctual: true,
      task: accounts,
    });
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
