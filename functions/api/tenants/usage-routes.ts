import * as z from 'zod/mini';
import { pageOf, pageParameters } from '../../middleware/input-schemas.ts';
import { operatorRoute } from '../../middleware/operator-api.ts';
import { listUsage } from '../../repositories/usage.ts';
import { tenantParams } from './tenant-routes.ts';

/** The tenant's daily figures, newest first. */
export const list = operatorRoute(
  { params: tenantParams, query: z.strictObject(pageParameters) },
  async ({ registry, params, query }) => ({
    status: 200,
    body: await listUsage(registry, params.tenantId, pageOf(query)),
  }),
);
