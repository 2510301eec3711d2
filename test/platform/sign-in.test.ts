import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  AdminGetUserCommand,
  type AdminGetUserCommandOutput,
  CognitoIdentityProviderClient,
} from '@aws-sdk/client-cognito-identity-provider';
import { decodeJwt } from 'jose';
import { beforeAll, describe, expect, test } from 'vitest';
import { readIdentity } from '../../infra/local/index.ts';
import { sampled } from '../full-run.ts';
import { administrator } from './platform-databases.ts';
import { call, onboardOwnTenant, operatorToken, platform, unique, userToken } from './running-platform.ts';
import { fillIn, Terminal } from './signing-in.ts';

const pool = new CognitoIdentityProviderClient(administrator(platform().awsUrl));
let operator: string;
let UserPoolId: string;
beforeAll(async () => {
  operator = await operatorToken();
  UserPoolId = String(readIdentity(platform().stateDir)?.issuer.split('/').at(-1));
});

/** What the user pool has under an address; undefined while there is nothing. */
async function accountOf(email: string): Promise<AdminGetUserCommandOutput | undefined> {
  return pool.send(new AdminGetUserCommand({ UserPoolId, Username: email })).catch((error: Error) => {
    if (error.name !== 'UserNotFoundException') throw error;
    return undefined;
  });
}

const invite = (slug: string, email: string, role = 'member') =>
  call('POST', `/tenants/${slug}/users`, { token: operator, body: { email, role } });

const stored = (terminal: Terminal) =>
  Object.values(JSON.parse(readFileSync(join(terminal.configDir, 'sign-ins.json'), 'utf8'))) as {
    accessToken: string;
    refreshToken: string;
    expiresAt: number;
  }[];

