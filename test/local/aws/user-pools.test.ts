import { createHash } from 'node:crypto';
import http from 'node:http';
import {
  AdminAddUserToGroupCommand,
  AdminCreateUserCommand,
  AdminDeleteUserCommand,
  AdminDisableUserCommand,
  AdminEnableUserCommand,
  AdminGetUserCommand,
  AdminListGroupsForUserCommand,
  AdminRemoveUserFromGroupCommand,
  CognitoIdentityProviderClient,
  ListUsersCommand,
} from '@aws-sdk/client-cognito-identity-provider';
import { createRemoteJWKSet, decodeJwt, type JWTPayload, jwtVerify } from 'jose';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type EndpointFixture, startEndpoint } from './endpoint-fixture.ts';
import { CALLBACK, poolStack } from './pool-stack.ts';

let fixture: EndpointFixture;
let outputs: Record<string, string>;
let pool: CognitoIdentityProviderClient;
beforeAll(async () => {
  fixture = await startEndpoint([
    poolStack([
      {
        Action: ['cognito-idp:AdminCreateUser', 'cognito-idp:AdminGetUser'],
        Resource: { 'Fn::GetAtt': ['Pool', 'Arn'] },
      },
    ]),
  ]);
  outputs = [...fixture.platform.context.stacks.values()].find(({ name }) => name === 'Pools')!.outputs;
  pool = new CognitoIdentityProviderClient(fixture.client());
});
afterAll(() => fixture?.stop());

let counter = 0;
let email: string;
beforeEach(() => {
  counter += 1;
  email = `person-${counter}@people.test`;
});

const named = (Username = email) => ({ UserPoolId: outputs.Pool, Username });
const create = (Username = email, more: object = {}) =>
  pool.send(
    new AdminCreateUserCommand({
      ...named(Username),
      UserAttributes: [{ Name: 'email_verified', Value: 'true' }],
      ...more,
    }),
  );
const read = () => pool.send(new AdminGetUserCommand(named()));

describe('user administration', () => {
  test('creates, reads, disables, enables, lists and deletes accounts', async () => {
    const { User } = await create(email.toUpperCase());
    expect(User).toMatchObject({ Enabled: true, UserStatus: 'FORCE_CHANGE_PASSWORD' });
    const found = await read();
    expect(found).toMatchObject({
      Username: User?.Username,
      Enabled: true,
      UserAttributes: expect.arrayContaining([
        { Name: 'email', Value: email },
        { Name: 'email_verified', Value: 'true' },
        { Name: 'sub', Value: User?.Username },
      ]),
    });
    expect(Math.abs(found.UserCreateDate!.getTime() - Date.now())).toBeLessThan(60_000);
    expect(await pool.send(new AdminGetUserCommand(named(User?.Username)))).toMatchObject({ Enabled: true });
    await pool.send(new AdminDisableUserCommand(named()));
    expect(await read()).toMatchObject({ Enabled: false });
    await pool.send(new AdminEnableUserCommand(named()));
    expect(await read()).toMatchObject({ Enabled: true });
    const { Users } = await pool.send(new ListUsersCommand({ UserPoolId: outputs.Pool }));
    expect(Users).toContainEqual(expect.objectContaining({ Username: User?.Username }));
    await pool.send(new AdminDeleteUserCommand(named()));
    await expect(read()).rejects.toMatchObject({ name: 'UserNotFoundException' });
  });

  test('has groups', async () => {
    await create();
    const group = { ...named(), GroupName: 'operators' };
    const groups = async () =>
      (await pool.send(new AdminListGroupsForUserCommand(named()))).Groups?.map(({ GroupName }) => GroupName);
    expect(await groups()).toEqual([]);
    await pool.send(new AdminAddUserToGroupCommand(group));
    expect(await groups()).toEqual(['operators']);
    await pool.send(new AdminRemoveUserFromGroupCommand(group));
    expect(await groups()).toEqual([]);
  });

  test('refuses as Cognito does', async () => {
    await create();
    await expect(create()).rejects.toMatchObject({ name: 'UsernameExistsException' });
    await expect(create('nobody')).rejects.toMatchObject({ name: 'InvalidParameterException' });
    await expect(create('other@people.test', { UserPoolId: 'us-east-1_none' })).rejects.toMatchObject({
      name: 'ResourceNotFoundException',
    });
    const again = { MessageAction: 'RESEND' };
    await expect(create('other@people.test', again)).rejects.toMatchObject({ name: 'UserNotFoundException' });
    await create(email, again);
    await signIn(email);
    await expect(create(email, again)).rejects.toMatchObject({ name: 'UnsupportedUserStateException' });
  });

  test('is granted by pool, and by operation', async () => {
    const role = new CognitoIdentityProviderClient(fixture.client('Accounts'));
    await role.send(new AdminCreateUserCommand(named()));
    const denied = { name: 'AccessDeniedException' };
    await expect(role.send(new AdminDisableUserCommand(named()))).rejects.toMatchObject(denied);
    const elsewhere = { ...named(), UserPoolId: outputs.Quiet };
    await expect(role.send(new AdminCreateUserCommand(elsewhere))).rejects.toMatchObject(denied);
  });

  test('keeps accounts and sign-ins over a restart', async () => {
    await create();
    const { refresh_token: token } = await signIn(email);
    await fixture.restart();
    // A kept connection of before ends with the first call.
    await expect.poll(() => read().catch(() => {})).toMatchObject({ UserStatus: 'CONFIRMED' });
    await expect.poll(() => refresh(token).catch(() => {})).toMatchObject({ status: 200 });
  });
});

