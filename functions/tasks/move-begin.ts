import * as z from 'zod';
import { moveStateTask } from '../middleware/move-task.ts';
import { beginMove } from '../move/begin-move.ts';
import { surveyTenant } from '../move/survey-tenant.ts';

const state = z.object({ executionArn: z.string().min(1), input: z.unknown() });

/** Plans the move and makes it the tenant's only one, or takes up what this execution has begun already. */
export const handler = moveStateTask(state, (registry, { input, executionArn }, _deadline, regions) =>
  beginMove(registry, input, executionArn, {
    regions,
    survey: (tenantId) => surveyTenant(registry, tenantId),
  }),
);
