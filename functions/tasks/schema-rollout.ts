import * as z from 'zod';
import { executionStatus } from '../aws/executions.ts';
import { logger } from '../aws/logger.ts';
import { type RegionEnvironment, variable } from '../contracts/environments.ts';
import { thisRelease } from '../database/provisioning/release.ts';
import { isTransient } from '../database/transient-error.ts';
import { DependencyUnavailable } from '../places/errors.ts';
import { RolloutError, RolloutStepFailed } from '../rollouts/errors.ts';
import { readRolloutInput } from '../rollouts/rollout-input.ts';
import { beginRollout, DEAD, finishRollout, runCanaries, runWave } from '../rollouts/rollout-phases.ts';
import { endRollout, findByExecution } from '../rollouts/rollout-records.ts';
import type { RunOptions } from '../rollouts/run-targets.ts';
import { workflowTask } from './workflow-task.ts';

const executionArn = z.string().min(1);
const rolloutId = z.uuid();

/** What the states of `schema-rollout` ask, and EventBridge's event of an execution that ended badly. */
const event = z.union([
  z.object({ phase: z.literal('begin'), executionArn, input: z.unknown() }),
  z.object({ phase: z.literal('canary'), rolloutId }),
  z.object({ phase: z.literal('wave'), rolloutId, group: z.string().min(1) }),
  z.object({ phase: z.literal('finish'), rolloutId }),
  z.object({ phase: z.literal('fail'), executionArn }),
  z.object({ detail: z.object({ executionArn, status: z.string() }) }),
]);

/** A phase answers about once a minute, so that the workflow sees a dead function and a stop soon. */
const PHASE_MS = 60_000;

/** All phases of `schema-rollout`: they have the same rights. */
export const handler = workflowTask(
  {
    toTypedError,
    subjectOf: (given) => {
      const { detail, ...known } = (given ?? {}) as Record<string, unknown>;
      const { phase, rolloutId: id, group } = known;
      return { phase: phase ?? 'ended', rolloutId: id, group, execution: known.executionArn ?? detail };
    },
    outcomeOf: (result) => ({ result }),
  },
  event,
  async (registry, request): Promise<object> => {
    if ('detail' in request) {
      const { executionArn: arn, status } = request.detail;
      return { ended: await endOf(arn, status === 'FAILED' ? 'failed' : 'aborted') };
    }
    if (request.phase === 'begin') {
      return beginRollout(registry, {
        input: readRolloutInput(request.input),
        executionArn: request.executionArn,
        region: variable<RegionEnvironment>('REGION_KEY'),
        release: thisRelease,
        statusOf: executionStatus,
      });
    }
    if (request.phase === 'fail') return { ended: await endOf(request.executionArn, 'failed') };
    const options: RunOptions = {
      registry,
      rolloutId: request.rolloutId,
      release: thisRelease,
      deadline: performance.now() + PHASE_MS,
      onFailed: (target, error) => logger.error('a target failed', { target, error: error as Error }),
    };
    if (request.phase === 'canary') return runCanaries(options);
    if (request.phase === 'wave') return runWave(request.group, options);
    await finishRollout(registry, request.rolloutId);
    return {};

    async function endOf(arn: string, status: 'failed' | 'aborted'): Promise<boolean> {
      const rollout = await findByExecution(registry, arn);
      return rollout !== undefined && endRollout(registry, rollout.rolloutId, { status, reason: DEAD });
    }
  },
);

function toTypedError(error: unknown): Error {
  if (error instanceof RolloutError) return error;
  if (isTransient(error)) return new DependencyUnavailable({ cause: error });
  return new RolloutStepFailed({ cause: error });
}
