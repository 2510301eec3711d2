/**
 * The rules about databases, cells and access: an alert opens once over several runs, is published once, and ends with its
 * condition. Entries of audit logs are inserted here; test/platform/alerts.test.ts has those of requests.
 */
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { THRESHOLDS } from '../../functions/alerts/thresholds.ts';
import type { IsolationModel } from '../../functions/contracts/tenant.ts';
import { claimTenant } from '../../functions/database/transfer/claim.ts';
import { lowerAbandonedFence, raiseFence } from '../../functions/database/transfer/fence.ts';
import { meterTenants } from '../../functions/metering/meter-tenants.ts';
import { keepChains } from '../../functions/upkeep/audit-chains.ts';
import { AuditedTenant } from '../audit/audited-tenant.ts';
import { startLocalBucket } from '../backup/local-bucket.ts';
import { asTenant, until } from '../enter-tenant.ts';
import { sampled } from '../full-run.ts';
import type { TestTenant } from '../test-database.ts';
import { withThresholds } from './alert-runs.ts';
import { AlertWorld } from './alert-world.ts';

let world: AlertWorld;
beforeAll(async () => {
  world = await AlertWorld.create();
});
afterAll(() => world?.drop());
beforeEach(() => {
  world.notices.length = 0;
});

const update = (sql: string, parameters: Record<string, string | number>) =>
  world.registry.query(sql, parameters);

describe('sizes, connections and statements', () => {
  test('alert database-size: a schema that grows beyond 80 % of its tenant’s storage, until the limit is raised', async () => {
    const tenant = await world.metered.addTenant('schema', 'us-1', { maxStorageGb: 1 });
    const bytes = async () => {
      const { databases } = await world.survey(THRESHOLDS);
      const roles = databases.flatMap(({ observation }) => observation.tenantRoles);
      return roles.find(({ tenantId }) => tenantId === tenant.tenantId)!.bytes!;
    };
    // One GB would take the test minutes: the same rule with a smaller share of it.
    const raise = ((await bytes()) * 1.25) / 1024 ** 3;
    const run = withThresholds('storage', { raise, clear: raise * 0.9 });
    await world.run(run);
    expect(await world.alerts(tenant.tenantId, 'database-size')).toEqual([]);
    await world.metered.hire(tenant, 2_000);
    const alert = await world.opensOnceAndEnds({
      about: tenant.tenantId,
      kind: 'database-size',
      run,
      end: () =>
        update('UPDATE tenants SET max_storage_gb = 10 WHERE tenant_id = :id::uuid', { id: tenant.tenantId }),
    });
    expect(alert.details).toMatchObject({ tier: 'business', limitBytes: 1024 ** 3 });
    expect(alert.details.storageBytes).toBeGreaterThan(raise * 1024 ** 3);
  });

  test('alert database-size: a Starter tenant, whose rows the daily sample has counted', async () => {
    const tenant = await world.metered.addTenant('shared', 'us-1', { maxStorageGb: 1 });
    const { tenantId } = tenant;
    await world.metered.hire(tenant, 100);
    await meterTenants(world.registry, {
      region: 'us',
      day: new Date().toISOString().slice(0, 10),
      deadline: performance.now() + 30_000,
      connect: world.metered.connect,
      onSkipped: ({ error }) => {
        throw error;
      },
    });
    const [sample] = await world.metered.samples(tenantId);
    const share = Number(sample!.storage_bytes) / 1024 ** 3;
    const at = (raise: number, clear: number) =>
      withThresholds('storage', { raise: share * raise, clear: share * clear });
    await world.run(at(1.01, 0.9));
    // Between the two shares an alert is kept, and none opens.
    expect(await world.alerts(tenantId, 'database-size')).toEqual([]);
    await world.run(at(0.99, 0.9));
    const alert = await world.opensOnceAndEnds({
      about: tenantId,
      kind: 'database-size',
      run: at(1.01, 0.9),
      end: () =>
        update('UPDATE tenants SET max_storage_gb = 10 WHERE tenant_id = :id::uuid', { id: tenantId }),
    });
    expect(alert.details).toEqual({
      tier: 'starter',
      storageBytes: sample!.storage_bytes,
      limitBytes: 1024 ** 3,
    });
  });

  test('alert connections-exhausted: connections of a tenant’s role up to its CONNECTION LIMIT', async () => {
    const tenant = await world.metered.addTenant('schema', 'us-1');
    const held: pg.Client[] = [];
    for (let n = 0; n < 18; n++) held.push(await world.metered.database('us-1').connect(tenant.login));
    const alert = await world.opensOnceAndEnds({
      about: tenant.tenantId,
      kind: 'connections-exhausted',
      end: async () => {
        await Promise.all(held.map((client) => client.end()));
        const owner = await world.metered.database('us-1').connect('owner');
        await until(async () => {
          const { rows } = await owner.query('SELECT FROM pg_stat_activity WHERE usename = $1', [
            tenant.login.user,
          ]);
          return rows.length === 0;
        });
      },
    });
    expect(alert).toMatchObject({ severity: 'critical', cellId: 'us-1' });
    expect(alert.details).toMatchObject({ used: 18, limit: 20, role: tenant.login.user });
  });

  test('alert query-degradation: a statement that takes much longer than it usually does', async () => {
    const tenant = await world.metered.addTenant('schema', 'us-1');
    const client = await world.metered.database('us-1').connect(tenant.login);
    const runs = async (times: number, seconds: number) => {
      for (let n = 0; n < times; n++) await client.query(`SELECT pg_sleep(${seconds})`);
    };
    const run = withThresholds('queries', { atLeastMs: 20, callsOfWindow: 5, callsOfBaseline: 20 });
    await runs(30, 0.001);
    await world.run(run);
    await runs(10, 0.001);
    await world.run(run);
    expect(await world.alerts(tenant.tenantId, 'query-degradation')).toEqual([]);
    await runs(6, 0.06);
    const alert = await world.opensOnceAndEnds({
      about: tenant.tenantId,
      kind: 'query-degradation',
      run,
      end: () => runs(10, 0.001),
    });
    expect(alert.details).toMatchObject({
      database: 'us-1',
      statements: [{ statement: 'SELECT pg_sleep($1)', meanMs: expect.any(Number) }],
    });
    const [{ meanMs, usualMs }] = alert.details.statements as [{ meanMs: number; usualMs: number }];
    expect(meanMs).toBeGreaterThanOrEqual(60);
    expect(usualMs).toBeLessThan(20);
  });
});

