import * as z from 'zod/mini';
import {
  day,
  document,
  email,
  pageOf,
  pageParameters,
  requiredText,
  searchText,
} from '../../http/input-schemas.ts';
import { hasDecimals } from '../../http/json-body.ts';
import {
  controlIdempotencyOf,
  type OperatorRegion,
  type OperatorRequest,
  operatorRegion,
  operatorRoute,
} from '../../http/operator-api.ts';
import { invalidInput, Problem } from '../../http/problem.ts';
import {
  ComplianceUnsatisfied,
  InvalidOnboardingInput,
  LifecycleError,
  OnboardingNotStarted,
} from '../../onboarding/errors.ts';
import {
  complianceRequirements,
  type OnboardingInput,
  tenantName,
  validateOnboardingInput,
} from '../../onboarding/onboarding-input.ts';
import { NoCellCapacity } from '../../placement/errors.ts';
import { actInRegion } from '../../registry/ask-region.ts';
import { findAnswer, keepAnswer, OncePerKey } from '../../registry/control-idempotency.ts';
import { getTenant } from '../../registry/tenant-record.ts';
import { listTenants, updateTenant } from '../../registry/tenants.ts';
import { entityTag } from '../../resources/entity-tag.ts';
import { IdempotencyKeyReused } from '../../resources/errors.ts';
import { startOnboarding } from './start-onboarding.ts';

const SLUG_OR_ID = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
export const tenantParams = z.object({
  tenantId: z.pipe(
    z.string().check(z.refine((text) => SLUG_OR_ID.test(text.toLowerCase()))),
    z.transform((text) => text.toLowerCase()),
  ),
});

const limitOf = (what: string, max = 1_000_000_000) =>
  z.nullish(
    z
      .int(`must be a whole number of ${what}`)
      .check(z.gte(1, 'must be at least 1'), z.lte(max, 'is too large')),
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

/**
 * Registers the tenant and starts its onboarding, in the region of its residency: 202; poll its Location until the
 * tenant is active or failed.
 */
export const create = operatorRoute(
  { body: z.unknown() },
  async (request: OperatorRequest<object, object, unknown>) => {
    const { registry, registries, body, operator, facts } = request;
    const use = controlIdempotencyOf(facts, operator, body);
    // A key is stored in the region of its tenant. The copy in the home registry refuses a key that was used in another
    // region.
    const kept = use && (await findAnswer(registry, use));
    if (kept)
      return { status: 202, body: kept.body, location: `/tenants/${kept.resourceId}`, replayed: true };
    const input = validated(body);
    const region = regionOfResidency(input.dataResidency, request);
    const once = use && new OncePerKey(use, (executor, tenantId) => getTenant(executor, tenantId));
    const tenant = await actInRegion(registries, region.key, () =>
      startOnboarding(registries.of(region.key), input, {
        operator,
        once,
        awsRegion: region.awsRegion,
        region: { key: region.key, registries },
      }).catch((error) => {
        throw asOnboardingProblem(error);
      }),
    );
    const answer = once?.answer;
    if (use && answer && !once.replayed && region.awsRegion !== undefined) {
      await keepAnswer(registry, use, answer).catch(unlessKeyReused);
    }
    return {
      status: 202,
      body: answer?.body ?? tenant,
      location: `/tenants/${tenant.tenantId}`,
      replayed: once?.replayed ?? false,
    };
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
      requestRate: limitOf('requests per second', 100_000),
      requestBurst: limitOf('requests', 100_000),
      features: z.nullish(document),
      complianceRequirements: z.optional(complianceRequirements),
      subscriptionEndDate: z.nullish(day),
      legalHold: z.nullish(requiredText(500)),
      // With `force`, requirements are stored that the present place does not satisfy. The tenant then gets an offer.
      force: z.optional(z.boolean('must be true or false')),
      monthlyRevenue: z.nullish(
        z.number('must be a number').check(
          z.gte(0, 'must not be negative'),
          z.lte(9_999_999_999, 'is too large'),
          z.refine((revenue) => hasDecimals(revenue, 2), 'must have at most two decimals'),
        ),
      ),
    }),
  },
  async ({ registry, params, body: { force, ...changes }, operator, facts }) => {
    const tenant = await updateTenant(registry, params.tenantId, changes, {
      actor: operator,
      ifMatch: facts.ifMatch,
      force: force ?? false,
    });
    return { status: 200, body: tenant, etag: entityTag(tenant) };
  },
);

/** The copy is only a precaution: the request itself has been done, so ignore a key that was reused meanwhile. */
function unlessKeyReused(error: unknown): void {
  if (!(error instanceof IdempotencyKeyReused)) throw error;
}

/** The home region refuses an unknown residency. */
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
    throw asOnboardingProblem(error);
  }
}

export function asOnboardingProblem(error: unknown): unknown {
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
  if (error instanceof OnboardingNotStarted) {
    const headers = { 'retry-after': '5' };
    return new Problem(503, 'unavailable', { detail: error.message, headers, cause: error });
  }
  if (error instanceof ComplianceUnsatisfied) {
    const errors = error.issues.map(({ rule, detail }) => ({ rule, detail }));
    return new Problem(409, 'conflict', { detail: error.message, errors, cause: error });
  }
  if (error instanceof LifecycleError) {
    return new Problem(409, 'conflict', { detail: error.message, cause: error });
  }
  return error;
}
