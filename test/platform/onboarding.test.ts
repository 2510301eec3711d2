import {
  CreateSecretCommand,
  DeleteSecretCommand,
  PutSecretValueCommand,
} from '@aws-sdk/client-secrets-manager';
import { StopExecutionCommand } from '@aws-sdk/client-sfn';
import { beforeAll, describe, expect, test } from 'vitest';
import { validateOnboardingInput } from '../../functions/onboarding/onboarding-input.ts';
import { registerTenant } from '../../functions/onboarding/register-tenant.ts';
import { type Footprint, newInput, OnboardingProbe, type Tier } from './onboarding-probe.ts';

const ACTIVE = [{ status: 'active', reason: null, users: 1, places: 1 }];
const TABLES = expect.any(Number);
/** Exactly one of everything. */
const COMPLETE: Record<Tier, Footprint> = {
  starter: {
    tenants: ACTIVE,
    secrets: [],
    accepted: 0,
    stacks: [],
    data: { roles: 0, schemas: 0, tables: 0, placements: ['active shared 1'] },
  },
  business: {
    tenants: ACTIVE,
    secrets: ['strata/tenant//tenant__e1'],
    accepted: 1,
    stacks: [],
    data: { roles: 1, schemas: 1, tables: TABLES, placements: ['active schema 1'] },
  },
  enterprise: {
    tenants: ACTIVE,
    accepted: 0,
    stacks: ['CREATE_COMPLETE'],
    secrets: ['strata/dedicated//master', 'strata/dedicated//owner', 'strata/tenant//tenant__e1'],
    data: { roles: 1, schemas: 1, tables: TABLES, placements: ['active dedicated 1'] },
  },
};
/** Phases in the order of the workflow, each after its function. */
const PHASES: Record<Tier, string[]> = {
  starter: ['registry register', 'data place', 'data verify', 'registry activate'],
  business: [
    'registry register',
    'aws credentials',
    'data schema',
    'aws proxy',
    'data place',
    'data verify',
    'registry activate',
  ],
  enterprise: [
    'registry register',
    'aws launch',
    'data bootstrap',
    'data schema',
    'data place',
    'data verify',
    'registry activate',
  ],
};
const STATES: Record<Tier, string[]> = {
  starter: ['Register', 'Place', 'Verify', 'Activate'],
  business: [
    'Register',
    'Create credentials',
    'Create schema',
    'Register with proxy',
    'Place',
    'Verify',
    'Activate',
  ],
  enterprise: [
    'Register',
    'Launch dedicated database',
    'Wait for dedicated database',
    'Bootstrap dedicated database',
    'Create dedicated schema',
    'Place',
    'Verify',
    'Activate',
  ],
};
const tiers: Tier[] = ['starter', 'business', 'enterprise'];
let probe: OnboardingProbe;

beforeAll(async () => {
  probe = await OnboardingProbe.connect();
});

describe.each(tiers)('a %s tenant', (tier) => {
  test('comes out the same when every phase runs twice at once', async () => {
    const input = newInput(tier);
    await probe.runPhases(input, PHASES[tier]);
    expect(await probe.footprint(input.slug)).toEqual(COMPLETE[tier]);
  });

  test('is finished by the same input, whichever states executions were stopped in before', async () => {
    const input = newInput(tier);
    for (const state of STATES[tier]) {
      const executionArn = await probe.start(input);
      await probe.entered(executionArn, state);
      // The task goes on behind the stopped execution's back, as in AWS: the next one meets it at work.
      await probe.states.send(new StopExecutionCommand({ executionArn }));
      await probe.ended(executionArn);
    }
    const { status, error, output } = await probe.execute(input);
    if (output)
      expect(JSON.parse(output)).toMatchObject({ slug: input.slug, tier, status: 'active', epoch: 1 });
    // The last one may have been stopped when its task had done all there was to do.
    expect(error ?? status).toBeOneOf(['SUCCEEDED', 'TenantExists']);
    expect(await probe.footprint(input.slug)).toEqual(COMPLETE[tier]);
  });
});

test('three executions with one input at once make one tenant, and none fails', async () => {
  const input = newInput('business');
  const ended = await Promise.all([1, 2, 3].map(() => probe.execute(input)));
  expect(ended.map(({ error, status }) => error ?? status)).toEqual(['SUCCEEDED', 'SUCCEEDED', 'SUCCEEDED']);
  expect(await probe.footprint(input.slug)).toEqual(COMPLETE.business);
});

