/**
 * The sign-in of user pools, as Cognito's managed login and its OAuth endpoints do it:
 *
 *   /oauth2/authorize ──page──▶ /login ──code, once, for five minutes──▶ the client's callback
 *   /oauth2/token     code with its PKCE verifier, or refresh token ──trigger "pre token generation"──▶ tokens
 *
 * The page asks for no password: everybody on this machine may be everybody. An account must exist and be enabled, and
 * a client of an identity provider signs in whom the page is told that the provider has signed in.
 */
import { createHash, randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { lambdaPermissions, mayInvoke } from '../lambda/lambda-permission.ts';
import type { PlatformContext } from '../model.ts';
import { ADDRESS, signInPage } from './sign-in-page.ts';
import { type SigningKey, signPoolToken } from './sign-token.ts';
import type { PoolAccount, PoolClient, UserPool, UserPools } from './user-pools.ts';

interface Code {
  poolId: string;
  clientId: string;
  redirectUri: string;
  username: string;
  scopes: string[];
  challenge: string | undefined;
  nonce: string | undefined;
  /** Epoch milliseconds. */
  expiresAt: number;
}

export interface SignInOptions {
  pools: UserPools;
  key: SigningKey;
  issuerOf(poolId: string): string;
  context(): PlatformContext;
}

const CODE_MS = 5 * 60_000;
/** Largest form, in bytes. */
const FORM_LIMIT = 64 * 1024;

/** What is wrong with a request, in OAuth's words. */
class Refused extends Error {
  override name = 'Refused';
  readonly code: string;
  constructor(code: string, message = code) {
    super(message);
    this.code = code;
  }
}

export class SignIn {
  readonly #options: SignInOptions;
  readonly #codes = new Map<string, Code>();

  constructor(options: SignInOptions) {
    this.#options = options;
  }

  /** The document of OpenID's discovery. */
  configuration(poolId: string): Record<string, unknown> {
    const issuer = this.#options.issuerOf(poolId);
    return {
      issuer,
      authorization_endpoint: `${issuer}/oauth2/authorize`,
      token_endpoint: `${issuer}/oauth2/token`,
      userinfo_endpoint: `${issuer}/oauth2/userInfo`,
      revocation_endpoint: `${issuer}/oauth2/revoke`,
      end_session_endpoint: `${issuer}/logout`,
      jwks_uri: `${issuer}/.well-known/jwks.json`,
      id_token_signing_alg_values_supported: ['RS256'],
      response_types_supported: ['code'],
      scopes_supported: ['openid', 'email', 'phone', 'profile'],
      subject_types_supported: ['public'],
      token_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post'],
    };
  }

  /** Answers a request at a path below the pool's. @returns false when there is nothing there. */
  async handle(
    pool: UserPool,
    path: string,
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<boolean> {
    const route = this.#routes[`${request.method} ${path}`];
    if (!route) return false;
    const query = new URLSearchParams((request.url ?? '').split(/\?(.*)/s)[1]);
    try {
      await route(pool, query, request, response);
    } catch (cause) {
      if (!(cause instanceof Refused)) throw cause;
      answer(response, 400, { error: cause.code, error_description: cause.message });
    }
    return true;
  }

  readonly #routes: Readonly<
    Record<
      string,
      (
        pool: UserPool,
        query: URLSearchParams,
        request: IncomingMessage,
        response: ServerResponse,
      ) => Promise<void>
    >
  > = {
    'GET /oauth2/authorize': async (pool, query, _request, response) =>
      this.#authorize(pool, query, response),
    'POST /login': async (pool, _query, request, response) =>
      this.#signIn(pool, await readForm(request), response),
    'POST /oauth2/token': async (pool, _query, request, response) =>
      answer(response, 200, await this.#tokens(pool, await readForm(request))),
    'GET /oauth2/userInfo': async (pool, _query, request, response) =>
      this.#userInfo(pool, request, response),
    'POST /oauth2/revoke': async (_pool, _query, request, response) => {
      this.#options.pools.revoke((await readForm(request)).get('token') ?? '');
      response.writeHead(200, NOT_STORED).end();
    },
    'GET /logout': async (pool, query, _request, response) => this.#signOut(pool, query, response),
  };

  #authorize(pool: UserPool, query: URLSearchParams, response: ServerResponse): void {
    const request = this.#readRequest(pool, query);
    if ('refused' in request) {
      redirect(response, request.redirectUri, request.refused);
      return;
    }
    page(response, 200, signInPage({ poolId: pool.id, query, client: request.client }));
  }

  #signIn(pool: UserPool, form: URLSearchParams, response: ServerResponse): void {
    const query = new URLSearchParams(form.get('request') ?? '');
    const request = this.#readRequest(pool, query);
    if ('refused' in request) {
      redirect(response, request.redirectUri, request.refused);
      return;
    }
    const { client } = request;
    const account = this.#accountOf(pool, client, form);
    if (typeof account === 'string') {
      page(response, 400, signInPage({ poolId: pool.id, query, client, complaint: account }));
      return;
    }
    const code = randomBytes(24).toString('base64url');
    this.#codes.set(code, {
      poolId: pool.id,
      clientId: client.clientId,
      redirectUri: request.redirectUri,
      username: account.username,
      scopes: request.scopes,
      challenge: query.get('code_challenge') ?? undefined,
      nonce: query.get('nonce') ?? undefined,
      expiresAt: Date.now() + CODE_MS,
    });
    redirect(response, request.redirectUri, { code, ...stateOf(query) });
  }

  /** The account that signs in, or why none does, in Cognito's words. */
  #accountOf(pool: UserPool, client: PoolClient, form: URLSearchParams): PoolAccount | string {
    const { pools } = this.#options;
    const email = (form.get('email') ?? '').trim();
    if (!ADDRESS.test(email)) return 'Enter an e-mail address.';
    const [provider] = client.providers.filter((one) => one !== 'COGNITO');
    if (provider !== undefined && !client.providers.includes('COGNITO')) {
      const subject = form.get('subject')?.trim() || email;
      const account = pools.external(pool.id, provider, subject, email);
      return account.enabled ? account : 'User is disabled.';
    }
    const account = pools.find(pool.id, email);
    if (!account) return 'Incorrect username or password.';
    if (!account.enabled) return 'User is disabled.';
    if (account.status === 'FORCE_CHANGE_PASSWORD') {
      account.status = 'CONFIRMED';
      pools.changed(account);
    }
    return account;
  }

  /**
   * A request for a code. A client or a callback that is not known gets no redirection.
   * @throws {Refused}
   */
  #readRequest(
    pool: UserPool,
    query: URLSearchParams,
  ):
    | { client: PoolClient; redirectUri: string; scopes: string[] }
    | { redirectUri: string; refused: Record<string, string> } {
    const client = this.#options.pools.client(query.get('client_id') ?? '', pool.id);
    if (!client?.takesCodes) throw new Refused('invalid_request', 'Client does not exist.');
    const redirectUri = query.get('redirect_uri') ?? '';
    if (!client.callbackUrls.includes(redirectUri)) throw new Refused('redirect_mismatch');
    const refuse = (error: string) => ({ redirectUri, refused: { error, ...stateOf(query) } });
    if (query.get('response_type') !== 'code') return refuse('unsupported_response_type');
    const asked = (query.get('scope') ?? '').split(' ').filter(Boolean);
    const scopes = asked.length > 0 ? asked : client.scopes;
    if (scopes.some((scope) => !client.scopes.includes(scope))) return refuse('invalid_scope');
    if (query.has('code_challenge') && query.get('code_challenge_method') !== 'S256') {
      return refuse('invalid_request');
    }
    return { client, redirectUri, scopes };
  }

  /** @throws {Refused} */
  async #tokens(pool: UserPool, form: URLSearchParams): Promise<Record<string, unknown>> {
    const { pools } = this.#options;
    const client = pools.client(form.get('client_id') ?? '', pool.id);
    if (!client) throw new Refused('invalid_client');
    const now = Math.floor(Date.now() / 1000);
    if (form.get('grant_type') === 'authorization_code') {
      const code = this.#redeem(form, client);
      const account = this.#enabled(pool, code.username);
      const subject = { pool, client, account, scopes: code.scopes, authTime: now };
      const tokens = await this.#issue(subject, 'TokenGeneration_HostedAuth', code.nonce);
      const token = {
        poolId: pool.id,
        clientId: client.clientId,
        username: account.username,
        scopes: code.scopes,
        authTime: now,
        expiresAt: now + client.refreshSeconds,
      };
      return { ...tokens, refresh_token: pools.issueRefreshToken(token) };
    }
    if (form.get('grant_type') === 'refresh_token') {
      const token = pools.refreshToken(form.get('refresh_token') ?? '');
      if (token?.clientId !== client.clientId) throw new Refused('invalid_grant', 'Invalid Refresh Token');
      const account = this.#enabled(pool, token.username);
      const { scopes, authTime } = token;
      return this.#issue({ pool, client, account, scopes, authTime }, 'TokenGeneration_RefreshTokens');
    }
    throw new Refused('unsupported_grant_type');
  }

  /** A code counts once, also when it is refused. */
  #redeem(form: URLSearchParams, client: PoolClient): Code {
    const text = form.get('code') ?? '';
    const code = this.#codes.get(text);
    this.#codes.delete(text);
    const verifier = form.get('code_verifier') ?? '';
    const isProven =
      code?.challenge === undefined ||
      createHash('sha256').update(verifier).digest('base64url') === code.challenge;
    const holds =
      code !== undefined &&
      code.expiresAt > Date.now() &&
      code.clientId === client.clientId &&
      code.redirectUri === form.get('redirect_uri') &&
      isProven;
    if (!holds) throw new Refused('invalid_grant');
    return code;
  }

  #enabled(pool: UserPool, username: string): PoolAccount {
    const account = this.#options.pools.find(pool.id, username);
    if (!account?.enabled) throw new Refused('invalid_grant', 'User is disabled.');
    return account;
  }

  async #issue(
    { pool, client, account, scopes, authTime }: TokenSubject,
    triggerSource: string,
    nonce?: string,
  ): Promise<Record<string, unknown>> {
    const { key, issuerOf } = this.#options;
    const overrides = await this.#trigger({ pool, client, account, scopes, authTime }, triggerSource);
    const { accessTokenGeneration: access = {}, idTokenGeneration: id = {} } = overrides;
    const granted = [...new Set([...scopes, ...(access.scopesToAdd ?? [])])].filter(
      (scope) => !access.scopesToSuppress?.includes(scope),
    );
    const iss = issuerOf(pool.id);
    const { sub = '', email, email_verified: verified, identities } = account.attributes;
    const groups = account.groups.length > 0 ? { 'cognito:groups': account.groups } : {};
    const common = { sub, iss, ...groups, auth_time: authTime };
    const accessToken = await signPoolToken(key, client.accessSeconds, {
      ...common,
      client_id: client.clientId,
      token_use: 'access',
      scope: granted.join(' '),
      username: account.username,
      ...without(access.claimsToAddOrOverride, access.claimsToSuppress),
    });
    const idToken = await signPoolToken(key, client.idSeconds, {
      ...common,
      aud: client.clientId,
      token_use: 'id',
      'cognito:username': account.username,
      email,
      email_verified: verified === 'true',
      ...(identities ? { identities: JSON.parse(identities) } : {}),
      ...(nonce ? { nonce } : {}),
      ...without(id.claimsToAddOrOverride, id.claimsToSuppress),
    });
    return {
      access_token: accessToken,
      token_type: 'Bearer',
      expires_in: client.accessSeconds,
      ...(granted.includes('openid') ? { id_token: idToken } : {}),
    };
  }

  /** Runs the pool's trigger with Cognito's event. @throws {Refused} it failed, or Cognito may not invoke it. */
  async #trigger(subject: TokenSubject, triggerSource: string): Promise<Overrides> {
    const { pool, client, account, scopes } = subject;
    if (pool.triggerArn === undefined) return {};
    const context = this.#options.context();
    const resources = [...context.stacks.values()]
      .filter((stack) => stack.region === pool.region)
      .flatMap((stack) => [...stack.resources.values()]);
    const permissions = lambdaPermissions(resources, 'cognito-idp.amazonaws.com');
    if (!mayInvoke(permissions, pool.triggerArn, pool.arn)) {
      throw new Refused(
        'invalid_request',
        'PreTokenGeneration invocation failed due to error AccessDeniedException.',
      );
    }
    const event = {
      version: '2',
      triggerSource,
      region: pool.region,
      userPoolId: pool.id,
      userName: account.username,
      callerContext: { awsSdkVersion: 'aws-sdk-unknown-unknown', clientId: client.clientId },
      request: {
        userAttributes: { ...account.attributes, 'cognito:user_status': account.status },
        groupConfiguration: { groupsToOverride: account.groups, iamRolesToOverride: [], preferredRole: null },
        scopes,
      },
      response: { claimsAndScopeOverrideDetails: null },
    };
    const { payload, functionError } = await context.functions.invoke(pool.triggerArn, event, {
      region: pool.region,
    });
    if (functionError) {
      const { errorMessage } = payload as { errorMessage?: string };
      throw new Refused('invalid_request', `PreTokenGeneration failed with error ${errorMessage}.`);
    }
    const { response } = payload as { response?: { claimsAndScopeOverrideDetails?: Overrides | null } };
    return response?.claimsAndScopeOverrideDetails ?? {};
  }

  async #userInfo(pool: UserPool, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { key, issuerOf, pools } = this.#options;
    const token = /^bearer (.+)$/i.exec(request.headers.authorization ?? '')?.[1] ?? '';
    const claims = await key.verify(token, issuerOf(pool.id)).catch(() => undefined);
    const account = claims && pools.find(pool.id, String(claims.username));
    const isAllowed = claims?.token_use === 'access' && String(claims.scope).split(' ').includes('openid');
    if (!account?.enabled || !isAllowed) {
      response.setHeader('www-authenticate', 'Bearer error="invalid_token"');
      return answer(response, 401, { error: 'invalid_token' });
    }
    const { sub, email, email_verified: emailVerified } = account.attributes;
    answer(response, 200, { sub, email, email_verified: emailVerified, username: account.username });
  }

  /** There is no session to end: the page asks each time. */
  #signOut(pool: UserPool, query: URLSearchParams, response: ServerResponse): void {
    const client = this.#options.pools.client(query.get('client_id') ?? '', pool.id);
    const next = query.get('logout_uri') ?? '';
    if (!client?.logoutUrls.includes(next)) throw new Refused('invalid_request', 'Invalid logout_uri.');
    redirect(response, next, {});
  }
}

