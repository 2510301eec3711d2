import pg from 'pg';
import { DatabasePools } from '../../functions/database/session/pools.ts';
import { type Access, runTenantBatch } from '../../functions/database/session/tenant-session.ts';
import type { Statement } from '../../functions/database/session/tenant-sql.ts';
import { tenantSql } from '../../functions/database/session/tenant-sql.ts';
import { employees } from '../../functions/tenant-data/employees.ts';
import { selectOne } from '../../functions/tenant-data/resource-statements.ts';
import { type BenchDatabase, type BenchTenant, benchCredentials, PASSWORD } from './bench-server.ts';
import { inTurn } from './in-turn.ts';
import type { Contestants } from './interleave.ts';

/** `sequential` is the textbook's way: BEGIN, SELECT set_config, the query, COMMIT, each awaited. */
export type Way = 'raw' | 'session' | 'fallback' | 'sequential';

/** A tenant of one model, and where its rows are for those who do not ask `tenancy.enter`. */
export interface Subject {
  readonly database: BenchDatabase;
  readonly tenant: BenchTenant;
  readonly raw: { readonly user: string; readonly password: string; readonly table: string };
  readonly sequential: { readonly user: string; readonly table: string; readonly setting: [string, string] };
}

const COLUMNS = employees.resource.columns.map((column) => `"${column}"`).join(', ');

export function subject(database: BenchDatabase, tenant: BenchTenant): Subject {
  const { schemaName, roleName, tenantId } = tenant;
  if (schemaName !== 'shared') {
    return {
      database,
      tenant,
      raw: { user: roleName, password: PASSWORD, table: `${schemaName}.employees` },
      sequential: { user: roleName, table: 'employees', setting: ['search_path', schemaName] },
    };
  }
  return {
    database,
    tenant,
    // Past the policies: a superuser's query with the tenant in its WHERE clause.
    raw: { ...database.server.superuser, table: 'shared.employees' },
    sequential: {
      user: roleName,
      table: 'textbook.employees',
      setting: ['app.current_tenant', tenantId],
    },
  };
}

/** The shared table with the policy that textbooks give: it compares with a setting. */
export async function createTextbookTable({ superuser }: BenchDatabase): Promise<void> {
  await superuser.query(`
    CREATE SCHEMA textbook;
    CREATE TABLE textbook.employees (LIKE shared.employees INCLUDING ALL);
    INSERT INTO textbook.employees SELECT * FROM shared.employees;
    ALTER TABLE textbook.employees ENABLE ROW LEVEL SECURITY;
    CREATE POLICY tenant ON textbook.employees
      USING (tenant_id = current_setting('app.current_tenant')::uuid)
      WITH CHECK (tenant_id = current_setting('app.current_tenant')::uuid);
    GRANT USAGE ON SCHEMA textbook TO strata_starter;
    GRANT SELECT, UPDATE ON textbook.employees TO strata_starter;
    ANALYZE textbook.employees`);
}

/** The ways to read, or to update, one employee by primary key over connections to `port`; all of one kind, with TLS. */
export class SessionContestants {
  readonly #subject: Subject;
  readonly #port: number;
  readonly #pipelining = new DatabasePools(benchCredentials, { cap: 40, pipeline: true });
  readonly #plain = new DatabasePools(benchCredentials, { cap: 40, pipeline: false });
  readonly #raw: pg.Pool;
  readonly #sequential: pg.Pool;

  constructor(subject: Subject, port: number) {
    this.#subject = subject;
    this.#port = port;
    this.#raw = this.#pool(subject.raw.user, subject.raw.password);
    this.#sequential = this.#pool(subject.sequential.user, PASSWORD);
  }

  contestants(access: Access, ids: readonly string[]): Contestants<Way> {
    const { tenant, raw, sequential } = this.#subject;
    const id = inTurn(ids);
    const statement = inTurn(ids.map((employeeId) => this.#statement(access, employeeId)));
    const inShared = tenant.schemaName === 'shared';
    const rawText = textOf(access, raw.table, inShared);
    const sequentialText = textOf(access, sequential.table, false);
    const session = (pools: DatabasePools) =>
      runTenantBatch(
        pools,
        this.#subject.database.address(tenant, this.#port),
        { tenantId: tenant.tenantId, epoch: 1 },
        access,
        [statement()],
      );
    return {
      raw: () => this.#raw.query(rawText, inShared ? [id(), tenant.tenantId] : [id()]),
      session: () => session(this.#pipelining),
      fallback: () => session(this.#plain),
      sequential: async () => {
        const client = await this.#sequential.connect();
        await client.query('BEGIN');
        await client.query('SELECT set_config($1, $2, true)', sequential.setting);
        await client.query(sequentialText, [id()]);
        await client.query('COMMIT');
        client.release();
      },
    };
  }

  async end(): Promise<void> {
    await Promise.all([this.#pipelining, this.#plain, this.#raw, this.#sequential].map((pool) => pool.end()));
  }

  #statement(access: Access, employeeId: string): Statement<unknown> {
    if (access === 'read') return selectOne(employees.resource, { employee_id: employeeId });
    return tenantSql
      .updateTable('employees')
      .set({ job_title: 'Engineer' })
      .where('employee_id', '=', employeeId)
      .returning('job_title');
  }

  #pool(user: string, password: string): pg.Pool {
    return new pg.Pool({
      host: '127.0.0.1',
      port: this.#port,
      database: this.#subject.database.name,
      user,
      password,
      ssl: { rejectUnauthorized: true, minVersion: 'TLSv1.2' },
      idleTimeoutMillis: 30_000,
      connectionTimeoutMillis: 5_000,
    });
  }
}

function textOf(access: Access, table: string, namesTenant: boolean): string {
  const condition = `WHERE employee_id = $1${namesTenant ? ' AND tenant_id = $2' : ''}`;
  return access === 'read'
    ? `SELECT ${COLUMNS} FROM ${table} ${condition}`
    : `UPDATE ${table} SET job_title = 'Engineer' ${condition} RETURNING job_title`;
}