test('four Business tenants at once are all complete', async () => {
  const inputs = [1, 2, 3, 4].map(() => newInput('business'));
  const ended = await Promise.all(inputs.map((input) => probe.execute(input)));
  expect(ended.map(({ error, status }) => error ?? status)).toEqual(Array(4).fill('SUCCEEDED'));
  for (const { slug } of inputs) expect(await probe.footprint(slug)).toEqual(COMPLETE.business);
});

test('an execution for a taken slug, or with a wrong input, ends with the name of the refusal', async () => {
  const input = newInput('starter');
  await probe.execute(input);
  const before = await probe.footprint(input.slug);
  expect(await probe.execute(input)).toMatchObject({
    status: 'FAILED',
    error: 'TenantExists',
    cause: `A tenant with the slug "${input.slug}" already exists.`,
  });
  expect(await probe.execute({ ...input, slug: 'other-slug' })).toMatchObject({ error: 'TenantNameTaken' });
  expect(await probe.execute({ ...input, tier: 'gold' })).toMatchObject({ error: 'InvalidOnboardingInput' });
  expect(await probe.execute(['no object'])).toMatchObject({ error: 'InvalidOnboardingInput' });
  expect(await probe.footprint(input.slug)).toEqual(before);
});

test('a broken secret fails the tenant with a reason fit for clients; mended, the same input resumes', async () => {
  const input = newInput('business');
  const { tenantId } = await registered(input);
  const Name = `strata/tenant/${tenantId}/tenant_${tenantId.replaceAll('-', '')}_e1`;
  await probe.secrets.send(new CreateSecretCommand({ Name, SecretString: '{"password":"only-a-password"}' }));

  const reason = 'The stored credentials of the tenant are not usable.';
  expect(await probe.execute(input)).toMatchObject({
    status: 'FAILED',
    error: 'TenantSecretInvalid',
    cause: reason,
  });
  const { tenants, data } = await probe.footprint(input.slug);
  expect(tenants).toEqual([{ status: 'failed', reason, users: 1, places: 1 }]);
  expect(data).toEqual({ roles: 0, schemas: 0, tables: 0, placements: [] });
  expect(await probe.execute({ ...input, tier: 'starter' })).toMatchObject({ error: 'TenantInputMismatch' });

  const username = Name.split('/').at(-1);
  const SecretString = JSON.stringify({ username, password: 'a-password-that-works' });
  await probe.secrets.send(new PutSecretValueCommand({ SecretId: Name, SecretString }));
  expect(await probe.execute(input)).toMatchObject({ status: 'SUCCEEDED' });
  expect(await probe.footprint(input.slug)).toEqual(COMPLETE.business);
});

test('a secret that is about to be deleted is brought back', async () => {
  const input = newInput('business');
  const executionArn = await probe.start(input);
  await probe.entered(executionArn, 'Create schema');
  await probe.states.send(new StopExecutionCommand({ executionArn }));
  const tenantId = await probe.tenantId(input.slug);
  const SecretId = `strata/tenant/${tenantId}/tenant_${tenantId.replaceAll('-', '')}_e1`;
  await probe.secrets.send(new DeleteSecretCommand({ SecretId, RecoveryWindowInDays: 7 }));
  expect(await probe.execute(input)).toMatchObject({ status: 'SUCCEEDED' });
  expect(await probe.footprint(input.slug)).toEqual(COMPLETE.business);
});

test('a dedicated database that cannot be created fails the tenant, and is launched anew by the same input', async () => {
  const input = newInput('enterprise');
  const { tenantId } = await registered(input);
  const Name = `strata/dedicated/${tenantId}/owner`;
  await probe.secrets.send(new CreateSecretCommand({ Name, SecretString: 'in the way' }));

  const reason =
    'The dedicated database could not be created in 3 tries, because of OwnerSecret (AlreadyExists).';
  expect(await probe.execute(input)).toMatchObject({
    status: 'FAILED',
    error: 'DedicatedStackFailed',
    cause: reason,
  });
  expect((await probe.footprint(input.slug)).tenants).toEqual([
    { status: 'failed', reason, users: 1, places: 0 },
  ]);

  await probe.secrets.send(new DeleteSecretCommand({ SecretId: Name, ForceDeleteWithoutRecovery: true }));
  expect(await probe.execute(input)).toMatchObject({ status: 'SUCCEEDED' });
  const after = await probe.footprint(input.slug);
  expect({ ...after, stacks: after.stacks.filter((status) => status !== 'DELETE_COMPLETE') }).toEqual(
    COMPLETE.enterprise,
  );
});

/** As `POST /tenants` leaves it before any execution has begun. */
function registered(input: unknown) {
  const actor = { id: 'test', type: 'operator' } as const;
  return registerTenant(probe.registry, validateOnboardingInput(input), { actor });
}