describe('strata login', () => {
  test('signs an operator in, keeps the tokens for this user only, and uses them', async () => {
    const terminal = new Terminal();
    const { code, out, error } = await terminal.login('operator@strata.test');
    expect([code, error]).toEqual([0, '']);
    expect(out).toMatch(/^operator@strata\.test, operator at http:/m);
    expect(statSync(terminal.configDir).mode & 0o077 & 0o777).toBe(0);
    const file = join(terminal.configDir, 'sign-ins.json');
    expect(readdirSync(terminal.configDir)).toEqual(['sign-ins.json']);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    const [kept] = stored(terminal);
    expect(decodeJwt(kept!.accessToken)).toMatchObject({
      email: 'operator@strata.test',
      token_use: 'access',
      scope: expect.stringContaining('strata/operator'),
    });
    expect(await terminal.strata(['token'])).toMatchObject({ code: 0, out: `${kept!.accessToken}\n` });
    const listed = await terminal.strata(['tenant', 'initech']);
    expect([listed.code, listed.error]).toEqual([0, '']);
    expect(listed.out).toContain('initech');
  });

  test('signs in the first administrator of a tenant, who was invited when it became active', async () => {
    const slug = await onboardOwnTenant();
    const email = `admin@${slug}.test`;
    await expect
      .poll(() => accountOf(email))
      .toMatchObject({
        Enabled: true,
        UserStatus: 'FORCE_CHANGE_PASSWORD',
        UserAttributes: expect.arrayContaining([{ Name: 'email_verified', Value: 'true' }]),
      });
    const terminal = new Terminal();
    const { code, out } = await terminal.login(email.toUpperCase());
    expect(code).toBe(0);
    expect(out).toMatch(new RegExp(`^${email}, admin of ${slug} at http:.*, token valid until `, 'm'));
    expect(await accountOf(email)).toMatchObject({ UserStatus: 'CONFIRMED' });
    const { out: same } = await terminal.strata(['whoami']);
    expect(same).toBe(`${out.split('\n').at(-2)}\n`);
    // A command of operators says whose the token is, not only that it was refused.
    const refused = await terminal.strata(['tenants']);
    expect(refused).toMatchObject({
      code: 1,
      out: '',
      error: expect.stringMatching(
        /^this command needs an operator’s token, .*strata logout or strata login/,
      ),
    });
    // The trigger has noted it.
    const { body } = await call('GET', `/tenants/${slug}/users`, { token: operator });
    expect(body.items.find((one: { email: string }) => one.email === email).lastLoginAt).toMatch(/^\d{4}-/);
  });

  test('a token that is about to expire is refreshed, and says what the registry says now', async () => {
    const slug = await onboardOwnTenant();
    const email = `${unique('member')}@example.test`;
    const { body: user } = await invite(slug, email);
    await expect.poll(() => accountOf(email)).toBeDefined();
    const terminal = new Terminal();
    expect((await terminal.login(email)).out).toContain(`member of ${slug}`);
    const path = `/tenants/${slug}/users/${user.userId}`;
    await call('PATCH', path, { token: operator, body: { role: 'viewer' } });
    const file = join(terminal.configDir, 'sign-ins.json');
    const before = JSON.parse(readFileSync(file, 'utf8'));
    const [api] = Object.keys(before);
    writeFileSync(file, JSON.stringify({ [api!]: { ...before[api!], expiresAt: Date.now() / 1000 + 30 } }));
    expect((await terminal.strata(['whoami'])).code).toBe(0);
    const [after] = stored(terminal);
    expect(after!.accessToken).not.toBe(before[api!].accessToken);
    expect(decodeJwt(after!.accessToken)).toMatchObject({ role: 'viewer', email });
    expect(after!.expiresAt).toBeGreaterThan(Date.now() / 1000 + 3_000);
    expect(statSync(file).mode & 0o777).toBe(0o600);
  });

  test('--tenant chooses one of several tenants, and refuses all others', async () => {
    const [one, two] = await Promise.all([onboardOwnTenant(), onboardOwnTenant()]);
    const email = `${unique('consultant')}@example.test`;
    await invite(one, email);
    await invite(two, email, 'viewer');
    await expect.poll(() => accountOf(email)).toBeDefined();
    const terminal = new Terminal();
    const without = await terminal.login(email);
    expect(without.code).toBe(0);
    expect(without.out).toContain('choose a tenant with: strata login --tenant SLUG');
    expect(without.out).toContain(`  ${one}  member\n`);
    expect(without.out).toContain(`  ${two}  viewer\n`);
    for (const [slug, role] of [
      [two, 'viewer'],
      [one, 'member'],
    ] as const) {
      const chosen = await terminal.login(email, '--tenant', slug);
      expect([chosen.code, chosen.out]).toEqual([0, expect.stringContaining(`${email}, ${role} of ${slug}`)]);
    }
    // The choice is kept: the next sign-in needs no option.
    expect((await terminal.login(email)).out).toContain(`member of ${one}`);
    for (const other of sampled(['globex'], ['globex', 'nobody'])) {
      const refused = await terminal.login(email, '--tenant', other);
      expect(refused).toMatchObject({
        code: 1,
        error: `you are signed in, but you are no active user of ${other}\n`,
      });
    }
    expect((await terminal.strata(['whoami'])).out).toContain(`member of ${one}`);
  });

  test('lets nobody in without an account, and ends with the redirection of its own sign-in only', async () => {
    const terminal = new Terminal();
    let page = '';
    const login = terminal.strata(['login', '--no-browser'], async (line) => {
      if (!line.startsWith('http')) return;
      page = await fillIn(line, 'nobody@example.test');
      // A redirection without the state of this sign-in does not end it, and one that says no does.
      const callback = new URL(new URL(line).searchParams.get('redirect_uri') ?? '');
      callback.hostname = '127.0.0.1';
      expect((await fetch(`${callback}?code=stolen&state=guessed`)).status).toBe(404);
      const state = new URL(line).searchParams.get('state') ?? '';
      await fetch(`${callback}?error=access_denied&state=${state}`);
    });
    const { code, error } = await login;
    expect(page).toContain('Incorrect username or password.');
    expect([code, error]).toEqual([1, 'the sign-in was refused: access_denied\n']);
  });
});

