/** Rows that take each other's place in unique and partial unique indexes while a reshape copies them. */
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { asTenant } from '../enter-tenant.ts';
import { TestDatabase, type TestTenant } from '../test-database.ts';
import { arrivalIn, hopOf, placeOf, StepLog, startHopWorld } from './hop-world.ts';
import type { LocalSecrets } from './local-secrets.ts';
import { reshapeSteps } from './reshape-steps.ts';

let database: TestDatabase;
let secrets: LocalSecrets;
let superuser: pg.Client;
beforeAll(async () => {
  database = await TestDatabase.clone();
  secrets = await startHopWorld();
  superuser = await database.connect('superuser');
});
afterAll(async () => {
  await database.drop();
  await secrets.stop();
});

const id = (n: number) => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`;
const RESULT = `INSERT INTO assessment_results (result_id, assessment_id, employee_id, status, completed_at)`;

async function write(client: pg.Client, tenant: TestTenant, ...statements: string[]): Promise<void> {
  await asTenant(client, tenant, 'write', async () => {
    for (const statement of statements) await client.query(statement);
  });
}

describe.each(['shared', 'schema'] as const)('from %s', (model) => {
  test('open results and versions that change hands arrive as they are at the source', async () => {
    const tenant = await database.addTenant(model);
    const client = await database.connect(tenant.login);
    await write(
      client,
      tenant,
      `INSERT INTO employees (employee_id, email, first_name, last_name) VALUES ('${id(1)}', 'a@b.test', 'A', 'B')`,
      `INSERT INTO assessments (assessment_id, assessment_name) VALUES ('${id(2)}', 'A')`,
      `${RESULT} VALUES ('${id(11)}', '${id(2)}', '${id(1)}', 'in_progress', NULL),
        ('${id(12)}', '${id(2)}', '${id(1)}', 'completed', now()), ('${id(13)}', '${id(2)}', '${id(1)}', 'abandoned', NULL)`,
      `INSERT INTO skills_frameworks (framework_id, framework_name, version)
       VALUES ('${id(21)}', 'F', '1'), ('${id(22)}', 'F', '2'), ('${id(23)}', 'F', NULL), ('${id(24)}', 'G', NULL)`,
    );
    const { tenantId } = tenant;
    const to = model === 'shared' ? 'schema' : 'shared';
    const target = await arrivalIn(database, secrets, to, { tenantId, epoch: 2 });
    const log = new StepLog(hopOf('reshape', tenantId, placeOf(database, tenant), target));
    /** Every row takes the place of another one. */
    const rotate = [
      `UPDATE assessment_results SET status = 'completed', completed_at = now() WHERE status = 'in_progress'`,
      `${RESULT} VALUES (gen_random_uuid(), '${id(2)}', '${id(1)}', 'in_progress', NULL)`,
      `DELETE FROM assessment_results WHERE result_id = '${id(13)}'`,
      `UPDATE skills_frameworks SET version = 'x' WHERE framework_id = '${id(21)}'`,
      `UPDATE skills_frameworks SET version = CASE version WHEN '1' THEN '2' ELSE '1' END WHERE framework_id = '${id(22)}'`,
      `UPDATE skills_frameworks SET version = CASE (SELECT version FROM skills_frameworks WHERE framework_id = '${id(22)}')
         WHEN '1' THEN '2' ELSE '1' END WHERE framework_id = '${id(21)}'`,
      `UPDATE skills_frameworks SET framework_name = 'H' WHERE framework_id = '${id(23)}'`,
      `UPDATE skills_frameworks SET framework_name = CASE framework_name WHEN 'F' THEN 'G' ELSE 'F' END
       WHERE framework_id = '${id(24)}'`,
      `UPDATE skills_frameworks SET framework_name = CASE (SELECT framework_name FROM skills_frameworks
         WHERE framework_id = '${id(24)}') WHEN 'F' THEN 'G' ELSE 'F' END WHERE framework_id = '${id(23)}'`,
    ];
    for (const step of ['prepare', 'copy', 'index', 'catch-up'] as const) {
      await log.run(reshapeSteps[step]);
      await write(client, tenant, ...rotate);
    }
    // A round that has an open result replaced by the next one, as the one before the fence.
    await log.run(reshapeSteps['catch-up']);
    await write(client, tenant, ...rotate);
    const rows = async (schema: string, isShared: boolean) => {
      const own = isShared ? `WHERE tenant_id = '${tenantId}'` : '';
      const results = `SELECT result_id::text, status, completed_at FROM ${schema}.assessment_results ${own} ORDER BY 1`;
      const versions = `SELECT framework_id::text, framework_name, version FROM ${schema}.skills_frameworks ${own} ORDER BY 1`;
      return [(await superuser.query(results)).rows, (await superuser.query(versions)).rows];
    };
    const source = await rows(tenant.schemaName, model === 'shared');
    expect(source[0]).toHaveLength(2 + 5);
    await log.run(reshapeSteps['cut-over']);
    expect(await rows(target.schemaName, to === 'shared')).toEqual(source);
  });
});
