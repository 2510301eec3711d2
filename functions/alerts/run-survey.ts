import type * as z from 'zod';
import { callFunction } from '../aws/call-function.ts';
import { SurveyFailed } from './errors.ts';
import type { AccessFloors } from './survey-access.ts';
import {
  type Survey,
  type SurveyAnswer,
  type SurveyCursor,
  surveyAnswer,
  type surveyRequest,
} from './survey-databases.ts';

/** One call of the function that surveys. @throws {SurveyFailed} */
export type CallSurvey = (request: z.input<typeof surveyRequest>) => Promise<SurveyAnswer>;

/** `done` is false when time ran out: then a part of the region was not observed. */
export type RegionSurvey = Survey & { readonly done: boolean };

/**
 * Surveys all databases of the region, one call after the other, while there is time for another call.
 * @param mayCall true while a whole call still fits.
 * @throws {SurveyFailed}
 */
export async function runSurvey(
  call: CallSurvey,
  floors: AccessFloors,
  mayCall: () => boolean,
): Promise<RegionSurvey> {
  const all: Survey = { databases: [], tenantsRead: [], access: [], unreachable: [] };
  let cursor: SurveyCursor | undefined;
  while (mayCall()) {
    const answer = await call({ floors, ...(cursor ? { cursor } : {}) });
    all.databases.push(...answer.survey.databases);
    all.tenantsRead.push(...answer.survey.tenantsRead);
    all.access.push(...answer.survey.access);
    all.unreachable.push(...answer.survey.unreachable);
    cursor = answer.cursor;
    if (!cursor) return { ...all, done: true };
  }
  return { ...all, done: false };
}

/** The function may take three minutes. */
const SURVEY_TIMEOUT_MS = 190_000;

/** Calls the function that surveys and waits for its answer. */
export function surveyFunction(functionName: string): CallSurvey {
  return async (request) => {
    try {
      return surveyAnswer.parse(await callFunction(functionName, request, { timeoutMs: SURVEY_TIMEOUT_MS }));
    } catch (error) {
      throw new SurveyFailed({ cause: error });
    }
  };
}
