/** What tests of the audit log do with a tenant's tables, past the API. */
import { sql } from 'kysely';
import type pg from 'pg';
import type { Tier } from '../../functions/contracts/tenant.ts';
import { qualified } from '../../functions/database/ddl/identifier.ts';
import { tenantStatement } from '../../functions/database/session/tenant-sql.ts';
import { chainTables, entryLine, sealHash, sha256 } from '../../functions/tenant-data/audit-chain.ts';
import { type VerifiedPage, verifyPage } from '../../functions/tenant-data/verify-chain.ts';
import { run, type SealOptions, sealEntries } from '../../functions/upkeep/seal-entries.ts';
import { readTenant } from '../../functions/upkeep/unmoved-tenant.ts';
import { asTenant } from '../enter-tenant.ts';
import type { TestDatabase, TestTenant } from '../test-database.ts';

export const TIERS = { shared: 'starter', schema: 'business', dedicated: 'enterprise' } as const;

export interface Entry {
  readonly log_id: string;
  readonly [column: string]: unknown;
}

/** A tenant of a test database, its owner and a superuser. */
export class AuditedTenant {
  readonly tenant: TestTenant;
  readonly owner: pg.Client;
  readonly superuser: pg.Client;
  readonly database: TestDatabase;

  private constructor(database: TestDatabase, tenant: TestTenant, owner: pg.Client, superuser: pg.Client) {
    this.database = database;
    this.tenant = tenant;
    this.owner = owner;
    this.superuser = superuser;
  }

  static async in(database: TestDatabase, tenant: TestTenant): Promise<AuditedTenant> {
    return new AuditedTenant(
      database,
      tenant,
      await database.connect('owner'),
      await database.connect('superuser'),
    );
  }

  get tier(): Tier {
    return TIERS[this.tenant.isolationModel];
  }

  table(name: 'audit_log' | 'audit_seals'): string {
    return qualified(this.tenant.schemaName, name);
  }

  /** SQL that is true of the tenant's rows, for the superuser. */
  get own(): string {
    return this.tenant.isolationModel === 'shared' ? `tenant_id = '${this.tenant.tenantId}'` : 'true';
  }

  /** Appends entries as requests do, and makes them older than what is sealed. */
  async append(count: number, minutesOld = 30): Promise<void> {
    const client = await this.database.connect(this.tenant.login);
    await asTenant(client, this.tenant, 'write', () =>
      client.query(
        `INSERT INTO audit_log (actor, action, resource_type, resource_id, ip_address, user_agent, request_data,
                                response_status, created_at, changes)
         SELECT 'user:ada@tenant.test', 'employee.update', 'employee', gen_random_uuid(), '10.1.2.3', 'a test',
                jsonb_build_object('zeta', n, 'a', 1.50), 200,
                now() - make_interval(mins => $2) + make_interval(secs => n / 1000.0),
                '{"before": {"jobTitle": "Chemist"}, "after": {"jobTitle": "Physicist"}}'
         FROM generate_series(1, $1) AS n`,
        [count, minutesOld],
      ),
    );
    await client.end();
  }

  seal(options: Partial<SealOptions> = {}, as = this.owner) {
    const { tenantId } = this.tenant;
    return sealEntries(
      as,
      { tenantId, tier: this.tier },
      { deadline: performance.now() + 30_000, ...options },
    );
  }

  /** The whole chain, page after page. @param entries of a page */
  async verify(entries?: number): Promise<VerifiedPage & { pages: number }> {
    let sums: VerifiedPage | undefined;
    for (let pages = 1; ; pages++) {
      const page = await readTenant(this.owner, this.tenant.tenantId, ({ schema_name: schema }) =>
        verifyPage({
          tenantId: this.tenant.tenantId,
          tables: chainTables(schema),
          after: sums?.through ?? 0,
          query: (statement) => run(this.owner, statement),
          ...(entries === undefined ? {} : { entries }),
        }),
      );
      sums = {
        ...page,
        seals: (sums?.seals ?? 0) + page.seals,
        entries: (sums?.entries ?? 0) + page.entries,
        expired: (sums?.expired ?? 0) + page.expired,
      };
      if (page.done) return { ...sums, pages };
    }
  }