describe('strata logout', () => {
  test('forgets the tokens, and the refresh token counts no more', async () => {
    const terminal = new Terminal();
    await terminal.login('operator@strata.test');
    const [before] = stored(terminal);
    const { code, out } = await terminal.strata(['logout']);
    expect([code, out]).toEqual([0, `signed out of ${platform().apiUrl}\n`]);
    expect(stored(terminal)).toEqual([]);
    const { issuer } = readIdentity(platform().stateDir)!;
    const refresh = await fetch(`${issuer}/oauth2/token`, {
      method: 'POST',
      body: new URLSearchParams({
        grant_type: 'refresh_token',
        client_id: String(decodeJwt(before!.accessToken).client_id),
        refresh_token: before!.refreshToken,
      }),
    });
    expect([refresh.status, await refresh.json()]).toEqual([
      400,
      expect.objectContaining({ error: 'invalid_grant' }),
    ]);
    expect((await terminal.strata(['logout'])).out).toBe(`you are not signed in at ${platform().apiUrl}\n`);
  });
});

describe('an account', () => {
  test('is disabled with the last active membership, and enabled with the next one', async () => {
    const [one, two] = await Promise.all([onboardOwnTenant(), onboardOwnTenant()]);
    const email = `${unique('leaver')}@example.test`;
    const { body: here } = await invite(one, email);
    const { body: there } = await invite(two, email);
    await expect.poll(() => accountOf(email)).toMatchObject({ Enabled: true });
    const terminal = new Terminal();
    await terminal.login(email, '--tenant', one);
    const path = `/tenants/${one}/users/${here.userId}`;
    await call('PATCH', path, { token: operator, body: { isActive: false } });
    // The other membership keeps it.
    await settled();
    expect(await accountOf(email)).toMatchObject({ Enabled: true });
    expect((await call('DELETE', `/tenants/${two}/users/${there.userId}`, { token: operator })).status).toBe(
      204,
    );
    await expect.poll(() => accountOf(email)).toMatchObject({ Enabled: false });
    const file = join(terminal.configDir, 'sign-ins.json');
    writeFileSync(file, readFileSync(file, 'utf8').replace(/"expiresAt": \d+/, '"expiresAt": 0'));
    expect(await terminal.strata(['whoami'])).toMatchObject({
      code: 1,
      error: 'you are signed out: run strata login\n',
    });
    await call('PATCH', path, { token: operator, body: { isActive: true } });
    await expect.poll(() => accountOf(email)).toMatchObject({ Enabled: true, UserStatus: 'CONFIRMED' });
    expect((await terminal.login(email)).out).toContain(`member of ${one}`);
  });

  test('of an operator stays when a membership ends', async () => {
    const slug = await onboardOwnTenant();
    const { body } = await invite(slug, 'operator@strata.test');
    await call('DELETE', `/tenants/${slug}/users/${body.userId}`, { token: operator });
    await settled();
    expect(await accountOf('operator@strata.test')).toMatchObject({ Enabled: true });
  });

  test('of a user whom the tenant’s own admin invites comes by the schedule', async () => {
    const slug = await onboardOwnTenant();
    await settled();
    const email = `${unique('invited')}@example.test`;
    const answer = await call('POST', '/users', {
      token: await userToken(slug),
      body: { email, role: 'viewer' },
    });
    expect(answer.status).toBe(201);
    await settled();
    expect(await accountOf(email)).toMatchObject({ Enabled: true, UserStatus: 'FORCE_CHANGE_PASSWORD' });
  });
});

/** Runs the schedule's task, and so waits until no request is due. */
async function settled(): Promise<void> {
  const terminal = new Terminal();
  const { code, out, error } = await terminal.strata(['tick', 'accounts']);
  expect([code, error], out).toEqual([0, '']);
}
