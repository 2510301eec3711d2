import type pg from 'pg';
import { qualified } from '../../../functions/database/ddl/identifier.ts';

/**
 * Fills a tenant's tables with about `rows` rows, distributed as in a skills product: one in 14 is an employee, most
 * are skills of employees, results of assessments and the audit log. A million rows are about 470 MB with their indexes.
 * @param schema whose tables; the shared ones take the rows for the tenant that the transaction entered.
 */
export async function insertBulkRows(
  client: pg.ClientBase,
  schema: string,
  rows: number,
  tenantId?: string,
): Promise<void> {
  const table = (name: string) => qualified(schema, name);
  // The shared variant fills the tenant in by itself for who has entered one; a superuser has not.
  const column = tenantId ? 'tenant_id, ' : '';
  const value = tenantId ? `'${tenantId}'::uuid, ` : '';
  const employees = Math.max(1, Math.round(rows / 14));
  const skills = Math.min(2_000, Math.max(5, Math.round(rows / 200)));
  const perEmployee = 5;
  const results = Math.round(employees * 3);
  const log = Math.max(0, rows - employees * (1 + perEmployee) - skills - results - 1);
  const id = (kind: string, n: string) => `md5('${kind}' || ${n} || '${tenantId ?? schema}')::uuid`;
  // Different in every row, as people's texts are: what repeats itself would compress better than real data does.
  const prose = (n: string, words: number) =>
    Array.from({ length: words }, (_, word) => `md5((${n})::text || '.${word}')`).join(` || ' ' || `);
  const statements = [
    `INSERT INTO ${table('skills')} (${column}skill_id, skill_name, skill_category, description)
     SELECT ${value}${id('skill', 'n')}, 'Skill ' || n, 'Category ' || n % 20, ${prose('n', 4)}
     FROM generate_series(1, ${skills}) n`,
    `INSERT INTO ${table('employees')}
       (${column}employee_id, email, first_name, last_name, job_title, department, manager_id, hire_date, profile_data)
     SELECT ${value}${id('employee', 'n')}, 'employee' || n || '@example.test', 'Ada' || n % 100, 'Lovelace' || n % 1000,
            'Engineer ' || n % 50, 'Department ' || n % 30,
            CASE WHEN n > 10 THEN ${id('employee', '(n / 10)')} END, date '2015-01-01' + n % 3000,
            jsonb_build_object('location', 'City ' || n % 40, 'remote', n % 3 = 0, 'notes', ${prose('n', 8)})
     FROM generate_series(1, ${employees}) n`,
    `INSERT INTO ${table('employee_skills')}
       (${column}employee_id, skill_id, proficiency_level, years_of_experience, verified)
     SELECT ${value}${id('employee', 'n')}, ${id('skill', `(1 + (n * 7 + k * 13) % ${skills})`)}, 'advanced', k, k % 2 = 0
     FROM generate_series(1, ${employees}) n, generate_series(1, ${perEmployee}) k ON CONFLICT DO NOTHING`,
    `INSERT INTO ${table('assessments')} (${column}assessment_id, assessment_name, assessment_type)
     VALUES (${value}${id('assessment', "'1'")}, 'Yearly assessment', 'skills')`,
    `INSERT INTO ${table('assessment_results')}
       (${column}result_id, assessment_id, employee_id, status, completed_at, score, answers, results_data)
     SELECT ${value}${id('result', 'n')}, ${id('assessment', "'1'")}, ${id('employee', `(1 + n % ${employees})`)}, 'completed',
            now(), n % 100, jsonb_build_object('answers', ${prose('n * 3', 12)}), jsonb_build_object('level', n % 5)
     FROM generate_series(1, ${results}) n`,
    `INSERT INTO ${table('audit_log')}
       (${column}log_id, actor, action, resource_type, resource_id, user_agent, request_data, response_status, created_at)
     SELECT ${value}${id('log', 'n')}, 'admin@example.test', 'employee.update', 'employee', ${id('employee', `(1 + n % ${employees})`)},
            'Mozilla/5.0 (X11; Linux x86_64)', jsonb_build_object('changed', ${prose('n', 5)}), 200,
            date_trunc('month', now()) + n * interval '1 second' / 1000
     FROM generate_series(1, ${log}) n`,
  ];
  for (const statement of statements) await client.query(statement);
}
