import { callFunction } from '../../aws/call-function.ts';
import { type OperatorApiEnvironment, variable } from '../../contracts/environments.ts';
import { surveyFunctionName } from '../../contracts/names.ts';
import type { OperatorRegion } from '../../http/operator-api.ts';
import { invalidInput, Problem } from '../../http/problem.ts';
import {
  InvalidMoveInput,
  MoveError,
  MoveForbidden,
  MoveNotStarted,
  TenantNotMeasured,
  TenantNotMovable,
} from '../../moves/errors.ts';
import type { SurveyOf } from '../../moves/move-rules.ts';
import type { TenantSurvey } from '../../moves/survey-tenant.ts';
import type { DataApi } from '../../registry/data-api.ts';
import { getTenant } from '../../registry/tenant-record.ts';

/** Runs work that may start or stop a move, and turns the errors of moves into problems. @throws {Problem} */
export async function answeringMoveRefusals<Result>(work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof InvalidMoveInput) {
      throw invalidInput(
        error.issues.map(({ path, pointer, message }) => ({
          pointer: pointer ?? (path ? `/${path}` : ''),
          detail: message,
        })),
      );
    }
    if (error instanceof MoveNotStarted || error instanceof TenantNotMeasured) {
      const headers = { 'retry-after': '5' };
      throw new Problem(503, 'unavailable', { detail: error.message, headers, cause: error });
    }
    if (error instanceof MoveForbidden) {
      const errors = error.issues.map(({ rule, detail }) => ({ rule, detail }));
      throw new Problem(409, 'conflict', { detail: error.message, errors, cause: error });
    }
    if (error instanceof MoveError)
      throw new Problem(409, 'conflict', { detail: error.message, cause: error });
    throw error;
  }
}

/**
 * Runs work on a move in the registry that had the tenant a moment ago.
 * @throws {TenantBetweenRegions} the tenant was handed over in the meantime: ask the region that has it now.
 */
export async function unlessHandedOver<Result>(
  registry: DataApi,
  tenantId: string,
  ask: () => Promise<Result>,
): Promise<Result> {
  try {
    return await ask();
  } catch (error) {
    if (error instanceof TenantNotMovable) await getTenant(registry, tenantId);
    throw error;
  }
}

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
