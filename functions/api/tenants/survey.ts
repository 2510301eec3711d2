import { callFunction } from '../../aws/call-function.ts';
import { type OperatorApiEnvironment, variable } from '../../contracts/environments.ts';
import { surveyFunctionName } from '../../contracts/names.ts';
import type { OperatorRegion } from '../../http/operator-api.ts';
import { TenantNotMeasured } from '../../moves/errors.ts';
import type { SurveyOf } from '../../moves/move-rules.ts';
import type { TenantSurvey } from '../../moves/survey-tenant.ts';

/** API Gateway waits for 30 seconds. */
const SURVEY_TIMEOUT_MS = 25_000;

/**
 * Measures how much data a tenant has, through the function of its region that reaches the databases there.
 * @returns a function of the tenant's id, which throws `TenantNotMeasured` when the called one failed or took too long.
 */
export function surveyByFunction({ key, awsRegion }: OperatorRegion): SurveyOf {
  return async (tenantId) => {
    const name = awsRegion
      ? surveyFunctionName(key)
      : variable<OperatorApiEnvironment>('MOVE_SURVEY_FUNCTION');
    try {
      const survey = await callFunction(
        name,
        { tenantId },
        { region: awsRegion, timeoutMs: SURVEY_TIMEOUT_MS },
      );
      return survey as TenantSurvey;
    } catch (cause) {
      throw new TenantNotMeasured({ cause });
    }
  };
}
