import * as z from 'zod/mini';
import { executionArnOf, executionStatus, inAwsRegion, startExecution } from '../../aws/executions.ts';
import { type OperatorApiEnvironment, variable } from '../../contracts/environments.ts';
import { thisRelease } from '../../database/provisioning/release.ts';
import { pageOf, pageParameters, uuid } from '../../http/input-schemas.ts';
import {
  controlIdempotencyOf,
  type OperatorRequest,
  operatorRegion,
  operatorRoute,
} from '../../http/operator-api.ts';
import { invalidInput, Problem } from '../../http/problem.ts';
import { actInRegion } from '../../registry/ask-region.ts';
import { listCells } from '../../registry/cells.ts';
import { OncePerKey } from '../../registry/control-idempotency.ts';
import { findRollout, getRollout, listRollouts } from '../../registry/rollouts.ts';
import { entityTag } from '../../resources/entity-tag.ts';
import { InvalidRolloutInput, RolloutInProgress, RolloutNotStarted } from '../../rollouts/errors.ts';
import { requestRollout } from '../../rollouts/request-rollout.ts';
import { readRolloutRequest } from '../../rollouts/rollout-input.ts';

/** All cells with the number of their tenants. They are few: one page. */
export const cells = operatorRoute({ query: z.strictObject({}) }, async ({ registries }) => ({
  status: 200,
  body: { items: await listCells(registries), nextCursor: null },
}));

export const rollouts = operatorRoute(
  { query: z.strictObject(pageParameters) },
  async ({ registries, query }) => ({
    status: 200,
    body: await listRollouts(registries, pageOf(query)),
  }),
);

export const rollout = operatorRoute(
  { params: z.object({ rolloutId: uuid }) },
  async ({ registries, params }) => {
    const rollout = await findRollout(registries, params.rolloutId);
    return { status: 200, body: rollout, etag: entityTag(rollout) };
  },
);

/** Starts a rollout in one region: 202, to be polled at its Location until it has ended. */
export const startRollout = operatorRoute(
  { body: z.unknown() },
  async ({ registries, body, operator, facts }: OperatorRequest<object, object, unknown>) => {
    try {
      const { region: asked = registries.ownKey, ...request } = readRolloutRequest(body);
      if (!registries.keys.includes(asked)) {
        throw new InvalidRolloutInput([{ pointer: '/region', message: 'is not a known region' }]);
      }
      const { awsRegion } = operatorRegion(registries, asked);
      const registry = registries.of(asked);
      const use = controlIdempotencyOf(facts, operator, body);
      const once =
        use && new OncePerKey(use, (executor, rolloutId) => getRollout(executor, asked, rolloutId));
      const stateMachineArn = inAwsRegion(
        variable<OperatorApiEnvironment>('ROLLOUT_STATE_MACHINE_ARN'),
        awsRegion,
      );
      return await actInRegion(registries, asked, async () => {
        const rolloutId = await requestRollout(registry, request, {
          operator,
          release: thisRelease,
          statusOf: executionStatus,
          once,
          executionArnOf: (name) => executionArnOf(stateMachineArn, name),
          start: (name, input) => startExecution(stateMachineArn, name, input),
        });
        const answer = once?.answer?.body ?? (await getRollout(registry, asked, rolloutId));
        const location = `/rollouts/${rolloutId}`;
        return { status: 202, body: answer, location, replayed: once?.replayed ?? false };
      });
    } catch (error) {
      throw asProblem(error);
    }
  },
);

function asProblem(error: unknown): unknown {
  if (error instanceof InvalidRolloutInput) {
    return invalidInput(error.issues.map(({ pointer, message }) => ({ pointer, detail: message })));
  }
  if (error instanceof RolloutInProgress) {
    return new Problem(409, 'rollout-running', { detail: error.message, cause: error });
  }
  if (error instanceof RolloutNotStarted) {
    const headers = { 'retry-after': '5' };
    return new Problem(503, 'unavailable', { detail: error.message, headers, cause: error });
  }
  return error;
}