describe('unusual access', () => {
  /** Entries as requests write them. */
  async function log(tenant: TestTenant, entry: Record<string, string | null>, count: number, ago: string) {
    const client = await world.metered.home(tenant.tenantId).connect(tenant.login);
    await asTenant(client, tenant, 'write', () =>
      client.query(
        `INSERT INTO audit_log (user_id, actor, action, resource_type, response_status, created_at)
         SELECT $1::uuid, $2, $3, 'employee', $4::integer, now() - $5::interval - make_interval(secs => n / 10.0)
         FROM generate_series(1, $6::integer) n`,
        [entry.user ?? null, entry.actor, entry.action, entry.status ?? null, ago, count],
      ),
    );
    await client.end();
  }
  /** The entries become older than what a rule looks at. */
  const age = async (tenant: TestTenant, by: string) => {
    const superuser = await world.metered.home(tenant.tenantId).connect('superuser');
    await superuser.query(
      `UPDATE ${tenant.schemaName}.audit_log SET created_at = created_at - $1::interval
       ${tenant.isolationModel === 'shared' ? `WHERE tenant_id = '${tenant.tenantId}'` : ''}`,
      [by],
    );
    await superuser.end();
  };

  const models = sampled<IsolationModel[]>(['schema'], ['shared', 'schema']);
  test.each(models)('a burst of refusals of one user, in %s', async (model) => {
    const tenant = await world.metered.addTenant(model, 'us-1');
    const user = randomUUID();
    const refused = { user, actor: 'user:eve@tenant.test', action: 'request.refused' };
    await log(tenant, { ...refused, status: '404' }, 20, '10 minutes');
    await log(tenant, { ...refused, status: '412' }, 20, '5 minutes');
    // Another user's.
    await log(tenant, { ...refused, user: randomUUID(), status: '403' }, 20, '1 minute');
    await world.run();
    expect(await world.alerts(tenant.tenantId)).toEqual([]);
    await log(tenant, { ...refused, status: '403' }, 10, '1 minute');
    const alert = await world.opensOnceAndEnds({
      about: tenant.tenantId,
      kind: 'access-refused',
      end: () => age(tenant, '1 hour'),
    });
    // The id, and not the address.
    expect(alert.details).toEqual({ actor: user, refusals: 30 });
  });

  test('many requests of an operator, where that is not usual', async () => {
    const access = { actor: 'operator:op@strata.test', action: 'operator.access', status: '200' };
    const [quiet, usual] = [
      await world.metered.addTenant('shared', 'us-1'),
      await world.metered.addTenant('shared', 'us-1'),
    ];
    for (const days of [2, 3, 4]) await log(usual, access, 40, `${days} days`);
    for (const tenant of [quiet, usual]) await log(tenant, access, 55, '20 minutes');
    await world.run();
    expect(await world.alerts(usual.tenantId)).toEqual([]);
    await world.opensOnceAndEnds({
      about: quiet.tenantId,
      kind: 'access-operator',
      end: () => age(quiet, '1 hour'),
    });
  });

  test('an operator’s first access to a tenant that has encrypted fields', async () => {
    const tenant = await world.metered.addTenant('schema', 'us-1');
    const access = (actor: string) => ({ actor, action: 'operator.access', status: '200' });
    await log(tenant, access('operator:known@strata.test'), 1, '3 days');
    await log(tenant, access('operator:known@strata.test'), 1, '1 hour');
    await log(tenant, access('operator:new@strata.test'), 1, '1 hour');
    await world.run();
    expect(await world.alerts(tenant.tenantId)).toEqual([]);
    const client = await world.metered.database('us-1').connect(tenant.login);
    await asTenant(client, tenant, 'write', () =>
      client.query(
        `INSERT INTO employees (email, first_name, last_name, ssn_encrypted) VALUES ('a@b.test', 'A', 'B', '\\x01')`,
      ),
    );
    const alert = await world.opensOnceAndEnds({
      about: tenant.tenantId,
      kind: 'access-encrypted',
      end: () => age(tenant, '1 day'),
    });
    expect(alert.details).toEqual({ actor: 'operator:new@strata.test' });
  });

  test('alert audit-chain-broken: an audit log that was tampered with, until a verification finds it intact', async () => {
    const bucket = await startLocalBucket();
    const tenant = await world.metered.addTenant('schema', 'us-1');
    const audited = await AuditedTenant.in(world.metered.database('us-1'), tenant);
    const keep = (task: 'seal' | 'verify') =>
      keepChains(
        world.registry,
        audited.owner,
        { key: 'us-1' },
        {
          task,
          storeFor: () => bucket.store,
          deadline: performance.now() + 30_000,
          onBroken: () => {},
          onFailure: ({ error }) => {
            throw error;
          },
        },
      );
    await audited.append(10);
    await keep('seal');
    await keep('verify');
    await world.run();
    expect(await world.alerts(tenant.tenantId)).toEqual([]);
    const [entry] = await audited.entries();
    await audited.tamper(`UPDATE LOG SET action = 'employee.read' WHERE log_id = $1 AND OWN`, [
      entry!.log_id,
    ]);
    await keep('verify');
    const alert = await world.opensOnceAndEnds({
      about: tenant.tenantId,
      kind: 'audit-chain-broken',
      end: async () => {
        await audited.tamper(`UPDATE LOG SET action = 'employee.update' WHERE log_id = $1 AND OWN`, [
          entry!.log_id,
        ]);
        await keep('verify');
      },
    });
    expect(alert).toMatchObject({
      severity: 'critical',
      details: { firstBroken: { what: 'entry', how: 'altered', logId: entry!.log_id } },
    });
    await bucket.stop();
  });
});

