/**
 * The user pools of the templates, with their clients, identity providers and accounts. Pools, clients and providers
 * come from the templates at every start; accounts and refresh tokens are kept in the state directory.
 */
import { createHash, randomBytes } from 'node:crypto';
import type { PlatformContext, Properties, ResourceFactory, StateFile } from '../model.ts';
import { stableUuid } from './sign-token.ts';

export interface UserPool {
  id: string;
  region: string;
  arn: string;
  /** Of the function of the trigger "pre token generation", version 2. */
  triggerArn: string | undefined;
}

export interface PoolClient {
  clientId: string;
  poolId: string;
  callbackUrls: string[];
  logoutUrls: string[];
  scopes: string[];
  /** `COGNITO`, and names of identity providers. */
  providers: string[];
  /** Whether it may sign in by authorization code. */
  takesCodes: boolean;
  /** Validity of tokens, in seconds. */
  accessSeconds: number;
  idSeconds: number;
  refreshSeconds: number;
}

export type AccountState = 'FORCE_CHANGE_PASSWORD' | 'CONFIRMED' | 'EXTERNAL_PROVIDER';

export interface PoolAccount {
  /** The subject; of an account of an identity provider `<provider>_<its subject>`. */
  username: string;
  attributes: Record<string, string>;
  enabled: boolean;
  status: AccountState;
  /** Epoch milliseconds. */
  createdAt: number;
  modifiedAt: number;
  groups: string[];
}

export interface RefreshToken {
  poolId: string;
  clientId: string;
  username: string;
  scopes: string[];
  /** Epoch seconds. */
  authTime: number;
  expiresAt: number;
}

interface Stored {
  /** By pool id. */
  accounts: Record<string, PoolAccount[]>;
  /** By the SHA-256 of the token. */
  refreshTokens: Record<string, RefreshToken>;
}

const DOCUMENT = 'user-pools';

export class UserPools {
  readonly #state: StateFile;
  readonly #pools = new Map<string, UserPool>();
  readonly #clients = new Map<string, PoolClient>();
  readonly #stored: Stored;

  constructor(state: StateFile) {
    this.#state = state;
    this.#stored = state.load<Stored>(DOCUMENT, { accounts: {}, refreshTokens: {} });
  }

  pool(id: string): UserPool | undefined {
    return this.#pools.get(id);
  }

  client(clientId: string, poolId: string): PoolClient | undefined {
    const client = this.#clients.get(clientId);
    return client?.poolId === poolId ? client : undefined;
  }

  accounts(poolId: string): PoolAccount[] {
    const { accounts } = this.#stored;
    accounts[poolId] ??= [];
    return accounts[poolId];
  }

  /** @param name the username; of an account of the pool itself also its address. */
  find(poolId: string, name: string): PoolAccount | undefined {
    const named = name.toLowerCase();
    return this.accounts(poolId).find(
      (one) =>
        one.username.toLowerCase() === named ||
        (one.status !== 'EXTERNAL_PROVIDER' && one.attributes.email === named),
    );
  }

