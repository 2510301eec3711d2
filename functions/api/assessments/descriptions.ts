import * as z from 'zod/mini';
import { describeTenantContext } from '../../http/openapi/describe-context.ts';
import { describeResource } from '../../http/openapi/describe-resource.ts';
import { itemSchema } from '../../http/openapi/item-schema.ts';
import { assessmentResults } from '../../tenant-data/assessment-results.ts';
import type { ResultsData } from '../../tenant-data/assessment-score.ts';
import { assessments as assessmentStore } from '../../tenant-data/assessments.ts';
import { certifications } from '../../tenant-data/certifications.ts';
import { operations } from './handler.ts';
import { questions, scoringConfig } from './question-schemas.ts';
import { routes } from './routes.ts';

const resultsData = z.object({
  passed: z.nullable(z.boolean()),
  questions: z.int(),
  answered: z.int(),
  skills: z.readonly(z.array(z.object({ skillId: z.uuid(), score: z.number() }))),
}) satisfies z.ZodMiniType<ResultsData>;

export const assessments = describeTenantContext({
  tags: {
    Assessments: 'Questionnaires, and what employees answered.',
    Certifications: 'Certificates of employees, and when they expire.',
  },
  routes,
  operations,
  descriptions: {
    ...describeResource('assessments', {
      tag: 'Assessments',
      one: 'an assessment',
      many: 'assessments',
      item: itemSchema('Assessment', assessmentStore, { questions, scoringConfig }),
      descriptions: {
        create: 'It begins as a draft.',
        update:
          'A draft takes any change. `status` goes from `draft` to `published` to `archived`; questions and scoring are frozen once it is published. `scoringConfig` is merged (RFC 7396).',
      },
      refusals: {
        update: {
          409: 'Another transition of `status`, a change of frozen questions or scoring, or a publication without questions.',
        },
        remove: { 409: 'Results refer to it.' },
      },
    }),
    ...describeResource('results', {
      tag: 'Assessments',
      one: 'a result',
      many: 'the results of an assessment',
      item: itemSchema('AssessmentResult', assessmentResults, {
        answers: z.record(z.string(), z.union([z.string(), z.number()])),
        resultsData,
      }),
      descriptions: {
        create: 'Starts a result of an employee. The assessment is published.',
        update:
          'Saves answers: they are merged by question, `null` removes one. With `status` `completed` the score is computed; from then on the result cannot be changed.',
      },
      refusals: {
        create: { 409: 'The assessment is not published, or the employee has an open result of it.' },
        update: { 409: 'The result is completed or abandoned.' },
        remove: { 409: 'The result is completed.' },
      },
    }),
    ...describeResource('certifications', {
      tag: 'Certifications',
      one: 'a certification',
      many: 'certifications',
      item: itemSchema('Certification', certifications),
      descriptions: { list: '`expiringBefore` leaves out certifications without an expiry.' },
    }),
  },
});
