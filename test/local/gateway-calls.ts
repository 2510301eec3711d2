import { importJWK, SignJWT } from 'jose';
import { expect } from 'vitest';
import type { IdentityDocument } from '../../infra/local/index.ts';
import { type RunningFixture, startFixture } from './running-fixture.ts';

/** Calls to the gateway of a fixture of a test file's own, with tokens as they should and should not be. */
export class GatewayCalls {
  readonly fixture: RunningFixture;
  readonly identity: Required<IdentityDocument>;

  private constructor(fixture: RunningFixture) {
    this.fixture = fixture;
    this.identity = fixture.platform.context.state.load('identity', {}) as Required<IdentityDocument>;
  }

  static async start(): Promise<GatewayCalls> {
    return new GatewayCalls(await startFixture());
  }

  call(path: string, options: RequestInit = {}): Promise<Response> {
    return fetch(`${this.fixture.platform.apiUrl}${path}`, options);
  }

  withToken(token: string, path = '/mine'): Promise<Response> {
    return this.call(path, { headers: { authorization: `Bearer ${token}` } });
  }

  /** A token of the platform's issuer, changed. */
  async tokenWith(
    change: Record<string, unknown>,
    key = this.identity.privateKey,
    kid = key.kid,
  ): Promise<string> {
    const { issuer: iss, clientId: client_id } = this.identity;
    const claims = { iss, client_id, iat: now(), exp: now() + 60, sub: 's', ...change };
    return new SignJWT(claims)
      .setProtectedHeader({ alg: 'RS256', kid: kid! })
      .sign(await importJWK(key, 'RS256'));
  }
}

/** Seconds, as in a token. */
export const now = () => Math.floor(Date.now() / 1000);

/** It is API Gateway's own refusal, in its words. */
export async function refused(response: Response, status: number, message: string): Promise<void> {
  expect(response.status).toBe(status);
  expect(await response.text()).toBe(JSON.stringify({ message }));
  expect(response.headers.get('content-type')).toBe('application/json');
  expect(response.headers.get('apigw-requestid')).toBeTruthy();
}