  /** As superuser, oldest first. */
  async entries(): Promise<Entry[]> {
    const { rows } = await this.superuser.query<Entry>(
      `SELECT * FROM ${this.table('audit_log')} WHERE ${this.own} ORDER BY created_at, log_id`,
    );
    return rows;
  }

  async seals(): Promise<
    { sequence: number; hash: string; entry_count: number; retention_months: number }[]
  > {
    const { rows } = await this.superuser.query(
      `SELECT sequence, hash, entry_count, retention_months FROM ${this.table('audit_seals')}
       WHERE ${this.own} ORDER BY sequence`,
    );
    return rows;
  }

  /** Changes the tables as somebody who is above all policies. @param sql with `LOG`, `SEALS` and `OWN` for the tenant's */
  async tamper(sql: string, values: unknown[] = []): Promise<void> {
    const text = sql
      .replaceAll('LOG', this.table('audit_log'))
      .replaceAll('SEALS', this.table('audit_seals'))
      .replaceAll('OWN', this.own);
    const { rowCount } = await this.superuser.query(text, values);
    if (rowCount === 0) throw new Error(`changed nothing: ${sql}`);
  }

  /** Replaces a seal's lines and recomputes its root and its hash, as an attacker would who knows this code. */
  async rewriteSeal(
    sequence: number,
    change: (lines: string[]) => string[],
    previousHash?: string,
  ): Promise<string> {
    const time = (column: string) =>
      `to_char(${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS ${column}`;
    const { rows } = await this.superuser.query(
      `SELECT format, previous_hash, entries, retention_months, ${time('sealed_until')}, ${time('created_at')}
       FROM ${this.table('audit_seals')} WHERE sequence = $1 AND ${this.own}`,
      [sequence],
    );
    const [old] = rows;
    const lines = change(old.entries.split('\n'));
    const entries = lines.join('\n');
    const root = sha256(entries);
    const hash = sealHash(this.tenant.tenantId, {
      sequence,
      format: old.format,
      previousHash: previousHash ?? old.previous_hash,
      entryCount: lines.length,
      root,
      sealedUntil: old.sealed_until,
      retentionMonths: old.retention_months,
      createdAt: old.created_at,
    });
    await this.tamper(
      `UPDATE SEALS SET entries = $2, entry_count = $3, root = $4, hash = $5, previous_hash = $6 WHERE sequence = $1 AND OWN`,
      [sequence, entries, lines.length, root, hash, previousHash ?? old.previous_hash],
    );
    return hash;
  }

  /** Appends a seal of one entry with right hashes, as an attacker would who knows this code. */
  async forgeSeal(logId: string): Promise<void> {
    const last = (await this.seals()).at(-1)!;
    const { rows } = await this.superuser.query(
      `SELECT * FROM ${this.table('audit_seals')} WHERE sequence = $1 AND ${this.own}`,
      [last.sequence],
    );
    const forged = { ...rows[0], sequence: last.sequence + 1 };
    const names = Object.keys(forged);
    await this.superuser.query(
      `INSERT INTO ${this.table('audit_seals')} (${names.join(', ')})
       VALUES (${names.map((_, n) => `$${n + 1}`).join(', ')})`,
      names.map((name) => forged[name]),
    );
    const [line] = await readTenant(this.owner, this.tenant.tenantId, ({ schema_name: schema }) =>
      run(
        this.owner,
        tenantStatement(
          sql<{ line: string }>`SELECT ${entryLine('a')} AS line FROM ${chainTables(schema).log} a
            WHERE log_id = ${logId}::uuid`,
        ),
      ),
    );
    await this.rewriteSeal(last.sequence + 1, () => [line!.line], last.hash);
  }
}
