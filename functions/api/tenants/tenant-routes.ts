import * as z from 'zod/mini';
import { InvalidOnboardingInput, LifecycleError } from '../../lifecycle/errors.ts';
import {
  complianceRequirements,
  type OnboardingInput,
  tenantName,
  validateOnboardingInput,
} from '../../lifecycle/onboarding-input.ts';
import { registerTenant } from '../../lifecycle/register-tenant.ts';
import { hasDecimals } from '../../middleware/exact-number.ts';
import {
  document,
  email,
  pageOf,
  pageParameters,
  requiredText,
  searchText,
} from '../../middleware/input-schemas.ts';
import {
  controlIdempotencyOf,
  type OperatorRegion,
  type OperatorRequest,
  operatorRegion,
  operatorRoute,
} from '../../middleware/operator-api.ts';
import { invalidInput, Problem } from '../../middleware/problem.ts';
import { NoCellCapacity } from '../../placement/errors.ts';
import { actInRegion } from '../../repositories/ask-region.ts';
import { findAnswer, keepAnswer } from '../../repositories/control-idempotency.ts';
import { entityTag } from '../../repositories/entity-tag.ts';
import { getTenant, listTenants, updateTenant } from '../../repositories/tenants.ts';
import { startOnboarding } from './start-onboarding.ts';

const SLUG_OR_ID = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
export const tenantParams = z.object({
  tenantId: z.pipe(
    z.string().check(z.refine((text) => SLUG_OR_ID.test(text.toLowerCase()))),
    z.transform((text) => text.toLowerCase()),
  ),
});

const limitOf = (what: string) =>
  z.nullish(
    z
      .int(`must be a whole number of ${what}`)
      .check(z.gte(1, 'must be at least 1'), z.lte(1_000_000_000, 'is too large')),
  );

export const list = operatorRoute(
  {
    query: z.strictObject({
      ...pageParameters,
      q: searchText,
      status: z.optional(
        z.enum(
          ['provisioning', 'active', 'suspended', 'failed', 'offboarding', 'offboarded'],
          'is not a status',
        ),
      ),
      tier: z.optional(z.enum(['starter', 'business', 'enterprise'], 'is not a tier')),
      dataResidency: z.optional(requiredText(50)),
    }),
  },
  async ({ registries, query }) => ({
    status: 200,
    body: await listTenants(registries, query, pageOf(query)),
  }),
);

/** Registers the tenant and starts its onboarding, in the region of its residency: 202, to be polled at its Location until it is active or failed. */
export const create = operatorRoute(
  { body: z.unknown() },
  async (request: OperatorRequest<object, object, unknown>) => {
    const { registry, body, operator, facts } = request;
    const use = controlIdempotencyOf(facts, operator, body);
    const kept = use && (await findAnswer(registry, use));
    if (kept)
      return { status: 202, body: kept.body, location: `/tenants/${kept.resourceId}`, replayed: true };
    const input = validated(body);
    const region = regionOfResidency(input.dataResidency, request);
    const tenant = await actInRegion(request.registries, region.key, async () => {
      const registered = await register(input, region, request);
      await startOnboarding(registered, body as object, region.awsRegion);
      return registered;
    });
    if (use) await keepAnswer(registry, use, { status: 202, body: tenant, resourceId: tenant.tenantId });
    return { status: 202, body: tenant, location: `/tenants/${tenant.tenantId}` };
  },
);

export const read = operatorRoute({ params: tenantParams }, async ({ registry, params }) => {
  const tenant = await getTenant(registry, params.tenantId);
  return { status: 200, body: tenant, etag: entityTag(tenant) };
});

export const update = operatorRoute(
  {
    params: tenantParams,
    body: z.strictObject({
      name: z.optional(tenantName),
      status: z.optional(z.enum(['active', 'suspended'], 'can be set to active or suspended')),
      billingEmail: z.nullish(email),
      maxUsers: limitOf('users'),
      maxStorageGb: limitOf('GB'),
      features: z.nullish(document),
      complianceRequirements: z.optional(complianceRequirements),
      monthlyRevenue: z.nullish(
        z.number('must be a number').check(
          z.gte(0, 'must not be negative'),
          z.lte(9_999_999_999, 'is too large'),
          z.refine((revenue) => hasDecimals(revenue, 2), 'must have at most two decimals'),
        ),
      ),
    }),
  },
  async ({ registry, params, body, operator, facts }) => {
    const tenant = await updateTenant(registry, params.tenantId, body, {
      actor: operator,
      ifMatch: facts.ifMatch,
    });
    return { status: 200, body: tenant, etag: entityTag(tenant) };
  },
);

/** One that is no region's is refused at home. */
function regionOfResidency(
  dataResidency: string | undefined,
  { registries }: OperatorRequest<object, object, unknown>,
): OperatorRegion {
  const known = dataResidency !== undefined && registries.keys.includes(dataResidency);
  return operatorRegion(registries, known ? dataResidency : registries.ownKey);
}

/** @throws {Problem} */
function validated(body: unknown): OnboardingInput {
  try {
    return validateOnboardingInput(body);
  } catch (error) {
    throw asProblem(error);
  }
}

/** @throws {Problem} and whatever no rule of registration stands behind. */
async function register(
  input: OnboardingInput,
  { key }: OperatorRegion,
  { registries, operator }: OperatorRequest<object, object, unknown>,
) {
  try {
    return await registerTenant(registries.of(key), input, {
      actor: { id: operator, type: 'operator' },
      region: { key, registries },
    });
  } catch (error) {
    throw asProblem(error);
  }
}

function asProblem(error: unknown): unknown {
  if (error instanceof InvalidOnboardingInput) {
    return invalidInput(
      error.issues.map(({ path, pointer, message }) => ({
        pointer: pointer ?? (path ? `/${path}` : ''),
        detail: message,
      })),
    );
  }
  if (error instanceof NoCellCapacity) {
    return new Problem(503, 'no-capacity', {
      detail: error.message,
      headers: { 'retry-after': '3600' },
      cause: error,
    });
  }
  if (error instanceof LifecycleError) {
    return new Problem(409, 'conflict', { detail: error.message, cause: error });
  }
  return error;
}
