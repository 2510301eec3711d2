import * as z from 'zod';
import { movePhase, moveTask } from '../middleware/move-task.ts';
import { surveyTenant } from '../move/survey-tenant.ts';

/**
 * Rows and bytes of the tenant's tables, for the dry run of a move: the operator API reaches no database itself. A
 * function of its own, because the API may invoke it, and no phase of a move.
 */
export const handler = moveTask(
  {
    survey: movePhase(z.object({ tenantId: z.uuid() }), (registry, { tenantId }) =>
      surveyTenant(registry, tenantId),
    ),
  },
  'survey',
);
