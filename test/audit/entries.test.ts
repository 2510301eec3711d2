/** What a change leaves in the log: before and after of the fields that differ, written with the change. */
import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { tenantStatement } from '../../functions/database/session/tenant-sql.ts';
import { recordUpdate } from '../../functions/tenant-data/audit-changes.ts';
import { audited } from '../../functions/tenant-data/audit-log.ts';
import { employees } from '../../functions/tenant-data/employees.ts';
import { updateOne } from '../../functions/tenant-data/resource-statements.ts';
import { AlertRuns, withThresholds } from '../alerts/alert-runs.ts';
import { asTenant, enterTenant, until } from '../enter-tenant.ts';
import type { Model } from '../isolation/tenant-world.ts';
import { ADMIN, MODELS, newEmployee, TenantRequests } from '../request/tenant-requests.ts';

let api: TenantRequests;
beforeAll(async () => {
  api = await TenantRequests.start();
});
afterAll(() => api?.world.end());

interface LoggedEntry {
  readonly action: string;
  readonly actor: string;
  readonly resource_id: string;
  readonly response_status: number;
  readonly request_data: Record<string, unknown> | null;
  readonly changes: Record<string, Record<string, unknown>> | null;
}

async function entriesOf(model: Model, id: string): Promise<LoggedEntry[]> {
  const tenant = api.tenant(model);
  const client = await tenant.database.connect(tenant.login);
  const { rows } = await asTenant(client, tenant, 'read', () =>
    client.query<LoggedEntry>(
      `SELECT action, actor, resource_id, response_status, request_data, changes FROM audit_log
       WHERE resource_id = $1 ORDER BY created_at, log_id`,
      [id],
    ),
  );
  await client.end();
  return rows;
}

