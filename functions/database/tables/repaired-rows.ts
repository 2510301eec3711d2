import { qualified } from '../ddl/identifier.ts';
import { overAllTenants, type RenderTarget } from './render-tables.ts';

/**
 * Statements of migration 4 that change the rows which break its rules, so that they neither stop a rollout nor a later
 * move: a move copies rows into tables whose rules are in force. Until that version the API could not write these
 * tables, so that such rows come from outside of it.
 *
 * - Of several open results of an employee in one assessment the newest stays open; the others become `abandoned`.
 * - Of several frameworks with the same name and version the oldest keeps its version; each other one gets its id as a
 *   part of its version.
 * - A completed result without a time of completion gets that of its creation; another one with such a time loses it. A
 *   score outside of 0 to 100 becomes the nearest of the two.
 * - A published or archived assessment without questions or scoring gets an empty list and the default scoring.
 * - A certification that expires before its issue has the two dates exchanged.
 */
export function repairedForRules(target: RenderTarget): string[] {
  const table = (name: string) => qualified(target.schema, name);
  const results = table('assessment_results');
  const frameworks = table('skills_frameworks');
  // In the shared tables equal ids of two tenants are different resources.
  const sameTenant = target.model === 'shared' ? 'AND other.tenant_id = own.tenant_id' : '';
  const statements = [
    `UPDATE ${results} own SET status = 'abandoned' WHERE status = 'in_progress' AND EXISTS (
       SELECT FROM ${results} other WHERE other.assessment_id = own.assessment_id
         AND other.employee_id = own.employee_id AND other.status = 'in_progress' ${sameTenant}
         AND (other.created_at, other.result_id) > (own.created_at, own.result_id))`,
    `UPDATE ${results} SET completed_at = CASE WHEN status = 'completed' THEN created_at END
       WHERE (status = 'completed') <> (completed_at IS NOT NULL)`,
    `UPDATE ${results} SET score = least(greatest(score, 0), 100) WHERE NOT score BETWEEN 0 AND 100`,
    `UPDATE ${frameworks} own
       SET version = left(coalesce(version || ' ', ''), 18) || replace(framework_id::text, '-', '')
       WHERE EXISTS (
         SELECT FROM ${frameworks} other WHERE other.framework_name = own.framework_name
           AND other.version IS NOT DISTINCT FROM own.version ${sameTenant}
           AND (other.created_at, other.framework_id) < (own.created_at, own.framework_id))`,
    `UPDATE ${table('assessments')} SET questions = coalesce(questions, '[]'),
         scoring_config = coalesce(scoring_config, '{"method": "weighted-average"}')
       WHERE status <> 'draft' AND (questions IS NULL OR scoring_config IS NULL)`,
    `UPDATE ${table('certifications')} SET issue_date = expiry_date, expiry_date = issue_date
       WHERE expiry_date < issue_date`,
  ];
  if (target.model !== 'shared') return statements;
  const changed = ['assessment_results', 'skills_frameworks', 'assessments', 'certifications'];
  return overAllTenants(changed.map(table), statements);
}
