import * as z from 'zod/mini';
import { pageOf, pageParameters } from '../../http/input-schemas.ts';
import { operatorRoute } from '../../http/operator-api.ts';
import { listUsage } from '../../registry/usage.ts';
import { givenDays, rangeParameters } from './day-range.ts';
import { tenantParams } from './tenant-routes.ts';

/** The tenant's daily figures, newest first. Without a range, the days with a sample. */
export const list = operatorRoute(
  { params: tenantParams, query: z.strictObject({ ...pageParameters, ...rangeParameters }) },
  async ({ registry, params, query }) => ({
    status: 200,
    body: await listUsage(registry, params.tenantId, pageOf(query), givenDays(query)),
  }),
);