describe('databases', () => {
  test('alert stuck-fence: a fence that was not lowered', async () => {
    const tenant = await world.metered.addTenant('shared', 'us-1');
    const owner = await world.metered.database('us-1').connect('owner');
    const attempt = { tenantId: tenant.tenantId, attemptId: randomUUID(), epoch: tenant.epoch };
    await claimTenant(owner, attempt);
    await raiseFence(owner, attempt, { seconds: 0.05 });
    await until(async () => {
      const { rows } = await owner.query(
        'SELECT FROM tenancy.placement WHERE tenant_id = $1 AND fence_expires_at < clock_timestamp()',
        [tenant.tenantId],
      );
      return rows.length === 1;
    });
    await world.run();
    // It may be cleared any moment.
    expect(await world.alerts(tenant.tenantId)).toEqual([]);
    await world.opensOnceAndEnds({
      about: tenant.tenantId,
      kind: 'stuck-fence',
      run: { thresholds: { fenceSeconds: 0 } },
      end: () => lowerAbandonedFence(owner, attempt),
    });
  });

  test('a replication slot that no move uses', async () => {
    const { tenantId } = await world.metered.addTenant('schema', 'us-1');
    const owner = await world.metered.database('us-1').connect('owner');
    const name = `move_${tenantId.replaceAll('-', '')}_e1a1`;
    await owner.query(`SELECT pg_create_logical_replication_slot($1, 'pgoutput')`, [name]);
    const run = withThresholds('slots', { orphanSeconds: 0 });
    await world.run();
    expect(await world.alerts(tenantId)).toEqual([]);
    const moveId = randomUUID();
    await update(
      `INSERT INTO tenant_moves (move_id, tenant_id, input, plan, started_by)
       VALUES (:moveId::uuid, :tenantId::uuid, '{}', '[]', 'test')`,
      { moveId, tenantId },
    );
    await update(
      `INSERT INTO tenant_move_hops (move_id, hop_index, tenant_id, kind, source, target, suffix)
       VALUES (:moveId::uuid, 0, :tenantId::uuid, 'relocate', '{}', '{}', '1a1')`,
      { moveId, tenantId },
    );
    await world.run(run);
    expect(await world.alerts(tenantId)).toEqual([]);
    await update(`UPDATE tenant_move_hops SET state = 'rolled-back' WHERE move_id = :moveId::uuid`, {
      moveId,
    });
    const alert = await world.opensOnceAndEnds({
      about: tenantId,
      kind: 'replication-slot',
      run,
      end: () => owner.query('SELECT pg_drop_replication_slot($1)', [name]),
    });
    expect(alert).toMatchObject({
      severity: 'warning',
      cellId: 'us-1',
      details: { slot: name, active: false },
    });
  });

  test('alert database-unreachable: one that takes no session; its other alerts keep their state meanwhile', async () => {
    const tenant = await world.metered.addTenant('dedicated', null);
    const held: pg.Client[] = [];
    for (let n = 0; n < 18; n++) held.push(await world.metered.home(tenant.tenantId).connect(tenant.login));
    await world.run();
    const [open] = await world.alerts(tenant.tenantId, 'connections-exhausted');
    expect(open).toMatchObject({ status: 'open' });
    await Promise.all(held.map((client) => client.end()));
    const superuser = await world.metered.database('us-1').connect('superuser');
    const { name } = world.metered.home(tenant.tenantId);
    const allowSessions = (answer: boolean) =>
      superuser.query(`ALTER DATABASE "${name}" ALLOW_CONNECTIONS ${answer}`);
    await allowSessions(false);
    for (let times = 0; times < 2; times++) await world.run();
    expect(await world.alerts(tenant.tenantId)).toMatchObject([
      { kind: 'connections-exhausted', status: 'open' },
      { kind: 'database-unreachable', status: 'open', severity: 'critical' },
    ]);
    await allowSessions(true);
    await world.run();
    expect(await world.alerts(tenant.tenantId)).toMatchObject([
      { kind: 'connections-exhausted', status: 'resolved' },
      { kind: 'database-unreachable', status: 'resolved' },
    ]);
  });
});

