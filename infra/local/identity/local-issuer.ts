/**
 * The token issuer that replaces Cognito: one RSA key per state directory, published for every user pool of the
 * assembly at `<awsUrl>/<userPoolId>/.well-known/`, beside the endpoints of the sign-in.
 */
import { createHash } from 'node:crypto';
import {
  createLocalJWKSet,
  exportJWK,
  generateKeyPair,
  type JWK,
  type JWTVerifyGetKey,
  jwtVerify,
} from 'jose';
import { PlatformError } from '../errors.ts';
import type { PlatformContext, RequestHandler, ResourceFactory, StateFile } from '../model.ts';
import { type IdentityDocument, identityDocumentName } from './read-identity.ts';
import { SignIn } from './sign-in.ts';
import { UserPools } from './user-pools.ts';

export class LocalIssuer {
  readonly pools: UserPools;
  readonly #state: StateFile;
  readonly #awsUrl: string;
  readonly #publicKey: JWK;
  readonly #keySet: JWTVerifyGetKey;
  readonly #signIn: SignIn;
  #context: PlatformContext | undefined;

  private constructor(state: StateFile, awsUrl: string, privateKey: JWK) {
    const { kty, n, e, kid, alg, use } = privateKey;
    this.#state = state;
    this.#awsUrl = awsUrl;
    this.#publicKey = { kty, n, e, kid, alg, use } as JWK;
    this.#keySet = createLocalJWKSet({ keys: [this.#publicKey] });
    this.pools = new UserPools(state);
    this.#signIn = new SignIn({
      pools: this.pools,
      key: {
        privateKey,
        verify: async (token, issuer) => (await jwtVerify(token, this.#keySet, { issuer })).payload,
      },
      issuerOf: (poolId) => this.#issuerOf(poolId),
      context: () => {
        if (!this.#context) throw new PlatformError('no user pool has been deployed yet');
        return this.#context;
      },
    });
  }

  /** Makes the key at the first start. */
  static async open(state: StateFile, awsUrl: string): Promise<LocalIssuer> {
    const document = state.load<IdentityDocument>(identityDocumentName, {});
    let { privateKey } = document;
    if (!privateKey) {
      const pair = await generateKeyPair('RS256', { extractable: true });
      const jwk = await exportJWK(pair.privateKey);
      const kid = createHash('sha256').update(jwk.n!).digest('base64url').slice(0, 32);
      privateKey = { ...jwk, kid, alg: 'RS256', use: 'sig' };
      state.save(identityDocumentName, { ...document, privateKey });
    }
    return new LocalIssuer(state, awsUrl, privateKey);
  }

  /** The keys of a token issuer, or undefined when that issuer is not one of this platform's pools. */
  keySet(issuer: string): JWTVerifyGetKey | undefined {
    const pool = issuer.slice(issuer.lastIndexOf('/') + 1);
    return this.pools.pool(pool) ? this.#keySet : undefined;
  }

  /**
   * Records for the token command and the command line which issuers the deployed APIs accept. @param issuers by URL of
   * the API, home's first
   */
  announce(issuers: NonNullable<IdentityDocument['issuers']>): void {
    const document = this.#state.load<IdentityDocument>(identityDocumentName, {});
    const [home] = Object.values(issuers);
    if (!home) return;
    const { issuer, clientId } = home;
    this.#state.save(identityDocumentName, { ...document, issuer, clientId, issuers });
  }

  /** The client of a pool with which the command line signs in: the first one that takes codes. */
  signInClientOf(issuer: string, clientIds: readonly string[]): string | undefined {
    const pool = issuer.slice(issuer.lastIndexOf('/') + 1);
    return clientIds.find((clientId) => this.pools.client(clientId, pool)?.takesCodes);
  }

  /** Answers everything below the paths of its pools. */
  readonly handle: RequestHandler = async (request, response) => {
    const [, poolId, path = ''] = /^\/([^/?]+)(\/[^?]+)/.exec(request.url ?? '') ?? [];
    const pool = poolId === undefined ? undefined : this.pools.pool(poolId);
    if (!pool) return false;
    if (await this.#signIn.handle(pool, path, request, response)) return true;
    if (!path.startsWith('/.well-known/') || request.method !== 'GET') return false;
    const documents: Record<string, unknown> = {
      '/.well-known/jwks.json': { keys: [this.#publicKey] },
      '/.well-known/openid-configuration': this.#signIn.configuration(pool.id),
    };
    const found = documents[path];
    response.writeHead(found ? 200 : 404, { 'content-type': 'application/json' });
    response.end(JSON.stringify(found ?? { message: 'Not Found' }));
    return true;
  };

  /** Factories of the AWS::Cognito types. */
  factories(): ResourceFactory[] {
    return this.pools.factories(
      (poolId) => this.#issuerOf(poolId),
      (context) => {
        this.#context = context;
      },
    );
  }

  #issuerOf(poolId: string): string {
    return `${this.#awsUrl}/${poolId}`;
  }
}
