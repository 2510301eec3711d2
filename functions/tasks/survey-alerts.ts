import { surveyDatabases, surveyRequest } from '../alerts/survey-databases.ts';
import { logger } from '../aws/logger.ts';
import { type RegionEnvironment, variable } from '../contracts/environments.ts';
import { alertTask } from './alert-task.ts';

/** The last tenant that was begun, and the answer. */
const RESERVED_MS = 30_000;

/** Observes the region's databases and tenants and changes nothing. Call it until it returns no cursor. */
export const handler = alertTask(
  'survey',
  surveyRequest,
  async ({ cursor, floors }, { registry, remainingMs }) =>
    surveyDatabases(registry, {
      region: variable<RegionEnvironment>('REGION_KEY'),
      cursor,
      floors,
      deadline: performance.now() + remainingMs() - RESERVED_MS,
      onSkipped: ({ error, ...what }) => logger.error('not surveyed', { ...what, error: error as Error }),
    }),
  ({ survey, cursor }) => ({
    databases: survey.databases.length,
    unreachable: survey.unreachable.length,
    tenants: survey.tenantsRead.length,
    done: cursor === undefined,
  }),
);
