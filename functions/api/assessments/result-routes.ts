import * as z from 'zod/mini';
import { uuid } from '../../http/input-schemas.ts';
import { resourceRoutes } from '../../http/resource-routes.ts';
import { MAX_ANSWER_CHARACTERS } from '../../tenant-data/assessment-answers.ts';
import { assessmentResults } from '../../tenant-data/assessment-results.ts';

const status = z.enum(['in_progress', 'completed', 'abandoned']);
/** Which answers a question takes, the store knows. */
const answer = z.union(
  [z.string().check(z.maxLength(2 * MAX_ANSWER_CHARACTERS)), z.number(), z.null()],
  `must be text of at most ${MAX_ANSWER_CHARACTERS} characters, a number or null`,
);

/** Start a result by POST, save answers by PATCH, complete it by PATCH with `status`. */
export const resultRoutes = resourceRoutes({
  store: assessmentResults,
  filters: { employeeId: uuid, status },
  create: { employeeId: uuid },
  update: {
    answers: z.nullish(z.record(z.string(), answer, 'must be an object')),
    status: z.optional(status),
  },
});
