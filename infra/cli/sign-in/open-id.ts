/**
 * The command line as an OpenID client: authorization code with PKCE. It is public, has no secret, and proves by the
 * verifier that it has begun the sign-in that it ends.
 */
import * as client from 'openid-client';
import { CommandError } from '../errors.ts';
import { callbackServer } from './callback-server.ts';
import type { StoredSignIn } from './stored-sign-ins.ts';

/** With whom to sign in, as the outputs `SignInIssuer` and `CommandLineClientId…` of the control plane say. */
export type SignInSettings = Pick<StoredSignIn, 'issuer' | 'clientId'>;

/**
 * Signs in on the page of the user pool.
 * @param show gets the address of that page.
 * @throws {CommandError} the sign-in was refused, or nobody has signed in.
 */
export async function signIn(settings: SignInSettings, show: (page: URL) => void): Promise<StoredSignIn> {
  const configuration = await discover(settings);
  const callback = await callbackServer();
  try {
    const pkceCodeVerifier = client.randomPKCECodeVerifier();
    const expectedState = client.randomState();
    const expectedNonce = client.randomNonce();
    const page = client.buildAuthorizationUrl(configuration, {
      redirect_uri: callback.redirectUri,
      scope: 'openid email',
      code_challenge: await client.calculatePKCECodeChallenge(pkceCodeVerifier),
      code_challenge_method: 'S256',
      state: expectedState,
      nonce: expectedNonce,
    });
    const redirection = callback.redirection(expectedState);
    show(page);
    const tokens = await client.authorizationCodeGrant(configuration, await redirection, {
      pkceCodeVerifier,
      expectedState,
      expectedNonce,
      idTokenExpected: true,
    });
    if (tokens.refresh_token === undefined) throw new CommandError('the sign-in gave no refresh token');
    return stored(settings, tokens, tokens.refresh_token);
  } catch (cause) {
    throw explained(cause);
  } finally {
    callback.close();
  }
}

/**
 * The same sign-in with new tokens.
 * @throws {SignInEnded} it was ended, or has expired. @throws {CommandError} the issuer does not answer.
 */
export async function refreshed(signedIn: StoredSignIn): Promise<StoredSignIn> {
  try {
    const configuration = await discover(signedIn);
    const tokens = await client.refreshTokenGrant(configuration, signedIn.refreshToken);
    return stored(signedIn, tokens, tokens.refresh_token ?? signedIn.refreshToken);
  } catch (cause) {
    throw explained(cause);
  }
}

/** The refresh token, and the access tokens that came of it, count no more. */
export async function revoke(signedIn: StoredSignIn): Promise<void> {
  try {
    const configuration = await discover(signedIn);
    await client.tokenRevocation(configuration, signedIn.refreshToken);
  } catch (cause) {
    throw explained(cause);
  }
}

/** The sign-in is over: only another one helps. */
export class SignInEnded extends CommandError {
  override name = 'SignInEnded';
  constructor() {
    super('you are signed out: run strata login');
  }
}

async function discover({ issuer, clientId }: SignInSettings): Promise<client.Configuration> {
  const url = new URL(issuer);
  // Only the local platform's issuer, on this machine, has no TLS.
  const isLocal = url.protocol === 'http:' && ['127.0.0.1', 'localhost', '[::1]'].includes(url.hostname);
  const execute = [client.enableNonRepudiationChecks, ...(isLocal ? [client.allowInsecureRequests] : [])];
  return client.discovery(url, clientId, undefined, client.None(), { execute });
}

function stored(
  { issuer, clientId }: SignInSettings,
  tokens: client.TokenEndpointResponse & client.TokenEndpointResponseHelpers,
  refreshToken: string,
): StoredSignIn {
  const expiresAt = Math.floor(Date.now() / 1000) + (tokens.expiresIn() ?? 0);
  return { issuer, clientId, accessToken: tokens.access_token, refreshToken, expiresAt };
}

function explained(cause: unknown): Error {
  if (cause instanceof CommandError) return cause;
  if (cause instanceof client.ResponseBodyError) {
    if (cause.error === 'invalid_grant') return new SignInEnded();
    return new CommandError(`the sign-in was refused: ${cause.error_description ?? cause.error}`);
  }
  if (cause instanceof client.AuthorizationResponseError) {
    return new CommandError(`the sign-in was refused: ${cause.error_description ?? cause.error}`);
  }
  const { message, cause: inner } = cause as Error & { cause?: { code?: string; message?: string } };
  return new CommandError(
    `the sign-in failed: ${[message, inner?.code ?? inner?.message].filter(Boolean).join(': ')}`,
  );
}
