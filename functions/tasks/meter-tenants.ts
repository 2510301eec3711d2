import { logger } from '../aws/logger.ts';
import { type RegionEnvironment, variable } from '../contracts/environments.ts';
import { meterTenants } from '../metering/meter-tenants.ts';
import { meteringRequest } from '../metering/run-metering.ts';
import { promotionTask } from './promotion-task.ts';

/** One tenant may take longer than a minute, and the last one has to be through before Lambda is. */
const LAST_TENANT_MS = 120_000;

/** Takes the day's samples, as many as there is time for; called until it is done. */
export const handler = promotionTask(
  'metering',
  meteringRequest,
  async ({ day, since, after }, { registry, remainingMs }) =>
    meterTenants(registry, {
      region: variable<RegionEnvironment>('REGION_KEY'),
      day,
      since,
      after,
      deadline: performance.now() + remainingMs() - LAST_TENANT_MS,
      onSkipped: ({ error, ...what }) => logger.error('not metered', { ...what, error: error as Error }),
    }),
);
