import * as z from 'zod/mini';
import { optionalText, requiredText, uuid } from '../../http/input-schemas.ts';
import { resourceRoutes } from '../../http/resource-routes.ts';
import { assessments } from '../../tenant-data/assessments.ts';
import { questions, scoringConfig, scoringPatch } from './question-schemas.ts';

const assessmentName = requiredText(255);
const assessmentType = z.enum(['skills', 'competency', '360']);
const status = z.enum(['draft', 'published', 'archived']);
const optional = {
  assessmentType: z.nullish(assessmentType),
  description: optionalText(10_000),
  frameworkId: z.nullish(uuid),
  createdBy: z.nullish(uuid),
  questions: z.nullish(questions),
};

export const assessmentRoutes = resourceRoutes({
  store: assessments,
  filters: { status, assessmentType, frameworkId: uuid, createdBy: uuid },
  create: { assessmentName, ...optional, scoringConfig: z.nullish(scoringConfig) },
  update: {
    assessmentName: z.optional(assessmentName),
    ...optional,
    scoringConfig: z.nullish(scoringPatch),
    status: z.optional(status),
  },
});