// biome-ignore lint/suspicious/noExplicitAny: answers of any shape.
type Json = any;

const VERIFIER = 'a-verifier-that-is-longer-than-forty-three-characters';
const challenge = createHash('sha256').update(VERIFIER).digest('base64url');

const url = (path: string, query: Record<string, string>) =>
  `${outputs.Issuer}${path}?${new URLSearchParams(query)}`;
const request = (change: Record<string, string> = {}) => ({
  response_type: 'code',
  client_id: outputs.Own!,
  redirect_uri: CALLBACK,
  scope: 'openid email',
  state: 'the state',
  nonce: 'the nonce',
  code_challenge: challenge,
  code_challenge_method: 'S256',
  ...change,
});

const authorize = (change?: Record<string, string>, headers: Record<string, string> = {}) =>
  fetch(url('/oauth2/authorize', request(change)), { redirect: 'manual', headers });

const send = (
  form: Record<string, string>,
  change: Record<string, string> = {},
  headers: Record<string, string> = {},
) =>
  fetch(`${outputs.Issuer}/login`, {
    method: 'POST',
    redirect: 'manual',
    headers,
    body: new URLSearchParams({ ...form, request: new URLSearchParams(request(change)).toString() }),
  });

/** The parameters of the redirection to the client. */
async function codeOf(
  form: Record<string, string>,
  change: Record<string, string> = {},
): Promise<URLSearchParams> {
  const answer = await send(form, change);
  return new URL(answer.headers.get('location') ?? 'none:').searchParams;
}

/** With headers that fetch would set itself. */
function statusOf(address: string, headers: Record<string, string>): Promise<number> {
  return new Promise((done, failed) => {
    http
      .get(address, { headers }, (response) => {
        response.resume();
        done(response.statusCode ?? 0);
      })
      .on('error', failed);
  });
}

async function token(form: Record<string, string>): Promise<{ status: number; body: Json }> {
  const answer = await fetch(`${outputs.Issuer}/oauth2/token`, {
    method: 'POST',
    body: new URLSearchParams({ client_id: outputs.Own!, ...form }),
  });
  return { status: answer.status, body: await answer.json() };
}

const redeem = (code: string, change: Record<string, string> = {}) =>
  token({
    grant_type: 'authorization_code',
    code,
    redirect_uri: CALLBACK,
    code_verifier: VERIFIER,
    ...change,
  });
const refresh = (refreshToken: string, change: Record<string, string> = {}) =>
  token({ grant_type: 'refresh_token', refresh_token: refreshToken, ...change });

async function signIn(address: string): Promise<Json> {
  const { status, body } = await redeem((await codeOf({ email: address })).get('code') ?? '');
  expect(status).toBe(200);
  return body;
}

async function verified(text: string): Promise<JWTPayload> {
  const keys = createRemoteJWKSet(new URL(`${outputs.Issuer}/.well-known/jwks.json`));
  return (await jwtVerify(text, keys, { issuer: outputs.Issuer! })).payload;
}

