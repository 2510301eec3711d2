import * as z from 'zod';
import { surveyTenant } from '../moves/survey-tenant.ts';
import { movePhase, moveTask } from './move-task.ts';

/**
 * Counts rows and bytes of the tenant's tables for the dry run of a move, because the operators' API reaches no
 * database. It is a separate function because the API may invoke it and must not be able to invoke a phase of a move.
 */
export const handler = moveTask(
  {
    survey: movePhase(z.object({ tenantId: z.uuid() }), (registry, { tenantId }) =>
      surveyTenant(registry, tenantId),
    ),
  },
  'survey',
);
