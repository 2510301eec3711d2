/**
 * An assessment: draft ──▶ published ──▶ archived
 *
 * No other transition. A draft takes any change; once it is published, its questions and scoring are frozen, so that all
 * its results answer the same questions. Results are started only while it is published.
 */
import { isDeepStrictEqual } from 'node:util';
import { InvalidValues, ResourceConflict } from '../resources/errors.ts';
import { toCamelCase } from '../resources/field-names.ts';
import { DEFAULT_SCORING, type Question } from './assessment-questions.ts';
import { resource, type Values } from './resource.ts';
import type { Change, ResourceRules } from './resource-rules.ts';
import { ResourceStore } from './resource-store.ts';
import { lockSkills } from './skill-references.ts';

export type AssessmentStatus = 'draft' | 'published' | 'archived';

const NEXT: Readonly<Record<AssessmentStatus, AssessmentStatus | undefined>> = {
  draft: 'published',
  published: 'archived',
  archived: undefined,
};
const FROZEN = ['questions', 'scoring_config'] as const;

const assessmentRules: ResourceRules = {
  concerns: (patch) => ['status', ...FROZEN].some((column) => patch[column] !== undefined),
  async check(transaction, change) {
    requireKnownTransition(change);
    requireUnfrozen(change);
    const { scoring_config: scoring, questions } = change.values;
    if (scoring && !(scoring as { method?: unknown }).method) {
      throw new InvalidValues([{ path: ['scoringConfig', 'method'], message: 'is required' }]);
    }
    const named = ((questions ?? []) as readonly Question[]).flatMap(({ skillId }, index) =>
      skillId === undefined ? [] : [{ skillId, index }],
    );
    if (named.length > 0) {
      const known = await lockSkills(
        transaction,
        named.map(({ skillId }) => skillId),
      );
      const issues = named
        .filter(({ skillId }) => !known.has(skillId))
        .map(({ index }) => ({
          path: ['questions', index, 'skillId'],
          message: 'refers to a skill that does not exist',
        }));
      if (issues.length > 0) throw new InvalidValues(issues);
    }
    return publication(change);
  },
};

/** @throws {ResourceConflict} */
function requireKnownTransition({ patch, current }: Change): void {
  const [from, to] = [current?.status as AssessmentStatus | undefined, patch.status];
  if (from === undefined || to === undefined || to === from || to === NEXT[from]) return;
  throw new ResourceConflict(`An assessment that is ${from} cannot become ${to}.`, 'status');
}

/** @throws {ResourceConflict} */
function requireUnfrozen({ values, current }: Change): void {
  if (current === undefined || current.status === 'draft') return;
  const changed = FROZEN.find(
    (column) => values[column] !== undefined && !isDeepStrictEqual(values[column], current[column]),
  );
  if (!changed) return;
  const field = toCamelCase(changed);
  throw new ResourceConflict(`The ${field} of a published assessment cannot be changed.`, field);
}

/** What publication adds. @throws {ResourceConflict} there is nothing to answer. */
function publication({ patch, values, current }: Change): Values | undefined {
  if (patch.status !== 'published' || current?.status !== 'draft') return undefined;
  const after = { ...current, ...values };
  if (((after.questions ?? []) as readonly Question[]).length === 0) {
    throw new ResourceConflict('An assessment without questions cannot be published.', 'questions');
  }
  return after.scoring_config ? undefined : { scoring_config: DEFAULT_SCORING };
}

export const assessments = new ResourceStore(
  resource<'assessments'>({
    table: 'assessments',
    type: 'assessment',
    columns: [
      'assessment_id',
      'assessment_name',
      'assessment_type',
      'description',
      'framework_id',
      'status',
      'created_by',
      'questions',
      'scoring_config',
      'created_at',
      'updated_at',
    ],
    key: ['assessment_id'],
    order: ['created_at', 'assessment_id'],
    sorts: [{ column: 'assessment_name', type: 'text' }],
    searched: ['assessment_name', 'description'],
    documents: ['questions', 'scoring_config'],
    hasUpdatedAt: true,
  }),
  assessmentRules,
);
