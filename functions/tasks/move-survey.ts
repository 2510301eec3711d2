import * as z from 'zod';
import { moveStateTask } from '../middleware/move-task.ts';
import { surveyTenant } from '../move/survey-tenant.ts';

const event = z.object({ tenantId: z.uuid() });

/** Rows and bytes of the tenant's tables, for the dry run of a move: the operator API reaches no database itself. */
export const handler = moveStateTask(event, (registry, { tenantId }) => surveyTenant(registry, tenantId));
