import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { createLocalJWKSet, type JSONWebKeySet, jwtVerify } from 'jose';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type RunningFixture, startFixture, unusedPorts } from './running-fixture.ts';

let fixture: RunningFixture;
beforeAll(async () => {
  fixture = await startFixture();
});
afterAll(() => fixture.stop());

interface Outcome {
  code: number;
  out: string;
  error: string;
}

function token(options: string[], environment: Record<string, string> = {}): Promise<Outcome> {
  const script = join(import.meta.dirname, '..', '..', 'infra', 'local', 'token.ts');
  const env = {
    ...process.env,
    API_PORT: String(fixture.apiPort),
    STRATA_DIR: fixture.stateDir,
    ...environment,
  };
  return new Promise((resolve) => {
    execFile(process.execPath, [script, ...options], { env }, (failure, out, error) =>
      resolve({ code: failure ? Number(failure.code) : 0, out, error }),
    );
  });
}

async function claimsOf({ out, code, error }: Outcome) {
  expect([code, error]).toEqual([0, '']);
  expect(out.split('\n')).toEqual([expect.stringMatching(/^[\w-]+\.[\w-]+\.[\w-]+$/), '']);
  const { issuer } = fixture.platform.context.state.load('identity', { issuer: '' });
  const keys = (await (await fetch(`${issuer}/.well-known/jwks.json`)).json()) as JSONWebKeySet;
  const { payload } = await jwtVerify(out.trim(), createLocalJWKSet(keys), { issuer });
  return payload;
}

test('a user gets a token of 8 hours that names tenant, person and role', async () => {
  const claims = await claimsOf(
    await token(['--tenant', 'initech', '--user', 'a@initech.test', '--role', 'viewer']),
  );
  expect(claims).toMatchObject({
    tenant_id: '6f9619ff-8b86-4d01-b42d-00cf4fc964ff',
    email: 'a@initech.test',
    role: 'viewer',
    token_use: 'access',
    sub: expect.stringMatching(/^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/),
  });
  expect(claims.exp! - claims.iat!).toBe(8 * 3600);
  expect(String(claims.scope)).not.toContain('strata/operator');
  const again = await claimsOf(await token(['--tenant', 'initech', '--user', 'A@initech.test']));
  expect(again.sub).toBe(claims.sub);
});

test('an operator gets the scope and no tenant', async () => {
  const claims = await claimsOf(await token(['--operator']));
  expect(claims).toMatchObject({ scope: 'strata/operator' });
  expect(claims).not.toHaveProperty('tenant_id');
});

test.each([
  ['an unknown tenant', ['--tenant', 'nobody', '--user', 'a@b.test'], /^there is no tenant nobody$/],
  ['a tenant without a user', ['--tenant', 'initech'], /^usage: /],
  ['an unknown role', ['--tenant', 'initech', '--user', 'a@b.test', '--role', 'king'], /^usage: /],
  ['an unknown option', ['--admin'], /^Unknown option .*usage: /],
  ['operator and tenant at once', ['--operator', '--tenant', 'initech'], /^usage: /],
  ['nothing', [], /^usage: /],
])('%s is refused in one line, with nothing on stdout', async (_what, options, line) => {
  const { code, out, error } = await token(options);
  expect([code, out]).toEqual([1, '']);
  expect(error.trim().split('\n')).toEqual([expect.stringMatching(line)]);
});

test('a platform that does not run, or runs elsewhere, is a one-line error', async () => {
  const [unused] = await unusedPorts();
  const stopped = await token(['--operator'], { API_PORT: String(unused) });
  expect(stopped).toMatchObject({
    code: 1,
    out: '',
    error: `no platform answers on port ${unused}: run npm start, or set API_PORT\n`,
  });
  const elsewhere = await token(['--operator'], { STRATA_DIR: join(fixture.directory, 'nowhere') });
  expect(elsewhere).toMatchObject({
    code: 1,
    out: '',
    error: expect.stringMatching(/^no platform has been started in .*\n$/),
  });
});