describe.each(MODELS)('in %s', (model) => {
  const patch = (employeeId: string, body: object) =>
    api.call(model, 'PATCH /employees/{employeeId}', { pathParameters: { employeeId }, body });

  test('a creation has the new values, an update what differs, a deletion the old values', async () => {
    const employee = newEmployee();
    const id = await api.addEmployee(model, { ...employee, profileData: { a: [1.5, null] } });
    await patch(id, { jobTitle: 'Chemist', firstName: employee.firstName, hireDate: '2026-02-03' });
    await patch(id, { jobTitle: null, profileData: { a: 2 } });
    await api.call(model, 'DELETE /employees/{employeeId}', { pathParameters: { employeeId: id } });
    const [created, updated, cleared, deleted] = await entriesOf(model, id);
    const kept = { employeeId: id, ...employee, status: 'active' };
    expect(created).toMatchObject({
      action: 'employee.create',
      actor: `user:${ADMIN}`,
      response_status: 201,
    });
    expect(created!.changes).toEqual({ after: { ...kept, profileData: { a: [1.5, null] } } });
    expect(updated).toMatchObject({ action: 'employee.update', response_status: 200 });
    expect(updated!.changes).toEqual({
      before: { jobTitle: null, hireDate: null },
      after: { jobTitle: 'Chemist', hireDate: '2026-02-03' },
    });
    expect(cleared!.changes).toEqual({
      before: { jobTitle: 'Chemist', profileData: { a: [1.5, null] } },
      after: { jobTitle: null, profileData: { a: 2 } },
    });
    expect(deleted).toMatchObject({ action: 'employee.delete', response_status: 204, request_data: null });
    expect(deleted!.changes).toEqual({ before: { ...kept, hireDate: '2026-02-03', profileData: { a: 2 } } });
  });

  test('members of teams and skills of employees have theirs', async () => {
    const employeeId = await api.addEmployee(model);
    const team = await api.call(model, 'POST /teams', { body: { teamName: 'Lab' } });
    const { teamId } = team.body;
    const route = '/teams/{teamId}/members';
    await api.call(model, `POST ${route}`, {
      pathParameters: { teamId },
      body: { employeeId, role: 'lead' },
    });
    const pathParameters = { teamId, employeeId };
    await api.call(model, `PATCH ${route}/{employeeId}`, { pathParameters, body: { role: 'member' } });
    await api.call(model, `DELETE ${route}/{employeeId}`, { pathParameters });
    const logged = (await entriesOf(model, employeeId)).filter(({ action }) =>
      action.startsWith('team_member'),
    );
    expect(
      logged.map(({ action, changes }) => [action, changes?.before?.role, changes?.after?.role]),
    ).toEqual([
      ['team_member.create', undefined, 'lead'],
      ['team_member.update', 'lead', 'member'],
      ['team_member.delete', 'member', undefined],
    ]);
  });

  test('above 16 KB there are hashes instead of the values', async () => {
    const id = await api.addEmployee(model, { profileData: { text: 'x'.repeat(9_000) } });
    await patch(id, { jobTitle: 'Chemist', profileData: { text: 'y'.repeat(9_000) } });
    const [created, updated] = await entriesOf(model, id);
    expect(created!.changes).toHaveProperty('after');
    const hash = (text: string) => createHash('sha256').update(text).digest('hex');
    expect(updated!.changes).toEqual({
      beforeSha256: { jobTitle: hash('null'), profileData: hash(`{"text": "${'x'.repeat(9_000)}"}`) },
      afterSha256: { jobTitle: hash('"Chemist"'), profileData: hash(`{"text": "${'y'.repeat(9_000)}"}`) },
    });
  });

  test('secret and encrypted values are redacted, also in the request', async () => {
    const id = await api.addEmployee(model);
    const tenant = api.tenant(model);
    const values = { ssn_encrypted: Buffer.from('ciphertext'), salary_encrypted: null, job_title: 'Chemist' };
    const key = { employee_id: id };
    const actor = {
      kind: 'user' as const,
      userId: undefined,
      name: ADMIN,
      role: 'admin' as const,
      ipAddress: '10.0.0.1',
      userAgent: 'test',
    };
    const entry = {
      action: 'employee.update',
      resourceType: 'employee',
      resourceId: id,
      requestData: { ...values, ssn: '078-05-1120', nested: { salary: 1_000 } },
      responseStatus: 200,
    };
    const { resource } = employees;
    const statement = () =>
      audited(updateOne(resource, key, values, 'before'), actor, entry, recordUpdate(resource, key, values));
    await tenant.access.batch('write', [statement()]);
    await tenant.access.batch('write', [statement()]);
    const [, first, second] = await entriesOf(model, id);
    expect(first!.changes).toEqual({
      before: { ssn: null, salary: null, jobTitle: null },
      after: { ssn: '***', salary: null, jobTitle: 'Chemist' },
    });
    expect(second!.changes).toEqual({
      before: { ssn: '***', salary: null },
      after: { ssn: '***', salary: null },
    });
    expect(first!.request_data).toEqual({
      ssn_encrypted: '***',
      salary_encrypted: null,
      job_title: 'Chemist',
      ssn: '***',
      nested: { salary: '***' },
    });
  });

  test('of concurrent updates each has the values that the one before has left', async () => {
    const id = await api.addEmployee(model, { jobTitle: '0' });
    const titles = Array.from({ length: 12 }, (_, n) => String(n + 1));
    const answers = await Promise.all(titles.map((jobTitle) => patch(id, { jobTitle })));
    expect(answers.map(({ status }) => status)).toEqual(titles.map(() => 200));
    const [, ...updates] = await entriesOf(model, id);
    const steps = new Map(
      updates.map(({ changes }) => [changes!.before!.jobTitle, changes!.after!.jobTitle]),
    );
    // From the first title every step leads to the next, without a fork or a gap.
    const line: unknown[] = ['0'];
    while (steps.has(line.at(-1))) line.push(steps.get(line.at(-1)));
    expect(line).toHaveLength(titles.length + 1);
    const { body } = await api.call(model, 'GET /employees/{employeeId}', {
      pathParameters: { employeeId: id },
    });
    expect(line.at(-1)).toBe(body.jobTitle);
  });

  test('an update that waited for another one’s lock starts from that one’s values', async () => {
    const id = await api.addEmployee(model, { jobTitle: 'first' });
    const tenant = api.tenant(model);
    const client = await tenant.database.connect(tenant.login);
    const superuser = await tenant.database.connect('superuser');
    await enterTenant(client, tenant, 'write');
    await client.query(`UPDATE employees SET job_title = 'second' WHERE employee_id = $1`, [id]);
    const waiting = patch(id, { jobTitle: 'third' });
    const { processID } = client as unknown as { processID: number };
    await until(async () => {
      const { rows } = await superuser.query(
        'SELECT FROM pg_stat_activity WHERE $1 = ANY (pg_blocking_pids(pid))',
        [processID],
      );
      return rows.length > 0;
    });
    await client.query('COMMIT');
    expect((await waiting).status).toBe(200);
    await Promise.all([client.end(), superuser.end()]);
    expect((await entriesOf(model, id)).at(-1)!.changes).toEqual({
      before: { jobTitle: 'second' },
      after: { jobTitle: 'third' },
    });
  });

  test('tables without the column get entries without it', async () => {
    const id = await api.addEmployee(model);
    const { compileOnTarget } = await import('../../functions/database/session/statement-on-target.ts');
    const { resource } = employees;
    const values = { job_title: 'Chemist' };
    const key = { employee_id: id };
    const statement = audited<object>(
      updateOne(resource, key, values, 'before'),
      {
        kind: 'user',
        userId: undefined,
        name: ADMIN,
        role: 'admin',
        ipAddress: undefined,
        userAgent: undefined,
      },
      {
        action: 'employee.update',
        resourceType: 'employee',
        resourceId: id,
        requestData: values,
        responseStatus: 200,
      },
      recordUpdate(resource, key, values),
    );
    const { sql, parameters } = compileOnTarget(statement, 3);
    expect(sql).not.toContain('changes');
    const fixed = { compile: () => ({ sql, parameters }) } as unknown as ReturnType<
      typeof tenantStatement<object>
    >;
    const [rows] = await api.tenant(model).access.batch('write', [fixed]);
    expect(rows).toMatchObject([{ job_title: 'Chemist' }]);
    expect((await entriesOf(model, id)).at(-1)).toMatchObject({ changes: null, request_data: values });
  });
});

