import { Aws, CfnOutput, Duration, SecretValue } from 'aws-cdk-lib';
import {
  CfnManagedLoginBranding,
  type CfnUserPoolClient,
  CfnUserPoolIdentityProvider,
  ManagedLoginVersion,
  OAuthScope,
  type UserPool,
  UserPoolClient,
  UserPoolClientIdentityProvider,
} from 'aws-cdk-lib/aws-cognito';
import { Construct } from 'constructs';
import { SIGN_IN_PORTS, signInCallback } from '../../functions/contracts/names.ts';
import type { IdentityProviderConfig, RegionConfig, StrataConfig } from '../config.ts';

export interface SignInClientsProps {
  readonly config: StrataConfig;
  readonly region: RegionConfig;
  readonly pool: UserPool;
}

/** Where SAML providers state the address of a person. */
const SAML_EMAIL = 'http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress';

/**
 * The sign-in page of a user pool, and the public clients of the command line. Each identity provider has a client of
 * its own: the sign-in page shows the providers of its client, and must not tell one customer of another.
 */
export class SignInClients extends Construct {
  /** Of all clients; the first one is that of people with an account of the user pool. */
  readonly clientIds: readonly string[];
  readonly #pool: UserPool;

  constructor(scope: Construct, id: string, { config, region, pool }: SignInClientsProps) {
    super(scope, id);
    this.#pool = pool;
    // Prefixes are unique in an AWS region, hence the account.
    const prefix = config.signIn.domainPrefix ?? `strata-${Aws.ACCOUNT_ID}`;
    const domain = pool.addDomain('Domain', {
      cognitoDomain: { domainPrefix: `${prefix}-${region.key}` },
      managedLoginVersion: ManagedLoginVersion.NEWER_MANAGED_LOGIN,
    });
    const commandLine = this.#addClient('CommandLine', UserPoolClientIdentityProvider.COGNITO);
    const ofProviders = providersOf(config, region).map((provider) => {
      const resource = this.#addProvider(provider);
      const client = this.#addClient(
        `CommandLine${provider.name}`,
        UserPoolClientIdentityProvider.custom(provider.name),
      );
      client.node.addDependency(resource);
      this.#output(`CommandLineClientId${provider.name}`, client.userPoolClientId);
      return client.userPoolClientId;
    });
    this.clientIds = [commandLine.userPoolClientId, ...ofProviders];
    this.#output('CommandLineClientId', commandLine.userPoolClientId);
    this.#output('SignInIssuer', pool.userPoolProviderUrl);
    this.#output('SignInPage', domain.baseUrl());
  }

  /** Under exactly this name: people give the values to `strata login`. */
  #output(name: string, value: string): void {
    new CfnOutput(this, name, { value }).overrideLogicalId(name);
  }

  #addClient(id: string, provider: UserPoolClientIdentityProvider): UserPoolClient {
    const urls = SIGN_IN_PORTS.map(signInCallback);
    const client = new UserPoolClient(this, id, {
      userPool: this.#pool,
      // Public: it proves by PKCE that it has begun the sign-in that it ends.
      generateSecret: false,
      oAuth: {
        flows: { authorizationCodeGrant: true },
        scopes: [OAuthScope.OPENID, OAuthScope.EMAIL],
        callbackUrls: urls,
        logoutUrls: urls,
      },
      supportedIdentityProviders: [provider],
      preventUserExistenceErrors: true,
      enableTokenRevocation: true,
      accessTokenValidity: Duration.hours(1),
      idTokenValidity: Duration.hours(1),
      refreshTokenValidity: Duration.days(7),
    });
    // Without a flow that takes a password: people enter theirs on the sign-in page only.
    (client.node.defaultChild as CfnUserPoolClient).explicitAuthFlows = ['ALLOW_REFRESH_TOKEN_AUTH'];
    // The page of a client without a branding answers with an error.
    new CfnManagedLoginBranding(this, `${id}Branding`, {
      userPoolId: this.#pool.userPoolId,
      clientId: client.userPoolClientId,
      useCognitoProvidedValues: true,
    });
    return client;
  }

  #addProvider(provider: IdentityProviderConfig): CfnUserPoolIdentityProvider {
    return new CfnUserPoolIdentityProvider(this, `Provider${provider.name}`, {
      userPoolId: this.#pool.userPoolId,
      providerName: provider.name,
      providerType: provider.kind === 'oidc' ? 'OIDC' : 'SAML',
      providerDetails:
        provider.kind === 'oidc'
          ? {
              oidc_issuer: provider.issuer,
              client_id: provider.clientId,
              client_secret: SecretValue.secretsManager(provider.clientSecretName).unsafeUnwrap(),
              authorize_scopes: 'openid email',
              attributes_request_method: 'GET',
            }
          : { MetadataURL: provider.metadataUrl },
      attributeMapping: { email: provider.kind === 'oidc' ? 'email' : SAML_EMAIL },
    });
  }
}

/** The identity providers of the region's user pool. */
export function providersOf(
  { signIn }: Pick<StrataConfig, 'signIn'>,
  { key }: Pick<RegionConfig, 'key'>,
): readonly IdentityProviderConfig[] {
  return signIn.identityProviders.filter(({ region }) => region === key);
}
