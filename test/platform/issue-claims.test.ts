import { expect, test } from 'vitest';
import { call, operatorToken, platform, unique } from './running-platform.ts';

interface Claims {
  readonly claimsToAddOrOverride: Record<string, string>;
  readonly scopesToAdd?: string[];
}

/** A call to the local Lambda API, as an administrator. */
async function lambda<Body>(method: string, path: string, body?: unknown): Promise<Body> {
  const response = await fetch(`${platform().awsUrl}/2015-03-31/functions${path}`, {
    method,
    headers: {
      authorization:
        'AWS4-HMAC-SHA256 Credential=administrator/20250101/us-east-1/lambda/aws4_request, SignedHeaders=host, Signature=0',
    },
    ...(body ? { body: JSON.stringify(body) } : {}),
  });
  expect(response.status).toBe(200);
  expect(response.headers.get('x-amz-function-error')).toBeNull();
  return (await response.json()) as Body;
}

/** What Cognito would be told at the sign-in of this user. */
async function claimsOf(
  email: string,
  {
    verified = true,
    groups = [] as string[],
    metadata = undefined as Record<string, string> | undefined,
  } = {},
): Promise<Claims> {
  const { Functions } = await lambda<{ Functions: { FunctionName: string }[] }>('GET', '/');
  const trigger = Functions.find(({ FunctionName }) => FunctionName.includes('IdentityIssueClaims'));
  const answer = await lambda<{
    response: { claimsAndScopeOverrideDetails: { accessTokenGeneration: Claims } };
  }>('POST', `/${trigger?.FunctionName}/invocations`, {
    version: '2',
    triggerSource: 'TokenGeneration_Authentication',
    request: {
      userAttributes: { sub: 'x', email, email_verified: String(verified) },
      groupConfiguration: { groupsToOverride: groups },
      clientMetadata: metadata,
    },
    response: {},
  });
  return answer.response.claimsAndScopeOverrideDetails.accessTokenGeneration;
}

test('a member’s token names the tenant and the role that the registry knows', async () => {
  const { body: tenant } = await call('GET', '/tenants/initech', { token: await operatorToken() });
  expect(await claimsOf('Viewer@Initech.test')).toEqual({
    claimsToAddOrOverride: { email: 'viewer@initech.test', tenant_id: tenant.tenantId, role: 'viewer' },
  });
});

test('an address that nobody confirmed proves nothing, and a stranger belongs nowhere', async () => {
  expect(await claimsOf('admin@initech.test', { verified: false })).toEqual({ claimsToAddOrOverride: {} });
  expect(await claimsOf('nobody@example.test')).toEqual({
    claimsToAddOrOverride: { email: 'nobody@example.test' },
  });
});

test('an address that becomes a member’s only in lower case is not the member’s', async () => {
  const token = await operatorToken();
  const local = unique('kay');
  const body = { email: `${local}@example.test`, role: 'admin' };
  expect((await call('POST', '/tenants/initech/users', { token, body })).status).toBe(201);
  expect((await claimsOf(body.email.toUpperCase())).claimsToAddOrOverride).toHaveProperty('tenant_id');
  // The sign of the kelvin, whose lower case is a k.
  const kelvin = body.email.replace('k', '\u212a');
  expect(await claimsOf(kelvin)).toEqual({ claimsToAddOrOverride: {} });
});

test('only members of the group operators get the operator scope', async () => {
  expect(await claimsOf('ops@example.test', { groups: ['operators'] })).toMatchObject({
    scopesToAdd: ['strata/operator'],
  });
  expect(await claimsOf('admin@initech.test', { groups: ['strata/operator'] })).not.toHaveProperty(
    'scopesToAdd',
  );
});

test('who belongs to two tenants has to say which one he means, and gets no other', async () => {
  const token = await operatorToken();
  const email = `${unique('consultant')}@example.test`;
  for (const slug of ['initech', 'globex']) {
    const { status } = await call('POST', `/tenants/${slug}/users`, {
      token,
      body: { email, role: 'member' },
    });
    expect(status).toBe(201);
  }
  expect((await claimsOf(email)).claimsToAddOrOverride).toEqual({ email });
  const { body: globex } = await call('GET', '/tenants/globex', { token });
  for (const tenant of ['globex', globex.tenantId]) {
    expect((await claimsOf(email, { metadata: { tenant } })).claimsToAddOrOverride).toEqual({
      email,
      tenant_id: globex.tenantId,
      role: 'member',
    });
  }
  expect((await claimsOf(email, { metadata: { tenant: 'acme' } })).claimsToAddOrOverride).toEqual({ email });
});