test('alert access-volume: one user who changes many times what the tenant’s users change on a usual day', async () => {
  const { tenantId, schemaName, database } = api.tenant('schema');
  const superuser = await database.connect('superuser');
  const daysPass = (days: number) =>
    superuser.query(
      `UPDATE ${schemaName}.audit_log SET created_at = created_at - make_interval(days => $1)`,
      [days],
    );
  const alerts = new AlertRuns(api.world.registry, { surveysDatabases: true });
  const run = withThresholds('access', { changesADay: 12 });
  const change = async (times: number) => {
    for (let n = 0; n < times; n++) await api.addEmployee('schema');
  };
  // What other tests did is no usual day.
  await daysPass(60);
  await change(12);
  await alerts.run(run);
  // A new tenant, which imports its data.
  expect(await alerts.alerts(tenantId)).toEqual([]);
  await daysPass(60);
  for (let day = 0; day < 3; day++) {
    await change(2);
    await daysPass(1);
  }
  await change(12);
  const alert = await alerts.opensOnceAndEnds({
    about: tenantId,
    kind: 'access-volume',
    run,
    end: () => daysPass(1),
  });
  // The id, and not the address.
  const actor = expect.stringMatching(/^[0-9a-f-]{36}$/);
  expect(alert.details).toEqual({ actor, changes: 12, usualOnADay: 2 });
  await superuser.end();
});