  /** An account of the pool itself, whose address must be free. */
  create(poolId: string, attributes: Record<string, string>): PoolAccount {
    const email = (attributes.email ?? '').toLowerCase();
    const sub = stableUuid(email);
    return this.#add(poolId, {
      username: sub,
      attributes: { ...attributes, sub, email },
      status: 'FORCE_CHANGE_PASSWORD',
    });
  }

  /** The account of a person whom an identity provider has signed in; made at the first sign-in, as Cognito does. */
  external(poolId: string, provider: string, subject: string, email: string): PoolAccount {
    const username = `${provider}_${subject}`;
    const identity = { userId: subject, providerName: provider, providerType: 'OIDC', primary: 'true' };
    const known = this.find(poolId, username);
    const attributes = {
      sub: stableUuid(`${poolId} ${username}`),
      email,
      email_verified: 'false',
      identities: JSON.stringify([identity]),
    };
    if (!known) return this.#add(poolId, { username, attributes, status: 'EXTERNAL_PROVIDER' });
    known.attributes = attributes;
    this.changed(known);
    return known;
  }

  #add(poolId: string, account: Pick<PoolAccount, 'username' | 'attributes' | 'status'>): PoolAccount {
    const now = Date.now();
    const added = { ...account, enabled: true, createdAt: now, modifiedAt: now, groups: [] };
    this.accounts(poolId).push(added);
    this.#save();
    return added;
  }

  remove(poolId: string, account: PoolAccount): void {
    this.#stored.accounts[poolId] = this.accounts(poolId).filter((one) => one !== account);
    this.revokeAll(poolId, account);
  }

  /** Call after every change of an account's fields. */
  changed(account: PoolAccount): void {
    account.modifiedAt = Date.now();
    this.#save();
  }

  /** @returns the token, of which only the hash is kept. */
  issueRefreshToken(token: RefreshToken): string {
    const text = randomBytes(32).toString('base64url');
    this.#stored.refreshTokens[hashOf(text)] = token;
    this.#save();
    return text;
  }

  refreshToken(text: string): RefreshToken | undefined {
    const token = this.#stored.refreshTokens[hashOf(text)];
    return token && token.expiresAt > Date.now() / 1000 ? token : undefined;
  }

  revoke(text: string): void {
    delete this.#stored.refreshTokens[hashOf(text)];
    this.#save();
  }

  revokeAll(poolId: string, { username }: PoolAccount): void {
    for (const [hash, token] of Object.entries(this.#stored.refreshTokens)) {
      if (token.poolId === poolId && token.username === username) delete this.#stored.refreshTokens[hash];
    }
    this.#save();
  }

  #save(): void {
    this.#state.save(DOCUMENT, this.#stored);
  }

  /**
   * Factories of the AWS::Cognito types.
   * @param issuerOf the issuer of a pool's tokens
   */
  factories(
    issuerOf: (poolId: string) => string,
    use: (context: PlatformContext) => void,
  ): ResourceFactory[] {
    return [
      {
        type: 'AWS::Cognito::UserPool',
        create: async ({ stack, defaultName, properties }, context) => {
          use(context);
          const { region } = stack;
          const id = `${region}_${shortHash(defaultName, 9)}`;
          const arn = `arn:aws:cognito-idp:${region}:${context.account}:userpool/${id}`;
          const { PreTokenGenerationConfig: trigger } = (properties.LambdaConfig ?? {}) as {
            PreTokenGenerationConfig?: { LambdaArn?: string };
          };
          this.#pools.set(id, { id, region, arn, triggerArn: trigger?.LambdaArn });
          return {
            ref: id,
            attributes: {
              UserPoolId: id,
              Arn: arn,
              ProviderName: `cognito-idp.${region}.amazonaws.com/${id}`,
              ProviderURL: issuerOf(id),
            },
          };
        },
      },
      {
        type: 'AWS::Cognito::UserPoolClient',
        create: async ({ defaultName, properties }) => {
          const clientId = shortHash(`${defaultName} client`, 26);
          this.#clients.set(clientId, clientOf(clientId, properties));
          return {
            ref: clientId,
            attributes: {
              ClientId: clientId,
              Name: properties.ClientName,
              ClientSecret: shortHash(defaultName, 51),
            },
          };
        },
        remove: async ({ ref }) => void this.#clients.delete(ref),
      },
      ...NAMED.map(([kind, property]) => ({
        type: `AWS::Cognito::${kind}`,
        create: async ({ properties, defaultName }: { properties: Properties; defaultName: string }) => ({
          ref: String(properties[property] ?? defaultName),
          attributes: {},
        }),
      })),
    ];
  }
}

/** Types that need only a name here, with the property that has it. */
const NAMED = [
  ['UserPoolResourceServer', 'Identifier'],
  ['UserPoolDomain', 'Domain'],
  ['UserPoolGroup', 'GroupName'],
  ['UserPoolIdentityProvider', 'ProviderName'],
  ['ManagedLoginBranding', ''],
] as const;

const UNITS: Readonly<Record<string, number>> = { seconds: 1, minutes: 60, hours: 3_600, days: 86_400 };

function clientOf(clientId: string, properties: Properties): PoolClient {
  const texts = (name: string) => (properties[name] as string[] | undefined) ?? [];
  const units = (properties.TokenValidityUnits ?? {}) as Record<string, string>;
  const seconds = (name: string, fallback: number, defaultUnit: string) => {
    const value = properties[`${name}Validity`];
    return value === undefined ? fallback : Number(value) * (UNITS[units[name] ?? defaultUnit] ?? 1);
  };
  const flows = properties.AllowedOAuthFlowsUserPoolClient === true ? texts('AllowedOAuthFlows') : [];
  const providers = texts('SupportedIdentityProviders');
  return {
    clientId,
    poolId: String(properties.UserPoolId),
    callbackUrls: texts('CallbackURLs'),
    logoutUrls: texts('LogoutURLs'),
    scopes: texts('AllowedOAuthScopes'),
    providers: providers.length > 0 ? providers : ['COGNITO'],
    takesCodes: flows.includes('code'),
    accessSeconds: seconds('AccessToken', 3_600, 'hours'),
    idSeconds: seconds('IdToken', 3_600, 'hours'),
    refreshSeconds: seconds('RefreshToken', 30 * 86_400, 'days'),
  };
}

function hashOf(token: string): string {
  return createHash('sha256').update(token).digest('hex');
}

function shortHash(text: string, length: number): string {
  return createHash('sha512').update(text).digest('hex').slice(0, length);
}
