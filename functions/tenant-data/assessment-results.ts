/**
 * What an employee answered in an assessment: in_progress ──▶ completed | abandoned
 *
 * Invariants: an employee has one open result of an assessment at most (a unique index holds it); a result is written
 * only while it is in progress, under its row's lock, so that of two completions one wins; its score is computed from the
 * answers of that very row and the questions, which are frozen.
 */
import { sql } from 'kysely';
import type { TenantTransaction } from '../database/session/tenant-session.ts';
import { tenantStatement } from '../database/session/tenant-sql.ts';
import { InvalidValues, ResourceConflict, ResourceNotFound } from '../resources/errors.ts';
import { issuesOfAnswers } from './assessment-answers.ts';
import { type Answers, DEFAULT_SCORING, type Question, type ScoringConfig } from './assessment-questions.ts';
import { scoreResult } from './assessment-score.ts';
import { resource, type Values } from './resource.ts';
import type { Change, ResourceRules } from './resource-rules.ts';
import { ResourceStore } from './resource-store.ts';

const OPEN_RESULT = 'The employee has an open result of this assessment.';

const resultRules: ResourceRules = {
  concerns: () => true,
  check: (transaction, change) =>
    change.current === undefined ? start(transaction, change) : write(transaction, change, change.current),
  async checkDelete(_transaction, { status }) {
    if (status === 'completed') throw new ResourceConflict('A completed result cannot be deleted.');
  },
};

async function start(transaction: TenantTransaction, { key }: Change): Promise<Values> {
  const { assessment_id: assessmentId, employee_id: employeeId } = key;
  // Shared, so that results of an assessment start side by side, and none starts while it is being archived.
  const lock = sql<{ status: string }>`
    SELECT status FROM assessments WHERE assessment_id = ${assessmentId}::uuid FOR SHARE`;
  // The unique index refuses a second open result as well; a target that a rollout has not reached lacks it.
  const findOpen = sql`
    SELECT 1 AS found FROM assessment_results
    WHERE assessment_id = ${assessmentId}::uuid AND employee_id = ${employeeId}::uuid AND status = 'in_progress'`;
  const [[assessment], open] = await Promise.all([
    transaction.query(tenantStatement(lock)),
    transaction.query(tenantStatement(findOpen)),
  ]);
  if (!assessment) throw new ResourceNotFound('no such assessment');
  if (assessment.status !== 'published') {
    throw new ResourceConflict(`The assessment is ${assessment.status}: no result can be started.`);
  }
  if (open.length > 0) throw new ResourceConflict(OPEN_RESULT);
  return { status: 'in_progress', started_at: sql`now()` };
}

async function write(
  transaction: TenantTransaction,
  { patch, values }: Change,
  current: Values,
): Promise<Values | undefined> {
  if (current.status !== 'in_progress') {
    throw new ResourceConflict(`The result is ${current.status} and cannot be changed.`);
  }
  const { questions, scoring } = await assessmentOf(transaction, current.assessment_id as string);
  const issues = issuesOfAnswers(questions, (patch.answers ?? {}) as Answers);
  if (issues.length > 0) throw new InvalidValues(issues);
  if (patch.status !== 'completed') return undefined;
  const answers = { ...current, ...values }.answers as Answers | null;
  const { score, resultsData } = scoreResult(questions, scoring, answers ?? {});
  return { completed_at: sql`now()`, score, results_data: resultsData };
}

/** Not locked: no change of an assessment that has results touches them. */
async function assessmentOf(
  transaction: TenantTransaction,
  assessmentId: string,
): Promise<{ questions: readonly Question[]; scoring: ScoringConfig }> {
  const statement = sql<{ questions: unknown; scoring_config: ScoringConfig | null }>`
    SELECT questions, scoring_config FROM assessments WHERE assessment_id = ${assessmentId}::uuid`;
  const [row] = await transaction.query(tenantStatement(statement));
  const questions = Array.isArray(row?.questions) ? (row.questions as readonly Question[]) : [];
  return { questions, scoring: row?.scoring_config ?? DEFAULT_SCORING };
}

export const assessmentResults = new ResourceStore(
  resource<'assessment_results'>({
    table: 'assessment_results',
    type: 'assessment_result',
    columns: [
      'result_id',
      'assessment_id',
      'employee_id',
      'status',
      'started_at',
      'completed_at',
      'answers',
      'score',
      'results_data',
      'created_at',
    ],
    key: ['assessment_id', 'result_id'],
    order: ['created_at', 'result_id'],
    sorts: [
      { column: 'completed_at', type: 'time', nullable: true },
      { column: 'score', type: 'number', nullable: true },
    ],
    searched: [],
    documents: ['answers', 'results_data'],
    hasUpdatedAt: false,
    parentTable: 'assessments',
    conflict: OPEN_RESULT,
  }),
  resultRules,
);