interface TokenSubject {
  pool: UserPool;
  client: PoolClient;
  account: PoolAccount;
  scopes: string[];
  /** Epoch seconds. */
  authTime: number;
}

interface Override {
  claimsToAddOrOverride?: Record<string, unknown>;
  claimsToSuppress?: string[];
  scopesToAdd?: string[];
  scopesToSuppress?: string[];
}

interface Overrides {
  accessTokenGeneration?: Override;
  idTokenGeneration?: Override;
}

const NOT_STORED = { 'cache-control': 'no-store' };

function without(claims: Record<string, unknown> = {}, suppressed: readonly string[] = []) {
  return Object.fromEntries(Object.entries(claims).filter(([name]) => !suppressed.includes(name)));
}

function stateOf(query: URLSearchParams): { state?: string } {
  const state = query.get('state');
  return state === null ? {} : { state };
}

function redirect(response: ServerResponse, to: string, parameters: Record<string, string>): void {
  const url = new URL(to);
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
  response.writeHead(302, { location: url.href, ...NOT_STORED }).end();
}

function page(response: ServerResponse, status: number, html: string): void {
  response
    .writeHead(status, {
      'content-type': 'text/html; charset=utf-8',
      'content-security-policy': "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
      ...NOT_STORED,
    })
    .end(html);
}

function answer(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json', ...NOT_STORED }).end(JSON.stringify(body));
}

async function readForm(request: IncomingMessage): Promise<URLSearchParams> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request) {
    size += (chunk as Buffer).length;
    if (size <= FORM_LIMIT) chunks.push(chunk as Buffer);
  }
  if (size > FORM_LIMIT) throw new Refused('invalid_request', 'The form is too large.');
  return new URLSearchParams(Buffer.concat(chunks).toString('utf8'));
}
