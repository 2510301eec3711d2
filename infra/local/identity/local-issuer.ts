/**
 * The token issuer that replaces Cognito: one RSA key per state directory, published for every user pool of the
 * assembly at `<awsUrl>/<userPoolId>/.well-known/`.
 */
import { createHash } from 'node:crypto';
import { createLocalJWKSet, exportJWK, generateKeyPair, type JWK, type JWTVerifyGetKey } from 'jose';
import type { CreatedResource, RequestHandler, ResourceFactory, StateFile } from '../model.ts';
import { type IdentityDocument, identityDocumentName } from './read-identity.ts';

export class LocalIssuer {
  readonly #state: StateFile;
  readonly #awsUrl: string;
  readonly #publicKey: JWK;
  readonly #keySet: JWTVerifyGetKey;
  readonly #pools = new Set<string>();

  private constructor(state: StateFile, awsUrl: string, publicKey: JWK) {
    this.#state = state;
    this.#awsUrl = awsUrl;
    this.#publicKey = publicKey;
    this.#keySet = createLocalJWKSet({ keys: [publicKey] });
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
    const { kty, n, e, kid, alg, use } = privateKey;
    return new LocalIssuer(state, awsUrl, { kty, n, e, kid, alg, use } as JWK);
  }

  /** The keys of a token issuer, or undefined when that issuer is not one of this platform's pools. */
  keySet(issuer: string): JWTVerifyGetKey | undefined {
    const pool = issuer.slice(issuer.lastIndexOf('/') + 1);
    return this.#pools.has(pool) ? this.#keySet : undefined;
  }

  /**
   * Records for the token command which issuers the deployed APIs accept. @param issuers by URL of the API, home's
   * first
   */
  announce(issuers: NonNullable<IdentityDocument['issuers']>): void {
    const document = this.#state.load<IdentityDocument>(identityDocumentName, {});
    const [home] = Object.values(issuers);
    if (!home) return;
    const { issuer, clientId } = home;
    this.#state.save(identityDocumentName, { ...document, issuer, clientId, issuers });
  }

  /** Answers the well-known documents of its pools. */
  readonly handle: RequestHandler = (request, response) => {
    const [, pool, document] = /^\/([^/]+)\/\.well-known\/([^/?]+)/.exec(request.url ?? '') ?? [];
    if (!pool || !this.#pools.has(pool) || request.method !== 'GET') return false;
    const issuer = `${this.#awsUrl}/${pool}`;
    const documents: Record<string, unknown> = {
      'jwks.json': { keys: [this.#publicKey] },
      'openid-configuration': {
        issuer,
        jwks_uri: `${issuer}/.well-known/jwks.json`,
        id_token_signing_alg_values_supported: ['RS256'],
        response_types_supported: ['token'],
        subject_types_supported: ['public'],
      },
    };
    const found = documents[document!];
    response.writeHead(found ? 200 : 404, { 'content-type': 'application/json' });
    response.end(JSON.stringify(found ?? { message: 'Not Found' }));
    return true;
  };

  /** Factories of the AWS::Cognito types. */
  factories(): ResourceFactory[] {
    return [
      {
        type: 'AWS::Cognito::UserPool',
        create: async ({ stack, defaultName }, { account }): Promise<CreatedResource> => {
          const id = `${stack.region}_${shortHash(defaultName, 9)}`;
          this.#pools.add(id);
          return {
            ref: id,
            attributes: {
              UserPoolId: id,
              Arn: `arn:aws:cognito-idp:${stack.region}:${account}:userpool/${id}`,
              ProviderName: `cognito-idp.${stack.region}.amazonaws.com/${id}`,
              ProviderURL: `${this.#awsUrl}/${id}`,
            },
          };
        },
      },
      {
        type: 'AWS::Cognito::UserPoolClient',
        create: async ({ defaultName, properties }) => {
          const ClientId = shortHash(`${defaultName} client`, 26);
          return {
            ref: ClientId,
            attributes: { ClientId, Name: properties.ClientName, ClientSecret: shortHash(defaultName, 51) },
          };
        },
      },
      ...['UserPoolResourceServer', 'UserPoolDomain', 'UserPoolGroup', 'ManagedLoginBranding'].map(
        (kind) => ({
          type: `AWS::Cognito::${kind}`,
          create: async ({
            properties,
            defaultName,
          }: {
            properties: Record<string, unknown>;
            defaultName: string;
          }) => ({
            ref: String(properties.Identifier ?? properties.Domain ?? properties.GroupName ?? defaultName),
            attributes: {},
          }),
        }),
      ),
    ];
  }
}

function shortHash(text: string, length: number): string {
  return createHash('sha512').update(text).digest('hex').slice(0, length);
}
