import {
  AdminGetUserCommand,
  CognitoIdentityProviderClient,
  UserNotFoundException,
} from '@aws-sdk/client-cognito-identity-provider';
import { expect, vi } from 'vitest';
import type { SignedCertificate } from '../../functions/contracts/erasure-certificate.ts';
import { readIdentity } from '../../infra/local/index.ts';
import { administrator } from './platform-databases.ts';
import {
  ASK_EVERY_MS,
  call,
  onboardOwnTenant,
  operatorToken,
  platform,
  unique,
  userToken,
} from './running-platform.ts';

/** A tenant with a word in all that it stores. */
export interface LeavingTenant {
  readonly slug: string;
  readonly tenantId: string;
  readonly word: string;
}

export const userPoolId = (): string => String(readIdentity(platform().stateDir)?.issuer.split('/').at(-1));

/** Accounts are made after the requests that add users. */
async function accountsExist(addresses: readonly string[]): Promise<void> {
  const pool = new CognitoIdentityProviderClient(administrator(platform().awsUrl));
  const exists = (Username: string) =>
    pool.send(new AdminGetUserCommand({ UserPoolId: userPoolId(), Username })).then(
      () => true,
      (error) => {
        if (error instanceof UserNotFoundException) return false;
        throw error;
      },
    );
  await vi.waitUntil(async () => (await Promise.all(addresses.map(exists))).every(Boolean), {
    timeout: 60_000,
    interval: ASK_EVERY_MS,
  });
}

/** Onboards a tenant with rows that have a word of their own. */
export async function plant(fields: object = {}): Promise<LeavingTenant> {
  const token = await operatorToken();
  const word = unique('planted').replaceAll('-', '');
  const slug = await onboardOwnTenant({ ...fields, billingEmail: `${word}@billing.test` });
  const { body: tenant } = await call('GET', `/tenants/${slug}`, { token });
  const admin = await userToken(slug);
  const post = async (path: string, body: object) => {
    const headers = { 'idempotency-key': unique('key') };
    const answer = await call('POST', path, { token: admin, body, headers });
    expect([201, 202], `${path}: ${JSON.stringify(answer.body)}`).toContain(answer.status);
    return answer.body;
  };
  const email = (name: string) => `${name}.${word}@example.test`;
  const employee = await post('/employees', {
    email: email('one'),
    firstName: word,
    lastName: `L${word}`,
    ssn: '123-45-6789',
    profileData: { note: word },
  });
  const team = await post('/teams', { teamName: word });
  await post(`/teams/${team.teamId}/members`, { employeeId: employee.employeeId });
  const skill = await post('/skills', { skillName: word });
  await post(`/employees/${employee.employeeId}/skills`, {
    skillId: skill.skillId,
    proficiencyLevel: 'expert',
  });
  await post('/users', { email: email('user'), role: 'member' });
  await accountsExist([`admin@${slug}.test`, `viewer@${slug}.test`, email('user')]);
  await call('PATCH', `/tenants/${slug}`, { token, body: { features: { note: word } } });
  return { slug, tenantId: tenant.tenantId, word };
}

export const offboard = async (slug: string) =>
  call('DELETE', `/tenants/${slug}`, { token: await operatorToken() });

/** The same, once no backup of another test's daily run, and no rollout or rotation, is in the way. */
export function offboardOnceIdle(slug: string) {
  return vi.waitUntil(
    async () => {
      const answer = await offboard(slug);
      return (
        !/(backup|rollout|rotation) of the tenant is running/.test(String(answer.body?.detail)) && answer
      );
    },
    { timeout: 120_000, interval: ASK_EVERY_MS },
  );
}

/** Waits for the end of the tenant's offboarding. @returns its certificate. */
export async function certificateOf({ tenantId }: LeavingTenant): Promise<SignedCertificate> {
  const token = await operatorToken();
  const done = await vi.waitUntil(
    async () => {
      const { body } = await call('GET', `/tenants/${tenantId}/offboarding`, { token });
      return body.status !== 'running' && body;
    },
    { timeout: 150_000, interval: ASK_EVERY_MS },
  );
  expect(done, done.reason).toMatchObject({ status: 'succeeded', phase: 'finished', canBeCancelled: false });
  const { status, body } = await call('GET', `/tenants/${tenantId}/erasure-certificate`, { token });
  expect(status).toBe(200);
  return body;
}

/** Offboards the tenant. @returns its certificate. */
export async function offboarded(tenant: LeavingTenant): Promise<SignedCertificate> {
  const asked = await offboardOnceIdle(tenant.slug);
  expect(asked.status, JSON.stringify(asked.body)).toBe(202);
  expect(asked.headers.get('location')).toBe(`/tenants/${tenant.tenantId}/offboarding`);
  expect(asked.body).toMatchObject({ status: 'running', cause: 'request', canBeCancelled: true });
  return certificateOf(tenant);
}
