import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { signToken } from '../../infra/local/index.ts';
import { GatewayCalls, now, refused } from './gateway-calls.ts';

let gateway: GatewayCalls;
beforeAll(async () => {
  gateway = await GatewayCalls.start();
});
afterAll(() => gateway.fixture.stop());

describe('the JWT authorizer', () => {
  test('accepts a token of the local issuer, with and without Bearer', async () => {
    const token = await signToken(gateway.identity, { email: 'a@b.test', scope: '' });
    expect((await gateway.withToken(token)).status).toBe(201);
    expect((await gateway.call('/mine', { headers: { authorization: token } })).status).toBe(201);
  });

  test('publishes its key where the issuer says', async () => {
    const { platform } = gateway.fixture;
    const pool = gateway.identity.issuer.split('/').at(-1);
    const configuration = await fetch(`${platform.awsUrl}/${pool}/.well-known/openid-configuration`);
    const { jwks_uri } = (await configuration.json()) as { jwks_uri: string };
    const { keys } = (await (await fetch(jwks_uri)).json()) as { keys: Record<string, string>[] };
    expect(keys).toHaveLength(1);
    expect(keys[0]).toMatchObject({ kid: gateway.identity.privateKey.kid, alg: 'RS256' });
    expect(keys[0]).not.toHaveProperty('d');
  });

  test('refuses a request without a token', async () => {
    const response = await gateway.call('/mine');
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
    refused(await gateway.withToken(await gateway.tokenWith(change)), 401, 'Unauthorized'),
  );

  test('refuses a foreign signature, a changed payload, no signature and a shared secret', async () => {
    const { privateKey } = await generateKeyPair('RS256', { extractable: true });
    const forged = await gateway.tokenWith({}, await exportJWK(privateKey), gateway.identity.privateKey.kid);
    const [header, , signature] = (await gateway.tokenWith({})).split('.');
    const payload = Buffer.from(
      JSON.stringify({ iss: gateway.identity.issuer, client_id: gateway.identity.clientId, exp: now() + 60 }),
    );
    const changed = `${header}.${payload.toString('base64url')}.${signature}`;
    const unsigned = `${Buffer.from('{"alg":"none"}').toString('base64url')}.${payload.toString('base64url')}.`;
    const shared = await new SignJWT({
      iss: gateway.identity.issuer,
      client_id: gateway.identity.clientId,
      exp: now() + 60,
    })
      .setProtectedHeader({ alg: 'HS256' })
      .sign(Buffer.from(gateway.identity.privateKey.n!, 'base64url'));
    for (const token of [forged, changed, unsigned, shared, 'x', 'a.b.c']) {
      await refused(await gateway.withToken(token), 401, 'Unauthorized');
    }
  });

  test('asks for a scope where the route does', async () => {
    const operator = await signToken(gateway.identity, { email: 'o@b.test', scope: 'a strata/operator' });
    const member = await signToken(gateway.identity, { email: 'm@b.test', scope: 'strata/operators strata' });
    expect((await gateway.withToken(operator, '/tenants/initech')).status).toBe(200);
    await refused(await gateway.withToken(member, '/tenants/initech'), 403, 'Forbidden');
  });

  test('notices that a token it has accepted before has expired', async () => {
    const token = await gateway.tokenWith({ exp: now() + 2 });
    expect((await gateway.withToken(token)).status).toBe(201);
    await expect.poll(async () => (await gateway.withToken(token)).status, { timeout: 4000 }).toBe(401);
  });
});
