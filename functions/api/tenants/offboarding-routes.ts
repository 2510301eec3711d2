import * as z from 'zod/mini';
import { executionArnOf, inAwsRegion, startExecution } from '../../aws/executions.ts';
import { type OperatorApiEnvironment, variable } from '../../contracts/environments.ts';
import { operatorRoute } from '../../http/operator-api.ts';
import { Problem } from '../../http/problem.ts';
import { OffboardingError, OffboardingNotStarted } from '../../offboarding/errors.ts';
import { getCertificate, getOffboarding } from '../../registry/offboardings.ts';
import { getTenant } from '../../registry/tenant-record.ts';
import { entityTag } from '../../resources/entity-tag.ts';
import { tenantParams } from './tenant-routes.ts';

const locationOf = (tenantId: string) => `/tenants/${tenantId}/offboarding`;

/** Starts the offboarding. Answers 202; the client polls the Location until it has ended. */
export const start = operatorRoute(
  { params: tenantParams },
  ({ registry, registries, region, params, operator, facts }) =>
    answeringRefusals(async () => {
      const { requestOffboarding } = await import('../../offboarding/request-offboarding.ts');
      const { clonesOfOtherRegions } = await import('../../offboarding/other-work.ts');
      const stateMachineArn = inAwsRegion(
        variable<OperatorApiEnvironment>('OFFBOARDING_STATE_MACHINE_ARN'),
        region.awsRegion,
      );
      const { tenantId } = await getTenant(registry, params.tenantId);
      await requestOffboarding(registry, tenantId, {
        actor: { id: operator, type: 'operator' },
        cause: 'request',
        executionArnOf: (name) => executionArnOf(stateMachineArn, name),
        start: (name, input) => startExecution(stateMachineArn, name, input),
        findOtherClone: clonesOfOtherRegions(registries, region.key),
        ifMatch: facts.ifMatch,
      });
      return { status: 202, body: await getOffboarding(registry, tenantId), location: locationOf(tenantId) };
    }),
);

/** The tenant's latest offboarding. */
export const read = operatorRoute({ params: tenantParams }, async ({ registry, params }) => {
  const { tenantId } = await getTenant(registry, params.tenantId);
  const offboarding = await getOffboarding(registry, tenantId);
  return { status: 200, body: offboarding, etag: entityTag(offboarding) };
});

/** Serves the tenant again, until the grace period is over. */
export const cancel = operatorRoute(
  { params: tenantParams, body: z.strictObject({}), bodyMayBeAbsent: true },
  ({ registry, params, operator }) =>
    answeringRefusals(async () => {
      const { cancelOffboarding } = await import('../../offboarding/cancel-offboarding.ts');
      const { tenantId } = await getTenant(registry, params.tenantId);
      await cancelOffboarding(registry, tenantId, { id: operator, type: 'operator' });
      return { status: 200, body: await getOffboarding(registry, tenantId) };
    }),
);

/** What was erased and what is kept, signed. */
export const certificate = operatorRoute({ params: tenantParams }, async ({ registry, params }) => {
  const { tenantId } = await getTenant(registry, params.tenantId);
  const signed = await getCertificate(registry, tenantId);
  return { status: 200, body: signed, etag: entityTag(signed) };
});

async function answeringRefusals<Result>(work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof OffboardingNotStarted) {
      const headers = { 'retry-after': '5' };
      throw new Problem(503, 'unavailable', { detail: error.message, headers, cause: error });
    }
    if (error instanceof OffboardingError) {
      throw new Problem(409, 'conflict', { detail: error.message, cause: error });
    }
    throw error;
  }
}