describe('cells', () => {
  test('alert cell-over-limits: one that takes another tenant, until there is room again; its use is recorded', async () => {
    await world.metered.addCell('us-2', 'us', { maxBusinessTenants: 2 });
    await world.metered.addTenant('schema', 'us-2');
    await world.run();
    expect(await world.alerts('us-2')).toEqual([]);
    await world.metered.addTenant('schema', 'us-2');
    const alert = await world.opensOnceAndEnds({
      about: 'us-2',
      kind: 'cell-over-limits',
      end: () => world.metered.registerCell('us-2', { maxBusinessTenants: 190 }),
    });
    expect(alert.summary).toBe('Cell us-2 is over its limits: 2 of 2 for schemas (100 %).');
    const [{ figures = '' } = {}] = await world.registry.query<{ figures: string }>(
      `SELECT figures::text AS figures FROM cell_utilisation WHERE cell_id = 'us-2'`,
    );
    expect(JSON.parse(figures)).toMatchObject({
      databaseBytes: expect.any(Number),
      connections: expect.any(Number),
      maxConnections: 197,
      databaseLoad: expect.any(Number),
      proxySecrets: 1,
    });
  });

  test('a proxy that cannot be read ends no alert about it', async () => {
    const refused = async () => ({ secrets: 2, missing: [], authFailure: 'password authentication failed' });
    const unread = () => Promise.reject(new Error('RDS does not answer'));
    await world.run({ readProxy: refused });
    const { failures } = await world.run({ readProxy: unread });
    expect(failures).toBe(world.failures.length);
    expect(world.failures).toContain('proxy of cell us-1: RDS does not answer');
    const last = (await world.alerts('us-1', 'proxy-secrets')).at(-1);
    expect(last).toMatchObject({
      status: 'open',
      summary: 'The proxy of cell us-1 cannot sign in to its database.',
    });
  });
});
