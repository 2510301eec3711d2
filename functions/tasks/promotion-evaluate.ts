import * as z from 'zod';
import { logger } from '../aws/logger.ts';
import { publish } from '../aws/publish.ts';
import { type PromotionEnvironment, variable } from '../contracts/environments.ts';
import { meteringFunction, runMetering } from '../metering/run-metering.ts';
import { MoveError, MoveForbidden } from '../moves/errors.ts';
import { startTierMove } from '../moves/request-move.ts';
import { PromotionIncomplete, PromotionRefused } from '../promotion/errors.ts';
import { evaluatePromotions, type StartPromotion } from '../promotion/evaluate-promotions.ts';
import { readPromotionPolicy } from '../promotion/promotion-policy.ts';
import { type PromotionTaskContext, promotionTask } from './promotion-task.ts';

/** A call of the metering function, and then the decisions. */
const METERING_CALL_MS = 6 * 60_000;
const LAST_DECISION_MS = 60_000;
const ACTOR = { id: 'promotion', type: 'system' } as const;

const scheduled = z.object({
  /**
   * The time of day, UTC, that the schedule stands for: with its input the run decides as it does then, whenever it is
   * started. Absent: now.
   */
  timeOfDay: z
    .string()
    .regex(/^([01]\d|2[0-3]):[0-5]\d$/)
    .optional(),
  /** When the schedule asked for it. A run that is repeated does not measure again whom it has measured since. */
  scheduledTime: z.iso.datetime({ offset: true }).optional(),
});

/**
 * The daily run: measures every tenant, decides upon each one's tier, and does what is due. What went wrong is told at
 * the end, so that Lambda, which runs a scheduled invocation twice more, tries again what was left.
 */
export const handler = promotionTask(
  'promotion',
  scheduled,
  async ({ timeOfDay, scheduledTime }, { registry, remainingMs }) => {
    const region = variable<PromotionEnvironment>('REGION_KEY');
    const metering = meteringFunction(variable<PromotionEnvironment>('METERING_FUNCTION_ARN'));
    const topic = variable<PromotionEnvironment>('NOTIFICATION_TOPIC_ARN');
    const policy = readPromotionPolicy();
    const today = new Date().toISOString().slice(0, 10);
    const at = timeOfDay ? new Date(`${today}T${timeOfDay}:00.000Z`) : new Date();
    const measured = await runMetering(
      metering,
      { day: today, since: scheduledTime },
      () => remainingMs() > METERING_CALL_MS,
    ).catch((error: Error) => {
      // Yesterday's samples are good enough to decide upon.
      logger.error('metering failed', { error });
      return { done: false, sampled: 0, skipped: 0 };
    });
    const evaluation = await evaluatePromotions(registry, {
      region,
      policy,
      actor: ACTOR,
      at,
      deadline: performance.now() + remainingMs() - LAST_DECISION_MS,
      startPromotion: startPromotionWith(registry),
      publish: ({ subject, message }) => publish(topic, subject, message),
      onFailure: ({ tenantId, error }) =>
        logger.error('not decided upon', { tenantId, error: error as Error }),
    });
    const result = { metering: measured, evaluation };
    const missing = [
      ...(measured.done ? [] : ['not all tenants were measured']),
      ...(measured.skipped > 0 ? [`${measured.skipped} tenants or databases could not be measured`] : []),
      ...(evaluation.done ? [] : ['not all tenants were decided upon']),
      ...(evaluation.failures > 0 ? [`${evaluation.failures} decisions or notices failed`] : []),
    ];
    if (missing.length === 0) return result;
    logger.warn('promotion incomplete', { result });
    throw new PromotionIncomplete(missing.join(', '));
  },
);

function startPromotionWith(registry: PromotionTaskContext['registry']): StartPromotion {
  return async (request) => {
    try {
      return await startTierMove(registry, request, { actor: ACTOR, startedBy: 'promotion' });
    } catch (error) {
      throw error instanceof MoveError ? refusalOf(error) : error;
    }
  };
}

/** The first rule that stands against the move, or else the error's own name, as the decision's reason. */
function refusalOf(error: MoveError): PromotionRefused {
  const [issue] = error instanceof MoveForbidden ? error.issues : [];
  const name = error.name.replaceAll(/\B[A-Z]/g, (letter) => `-${letter}`).toLowerCase();
  return new PromotionRefused(issue?.rule ?? name, error.message, { cause: error });
}