describe('the sign-in', () => {
  test('is told by discovery, and needs no session', async () => {
    const document = await fetch(`${outputs.Issuer}/.well-known/openid-configuration`);
    expect(await document.json()).toMatchObject({
      issuer: outputs.Issuer,
      authorization_endpoint: `${outputs.Issuer}/oauth2/authorize`,
      token_endpoint: `${outputs.Issuer}/oauth2/token`,
      userinfo_endpoint: `${outputs.Issuer}/oauth2/userInfo`,
      revocation_endpoint: `${outputs.Issuer}/oauth2/revoke`,
      end_session_endpoint: `${outputs.Issuer}/logout`,
    });
    const away = { client_id: outputs.Own!, logout_uri: CALLBACK };
    const out = await fetch(url('/logout', away), { redirect: 'manual' });
    expect([out.status, out.headers.get('location')]).toEqual([302, CALLBACK]);
    const foreign = { ...away, logout_uri: 'https://elsewhere.test' };
    expect((await fetch(url('/logout', foreign), { redirect: 'manual' })).status).toBe(400);
  });

  test('gives tokens that say what the trigger says', async () => {
    await create();
    await pool.send(new AdminAddUserToGroupCommand({ ...named(), GroupName: 'operators' }));
    const redirection = await codeOf({ email: email.toUpperCase() });
    expect(redirection.get('state')).toBe('the state');
    const { body } = await redeem(redirection.get('code') ?? '');
    expect(body).toMatchObject({ token_type: 'Bearer', expires_in: 300 });
    const access = await verified(body.access_token);
    expect(access).toMatchObject({
      client_id: outputs.Own,
      token_use: 'access',
      scope: 'openid api/extra',
      'cognito:groups': ['operators'],
    });
    expect(access.exp! - access.iat!).toBe(300);
    expect(access).not.toHaveProperty('aud');
    expect(JSON.parse(String(access.told))).toEqual({
      version: '2',
      source: 'TokenGeneration_HostedAuth',
      client: outputs.Own,
      pool: outputs.Pool,
      user: access.sub,
      scopes: ['openid', 'email'],
      groups: ['operators'],
      sub: access.sub,
      email,
      email_verified: 'true',
      'cognito:user_status': 'CONFIRMED',
    });
    const id = await verified(body.id_token);
    expect(id).toMatchObject({
      aud: outputs.Own,
      nonce: 'the nonce',
      email,
      email_verified: true,
      sub: access.sub,
    });
    const { status, body: renewed } = await refresh(body.refresh_token);
    expect(status).toBe(200);
    expect(renewed).not.toHaveProperty('refresh_token');
    expect(JSON.parse(String(decodeJwt(renewed.access_token).told))).toMatchObject({
      source: 'TokenGeneration_RefreshTokens',
    });
    const info = await fetch(`${outputs.Issuer}/oauth2/userInfo`, {
      headers: { authorization: `Bearer ${body.access_token}` },
    });
    expect(await info.json()).toMatchObject({ sub: access.sub, email, email_verified: 'true' });
    for (const wrong of ['', 'Bearer x.y.z', `Bearer ${body.id_token}`]) {
      const refused = await fetch(`${outputs.Issuer}/oauth2/userInfo`, { headers: { authorization: wrong } });
      expect(refused.status).toBe(401);
    }
  });

  test('through an identity provider makes an account that no password opens', async () => {
    const change = { client_id: outputs.Corp! };
    const { body } = await redeem(
      (await codeOf({ email, subject: 'jane' }, change)).get('code') ?? '',
      change,
    );
    const told = JSON.parse(String(decodeJwt(body.access_token).told));
    expect(told).toMatchObject({
      user: 'Corp_jane',
      email,
      email_verified: 'false',
      'cognito:user_status': 'EXTERNAL_PROVIDER',
    });
    expect(JSON.parse(told.identities)).toEqual([
      expect.objectContaining({ providerName: 'Corp', userId: 'jane' }),
    ]);
    expect(await (await send({ email })).text()).toContain('Incorrect username or password.');
    // The address is free for an account of the pool, which is another person.
    const { User } = await create();
    expect(User?.Username).not.toBe(told.sub);
  });

  test('lets nobody in who has no account, or a disabled one', async () => {
    const page = await send({ email: '<script>@people.test' });
    expect([page.status, page.headers.get('content-security-policy')]).toEqual([
      400,
      expect.stringContaining("default-src 'none'"),
    ]);
    expect(await page.text()).toContain('Incorrect username or password.');
    const forged = await authorize({ state: '"><script>alert(1)</script>' });
    expect(await forged.text()).not.toContain('<script>');
    await create();
    const { refresh_token: before, access_token: access } = await signIn(email);
    await pool.send(new AdminDisableUserCommand(named()));
    expect(await (await send({ email })).text()).toContain('User is disabled.');
    const refused = { status: 400, body: { error: 'invalid_grant' } };
    expect(await refresh(before)).toMatchObject(refused);
    const info = await fetch(`${outputs.Issuer}/oauth2/userInfo`, {
      headers: { authorization: `Bearer ${access}` },
    });
    expect(info.status).toBe(401);
    await pool.send(new AdminEnableUserCommand(named()));
    // Disabling has revoked it.
    expect(await refresh(before)).toMatchObject(refused);
    await signIn(email);
  });

  test('ends when the trigger fails, and when Cognito may not invoke it', async () => {
    await create(`refused-${email}`);
    const code = (await codeOf({ email: `refused-${email}` })).get('code') ?? '';
    expect(await redeem(code)).toEqual({
      status: 400,
      body: { error: 'invalid_request', error_description: 'PreTokenGeneration failed with error not you.' },
    });
    const quiet = { ...outputs, Issuer: outputs.Issuer!.replace(outputs.Pool!, outputs.Quiet!) };
    const before = outputs;
    outputs = quiet;
    try {
      await create(email, { UserPoolId: outputs.Quiet });
      const client = { client_id: outputs.Unpermitted! };
      const denied = await redeem((await codeOf({ email }, client)).get('code') ?? '', client);
      expect(denied).toMatchObject({ status: 400, body: { error: 'invalid_request' } });
      expect(denied.body.error_description).toContain('AccessDeniedException');
    } finally {
      outputs = before;
    }
  });

  describe('refuses', () => {
    beforeEach(() => create());
    const code = async (change?: Record<string, string>) =>
      (await codeOf({ email }, change)).get('code') ?? '';
    const refused = { status: 400, body: { error: 'invalid_grant' } };

    test('a code that is redeemed again, by another client, for another callback, or without its verifier', async () => {
      const once = await code();
      expect((await redeem(once)).status).toBe(200);
      expect(await redeem(once)).toMatchObject(refused);
      for (const change of [
        { client_id: outputs.Corp! },
        { redirect_uri: 'http://localhost:17832/callback' },
        { code_verifier: 'another' },
        { code_verifier: '' },
      ]) {
        const fresh = await code();
        expect(await redeem(fresh, change)).toMatchObject(refused);
        // A refused code does not come back.
        expect(await redeem(fresh)).toMatchObject(refused);
      }
    });

    test('a refresh token of another client, a revoked one, and one that is none', async () => {
      const { refresh_token: own } = await signIn(email);
      expect(await refresh(own, { client_id: outputs.Corp! })).toMatchObject(refused);
      expect(await refresh('none')).toMatchObject(refused);
      await fetch(`${outputs.Issuer}/oauth2/revoke`, {
        method: 'POST',
        body: new URLSearchParams({ token: own, client_id: outputs.Own! }),
      });
      expect(await refresh(own)).toMatchObject(refused);
      expect(await token({ grant_type: 'password' })).toMatchObject({
        body: { error: 'unsupported_grant_type' },
      });
      expect(await refresh(own, { client_id: 'none' })).toMatchObject({ body: { error: 'invalid_client' } });
    });

    test('unknown clients and callbacks, without sending anybody there', async () => {
      for (const change of [
        { client_id: 'none' },
        { client_id: outputs.Api! },
        { client_id: outputs.Unpermitted! },
        { redirect_uri: 'http://localhost:17831/other' },
        { redirect_uri: 'https://elsewhere.test/callback' },
      ]) {
        const answer = await authorize(change);
        expect([answer.status, answer.headers.get('location')]).toEqual([400, null]);
        expect((await send({ email }, change)).headers.get('location')).toBeNull();
      }
    });

    test.each([
      [{ response_type: 'token' }, 'unsupported_response_type'],
      [{ scope: 'openid strata/operator' }, 'invalid_scope'],
      [{ code_challenge_method: 'plain' }, 'invalid_request'],
    ])('%j by a redirection', async (change, error) => {
      const answer = await authorize(change as Record<string, string>);
      expect(answer.status).toBe(302);
      const { searchParams } = new URL(answer.headers.get('location') ?? '');
      expect([searchParams.get('error'), searchParams.get('state')]).toEqual([error, 'the state']);
    });

    test('forms of other web pages; a link from one is fine', async () => {
      const { origin } = new URL(outputs.Issuer!);
      const visited = (mode: string, site: string) =>
        statusOf(url('/oauth2/authorize', request()), { 'sec-fetch-mode': mode, 'sec-fetch-site': site });
      expect(await visited('navigate', 'cross-site')).toBe(200);
      expect(await visited('navigate', 'none')).toBe(200);
      expect(await visited('no-cors', 'cross-site')).toBe(403);
      expect((await send({ email }, {}, { origin, 'sec-fetch-site': 'same-origin' })).status).toBe(302);
      const evil = { origin: 'https://evil.test', 'sec-fetch-site': 'cross-site' };
      expect((await send({ email }, {}, evil)).status).toBe(403);
      expect((await send({ email }, {}, { origin: evil.origin })).status).toBe(403);
      // Nothing but the page is open to browsers.
      const tokens = await fetch(`${outputs.Issuer}/oauth2/token`, { method: 'POST', headers: { origin } });
      expect(tokens.status).toBe(403);
      const elsewhere = await fetch(`${origin}/us-east-1_none/login`, {
        method: 'POST',
        headers: { origin },
      });
      expect(elsewhere.status).toBe(404);
    });
  });
});
