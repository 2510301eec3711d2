import * as z from 'zod';
import { AlertsIncomplete } from '../alerts/errors.ts';
import { evaluateAlerts } from '../alerts/evaluate-alerts.ts';
import { type RegionSurvey, runSurvey, surveyFunction } from '../alerts/run-survey.ts';
import { THRESHOLDS } from '../alerts/thresholds.ts';
import { logger } from '../aws/logger.ts';
import { publish } from '../aws/publish.ts';
import { type AlertsEnvironment, variable } from '../contracts/environments.ts';
import { readProxyAuth } from '../places/proxy-auth.ts';
import { alertTask } from './alert-task.ts';

/** A call of the survey, and the evaluation behind it. */
const SURVEY_CALL_MS = 4 * 60_000;

/**
 * The run of every five minutes: has the databases surveyed, judges, and publishes what has changed. It reaches no data
 * database itself. Errors are thrown at the end: Lambda repeats a scheduled invocation twice.
 */
export const handler = alertTask(
  'evaluation',
  z.object({}),
  async (_event, { registry, remainingMs }) => {
    const topic = variable<AlertsEnvironment>('ALERT_TOPIC_ARN');
    const call = surveyFunction(variable<AlertsEnvironment>('SURVEY_FUNCTION_ARN'));
    let survey: RegionSurvey | undefined;
    let problem = '';
    try {
      survey = await runSurvey(call, THRESHOLDS.access, () => remainingMs() > SURVEY_CALL_MS);
      if (!survey.done) problem = 'not all databases were surveyed';
    } catch (error) {
      // What the registry tells is evaluated in any case.
      logger.error('survey failed', { error: error as Error });
      problem = 'the databases were not surveyed';
    }
    const outcome = await evaluateAlerts(registry, {
      region: variable<AlertsEnvironment>('REGION_KEY'),
      thresholds: THRESHOLDS,
      survey,
      readProxy: (cellId) => readProxyAuth(registry, cellId),
      publish: ({ subject, message }) => publish(topic, subject, message),
      onFailure: ({ what, error }) => logger.error('not evaluated', { what, error: error as Error }),
    });
    const missing = [
      ...(problem ? [problem] : []),
      ...(outcome.failures > 0 ? [`${outcome.failures} rules or messages failed`] : []),
    ];
    if (missing.length === 0) return outcome;
    logger.warn('evaluation incomplete', { outcome });
    throw new AlertsIncomplete(missing.join(', '));
  },
  (outcome) => ({ ...outcome }),
);
