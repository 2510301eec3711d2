import { exportJWK, generateKeyPair, importJWK, SignJWT } from 'jose';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { IdentityDocument } from '../../infra/local/identity/local-issuer.ts';
import { signToken } from '../../infra/local/identity/sign-token.ts';
import { type RunningFixture, startFixture } from './running-fixture.ts';

let fixture: RunningFixture;
let identity: Required<IdentityDocument>;

beforeAll(async () => {
  fixture = await startFixture();
  identity = fixture.platform.context.state.load('identity', {}) as Required<IdentityDocument>;
});
afterAll(() => fixture.stop());

const call = (path: string, options: RequestInit = {}) => fetch(`${fixture.platform.apiUrl}${path}`, options);
const withToken = (token: string, path = '/mine') =>
  call(path, { headers: { authorization: `Bearer ${token}` } });
const now = () => Math.floor(Date.now() / 1000);

async function tokenWith(
  change: Record<string, unknown>,
  key = identity.privateKey,
  kid = key.kid,
): Promise<string> {
  const claims = {
    iss: identity.issuer,
    client_id: identity.clientId,
    iat: now(),
    exp: now() + 60,
    sub: 's',
    ...change,
  };
  return new SignJWT(claims)
    .setProtectedHeader({ alg: 'RS256', kid: kid! })
    .sign(await importJWK(key, 'RS256'));
}

async function refused(response: Response, status: number, message: string) {
  expect(response.status).toBe(status);
  expect(await response.text()).toBe(JSON.stringify({ message }));
  expect(response.headers.get('content-type')).toBe('application/json');
  expect(response.headers.get('apigw-requestid')).toBeTruthy();
}

describe('the JWT authorizer', () => {
  test('accepts a token of the local issuer, with and without Bearer', async () => {
    const token = await signToken(identity, { email: 'a@b.test', scope: '' });
    expect((await withToken(token)).status).toBe(201);
    expect((await call('/mine', { headers: { authorization: token } })).status).toBe(201);
  });

  test('publishes its key where the issuer says', async () => {
    const { platform } = fixture;
    const pool = identity.issuer.split('/').at(-1);
    const configuration = await fetch(`${platform.awsUrl}/${pool}/.well-known/openid-configuration`);
    const { jwks_uri } = (await configuration.json()) as { jwks_uri: string };
    const { keys } = (await (await fetch(jwks_uri)).json()) as { keys: Record<string, string>[] };
    expect(keys).toHaveLength(1);
    expect(keys[0]).toMatchObject({ kid: identity.privateKey.kid, alg: 'RS256' });
    expect(keys[0]).not.toHaveProperty('d');
  });

  test('refuses a request without a token', async () => {
    const response = await call('/mine');
    expect(response.headers.get('www-authenticate')).toBe('Bearer');
    await refused(response, 401, 'Unauthorized');
  });

  test.each<[string, Record<string, unknown>]>([
    ['an expired token', { exp: now() - 5 }],
    ['a token without expiry', { exp: undefined }],
    ['a token not valid yet', { nbf: now() + 600 }],
    ['a token issued in the future', { iat: now() + 600 }],
    ['another issuer', { iss: 'https://elsewhere.test' }],
    ['another client', { client_id: 'other' }],
    ['another audience', { aud: 'other' }],
  ])('refuses %s', async (_what, change) =>
    refused(await withToken(await tokenWith(change)), 401, 'Unauthorized'),
  );

  test('refuses a foreign signature, a changed payload, no signature and a shared secret', async () => {
    const { privateKey } = await generateKeyPair('RS256', { extractable: true });
    const forged = await tokenWith({}, await exportJWK(privateKey), identity.privateKey.kid);
    const [header, , signature] = (await tokenWith({})).split('.');
    const payload = Buffer.from(
      JSON.stringify({ iss: identity.issuer, client_id: identity.clientId, exp: now() + 60 }),
    );
    const changed = `${header}.${payload.toString('base64url')}.${signature}`;
    const unsigned = `${Buffer.from('{"alg":"none"}').toString('base64url')}.${payload.toString('base64url')}.`;
    const shared = await new SignJWT({ iss: identity.issuer, client_id: identity.clientId, exp: now() + 60 })
      .setProtectedHeader({ alg: 'HS256' })
      .sign(Buffer.from(identity.privateKey.n!, 'base64url'));
    for (const token of [forged, changed, unsigned, shared, 'x', 'a.b.c']) {
      await refused(await withToken(token), 401, 'Unauthorized');
    }
  });

  test('asks for a scope where the route does', async () => {
    const operator = await signToken(identity, { email: 'o@b.test', scope: 'a strata/operator' });
    const member = await signToken(identity, { email: 'm@b.test', scope: 'strata/operators strata' });
    expect((await withToken(operator, '/tenants/initech')).status).toBe(200);
    await refused(await withToken(member, '/tenants/initech'), 403, 'Forbidden');
  });

  test('notices that a token it has accepted before has expired', async () => {
    const token = await tokenWith({ exp: now() + 2 });
    expect((await withToken(token)).status).toBe(201);
    await expect.poll(async () => (await withToken(token)).status, { timeout: 4000 }).toBe(401);
  });
});
