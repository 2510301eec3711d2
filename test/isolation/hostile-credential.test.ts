import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import tls from 'node:tls';
import type pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { IsolationModel } from '../../functions/contracts/tenant.ts';
import { bootstrapDataDatabase } from '../../functions/database/provisioning/bootstrap-data-database.ts';
import { placeTenant } from '../../functions/database/provisioning/place-tenant.ts';
import {
  createTenantSchema,
  dropTenantSchema,
  tenantSchemaName,
} from '../../functions/database/provisioning/tenant-schema.ts';
import { DatabasePools } from '../../functions/database/session/pools.ts';
import { tenantSql } from '../../functions/database/session/tenant-sql.ts';
import { claimTenant, releaseClaim } from '../../functions/database/transfer/claim.ts';
import { raiseFence } from '../../functions/database/transfer/fence.ts';
import { TenantDirectory } from '../../functions/placement/tenant-directory.ts';
import { TenantAccess, TenantRouter } from '../../functions/placement/tenant-router.ts';
import { bootstrapRegistry } from '../../functions/registry/bootstrap-registry.ts';
import { registerCell } from '../../functions/registry/cells.ts';
import type { RegistryExecutor } from '../../functions/registry/data-api.ts';
import { connectAs, provisionMaster } from '../database-server.ts';
import { sampled } from '../full-run.ts';
import { type PostgresServer, startPostgresServer } from '../postgres-server.ts';
import { RegistryOverPostgres } from '../registry-over-postgres.ts';
import type { Login, TestTenant } from '../test-database.ts';
import { cellRegistration, inTurn, KnownLogins, register } from './tenant-world.ts';

/**
 * An attacker has the credential of a Business tenant and a connection of his own. A server of its own: what he does
 * there concerns every database of it, and its lock table is small.
 */
let server: PostgresServer;
let superuser: pg.Client;
let owner: pg.Client;
let pools: DatabasePools;
let router: TenantRouter;
let attackersTenant: TestTenant;
const victims = new Map<IsolationModel, TestTenant>();
const alerts: string[] = [];
const opened: pg.Client[] = [];

const LIMIT_MS = 5_000;
const HOLD_MS = sampled(3_000, 60_000);
const logins = new Map<string, Login>();
const starter = { user: 'strata_starter', password: 'starter' };
const ownerLogin = { user: 'strata_owner', password: 'owner' };

beforeAll(async () => {
  server = await startPostgresServer({ max_connections: '60', max_locks_per_transaction: '64' });
  superuser = await connectAs(server, server.superuser, 'postgres');
  await provisionMaster(server, 'postgres', 'master');
  for (const database of ['cell', 'home', 'registry'])
    await superuser.query(`CREATE DATABASE ${database} OWNER strata_master`);
  for (const database of ['cell', 'home']) await bootstrap(database);
  owner = await connectAs(server, ownerLogin, 'cell');
  const registryMaster = await connectAs(server, { user: 'strata_master', password: 'master' }, 'registry');
  await bootstrapRegistry(new RegistryOverPostgres(registryMaster), {
    readerPassword: 'reader',
    writerPassword: 'writer',
    usersPassword: 'users',
  });
  await registryMaster.end();
  const writer = { user: 'strata_registry_writer', password: 'writer' };
  const registryClient = await connectAs(server, writer, 'registry');
  opened.push(registryClient);
  const registry = inTurn(new RegistryOverPostgres(registryClient));
  await registerCell(registry, cellRegistration({ name: 'cell', server: { host: '127.0.0.1', ...server } }));
  for (const model of ['shared', 'schema', 'dedicated'] as const) {
    victims.set(model, await place(model, registry));
  }
  attackersTenant = await place('schema');
  tls.setDefaultCACertificates([...tls.rootCertificates, server.certificate]);
  pools = new DatabasePools(new KnownLogins(logins), {
    cap: 40,
    pipeline: true,
    onAlert: (message: string) => alerts.push(message),
  });
  router = new TenantRouter(new TenantDirectory(registry, { freshForMs: 600_000 }), pools);
});
afterEach(async () => {
  alerts.length = 0;
  await superuser.query('SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = $1', [
    attackersTenant.roleName,
  ]);
});
afterAll(async () => {
  await pools?.end();
  await Promise.all([superuser, owner, ...opened].map((client) => client?.end().catch(() => {})));
  await server?.stop();
});

async function bootstrap(database: string): Promise<void> {
  const master = await connectAs(server, { user: 'strata_master', password: 'master' }, database);
  await bootstrapDataDatabase(master, {
    ownerPassword: ownerLogin.password,
    shared: true,
    starter: { roleName: starter.user, password: starter.password },
  });
  await master.end();
}

/** A dedicated tenant lives in another database of the server, which the attacker can reach as well. */
async function place(isolationModel: IsolationModel, registry?: RegistryExecutor): Promise<TestTenant> {
  const tenantId = randomUUID();
  const database = isolationModel === 'dedicated' ? 'home' : 'cell';
  const client = await connectAs(server, ownerLogin, database);
  const name = tenantSchemaName(tenantId, 1);
  const shared = isolationModel === 'shared';
  const login = shared ? starter : { user: name, password: 'its own' };
  const schemaName = shared ? 'shared' : name;
  const placement = { tenantId, epoch: 1, isolationModel, schemaName, roleName: login.user };
  if (!shared)
    await createTenantSchema(client, { ...placement, password: login.password, connectionLimit: 20 });
  await placeTenant(client, placement);
  await client.end();
  logins.set(login.user, login);
  const tenant = { ...placement, login };
  if (registry) await register(registry, tenant, database, server.port);
  return tenant;
}

const victim = (model: IsolationModel) => victims.get(model) as TestTenant;

async function attack(database = 'cell'): Promise<pg.Client> {
  const client = await connectAs(server, attackersTenant.login, database);
  opened.push(client);
  // Its own settings are no bound: the session may change them.
  for (const setting of ['idle_session_timeout', 'transaction_timeout', 'statement_timeout'])
    await client.query(`SET ${setting} = 0`);
  return client;
}
const databaseOf = (model: IsolationModel) => (model === 'dedicated' ? 'home' : 'cell');
const add = (email: string) =>
  tenantSql.insertInto('employees').values({ email, first_name: 'A', last_name: 'B' });
const access = (model: IsolationModel) => new TenantAccess(victim(model).tenantId, model, router);

async function timed(work: () => Promise<unknown>): Promise<number> {
  const begin = performance.now();
  await work();
  return performance.now() - begin;
}
const write = (model: IsolationModel) => access(model).batch('write', [add(`${randomUUID()}@x.test`)]);

describe.each(['shared', 'schema', 'dedicated'] as const)('a foreign credential and a %s tenant', (model) => {
  test.each(['pg_advisory_lock', 'pg_advisory_lock_shared'])(
    'an idle session that has called %s on its key',
    async (lock) => {
      const attacker = await attack(databaseOf(model));
      // The movers' key as well, where it is worth the five seconds that a mover waits for it.
      const keys = model === 'schema' && lock === 'pg_advisory_lock_shared' ? [0, 1] : [0];
      for (const key of keys)
        await attacker.query(`SELECT ${lock}(uuid_hash_extended($1, ${key}))`, [victim(model).tenantId]);
      expect(await timed(() => write(model))).toBeLessThan(LIMIT_MS);
      if (lock === 'pg_advisory_lock') {
        await expect(attacker.query('SELECT 1')).rejects.toThrow();
        expect(alerts).toEqual([expect.stringContaining(attackersTenant.roleName)]);
        expect(alerts[0]).toContain(victim(model).tenantId);
      }
      // A mover wants both keys for itself: the second try has them.
      const mover = await connectAs(server, ownerLogin, databaseOf(model));
      const attempt = { tenantId: victim(model).tenantId, epoch: 1, attemptId: randomUUID() };
      await claimTenant(mover, attempt).catch(() => claimTenant(mover, attempt));
      await raiseFence(mover, attempt, { seconds: 0.1 });
      await releaseClaim(mover, attempt);
      await mover.end();
      expect(await timed(() => write(model))).toBeLessThan(LIMIT_MS);
    },
  );

  test('does not get the exclusive lock out of clear_fence, nor a place in the queue out of enter', async () => {
    const attacker = await attack(databaseOf(model));
    const { tenantId } = victim(model);
    await attacker.query('BEGIN');
    const { rows } = await attacker.query('SELECT tenancy.clear_fence($1, $2) AS cleared', [
      tenantId,
      randomUUID(),
    ]);
    expect(rows).toEqual([{ cleared: false }]);
    const held = await superuser.query(`SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = $1`, [
      (attacker as unknown as { processID: number }).processID,
    ]);
    expect(held.rowCount).toBe(0);
    await attacker.query('COMMIT');
    const mover = await connectAs(server, ownerLogin, databaseOf(model));
    await mover.query('BEGIN');
    await mover.query('SELECT pg_advisory_xact_lock(tenancy.lock_key($1))', [tenantId]);
    await attacker.query('BEGIN');
    await expect(attacker.query(`SELECT tenancy.enter($1, 1, 'write')`, [tenantId])).rejects.toMatchObject({
      code: 'TN003',
    });
    await attacker.query('ROLLBACK');
    await mover.end();
    await attacker.query('BEGIN');
    await expect(attacker.query(`SELECT tenancy.enter($1, 1, 'write')`, [tenantId])).rejects.toMatchObject({
      code: 'TN004',
    });
    await attacker.query('ROLLBACK');
  });

  test('cannot read what is its, nor note changes in its name', async () => {
    await write(model);
    const attacker = await attack(databaseOf(model));
    const { tenantId, schemaName } = victim(model);
    for (const table of [`${schemaName}.employees`, 'tenancy.placement', 'tenancy.captured_changes'])
      await expect(attacker.query(`SELECT * FROM ${table}`), table).rejects.toMatchObject({ code: '42501' });
    if (model !== 'dedicated') {
      await attacker.query('BEGIN');
      await attacker.query(`DECLARE "tenancy entered" SCROLL CURSOR FOR SELECT '${tenantId}'::uuid`);
      await attacker.query(
        `SELECT set_config('app.current_tenant', '${tenantId}', true), set_config('app.capture', 'on', true)`,
      );
      await expect(
        attacker.query(
          `INSERT INTO ${attackersTenant.schemaName}.employees (email, first_name, last_name) VALUES ('a@b.test', 'A', 'B')`,
        ),
      ).rejects.toMatchObject({ code: 'TN004' });
      await attacker.query('ROLLBACK');
    }
    const { rowCount } = await owner.query('SELECT FROM tenancy.captured_changes');
    expect(rowCount).toBe(0);
  });
});

test.each(['shared', 'schema', 'dedicated'] as const)(
  'a session that hoards locks is ended by the first request of a %s tenant that finds no room for one',
  async (model) => {
    const attacker = await attack();
    await attacker.query('SELECT count(pg_advisory_lock(n)) FROM generate_series(1, 1000) n');
    const modest = await attack();
    await modest.query('SELECT count(pg_advisory_lock(n)) FROM generate_series(2001, 2100) n');
    // A table that is full to the last entry has room for nothing but luck. The error of one that is full, without that:
    const admin = await connectAs(server, ownerLogin, databaseOf(model));
    const table = `${victim(model).schemaName}.employees`;
    await admin.query(`
      CREATE FUNCTION ${victim(model).schemaName}.is_full() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
        IF (SELECT count(*) > 1000 FROM pg_catalog.pg_locks WHERE locktype = 'advisory') THEN
          RAISE EXCEPTION 'out of shared memory' USING ERRCODE = '53200';
        END IF;
        RETURN NULL;
      END $$;
      CREATE TRIGGER is_full AFTER INSERT ON ${table} FOR EACH STATEMENT
        EXECUTE FUNCTION ${victim(model).schemaName}.is_full()`);
    expect(await timed(() => write(model))).toBeLessThan(LIMIT_MS);
    await admin.query(`DROP FUNCTION ${victim(model).schemaName}.is_full() CASCADE`);
    await admin.end();
    await expect(attacker.query('SELECT 1')).rejects.toThrow();
    expect((await modest.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
    expect(alerts.join()).toMatch(new RegExp(`${attackersTenant.roleName} held \\d+ locks`));
  },
);

test('nobody waits longer than five seconds while a credential comes back with all it has', async () => {
  const ids = [...victims.values()].map(({ tenantId }) => tenantId);
  let over = false;
  const assault = async (database: string) => {
    while (!over) {
      try {
        const attacker = await attack(database);
        for (const id of ids)
          await attacker.query('SELECT pg_advisory_lock(uuid_hash_extended($1, 0))', [id]);
        await attacker.query('SELECT pg_sleep(600)');
      } catch {
        // Ended, or refused: it tries again.
      }
    }
  };
  const assaults = Array.from({ length: 10 }, (_, n) => assault(n % 2 ? 'home' : 'cell'));
  const waits: number[] = [];
  const end = performance.now() + HOLD_MS;
  while (performance.now() < end)
    for (const model of ['shared', 'schema', 'dedicated'] as const)
      waits.push(await timed(() => write(model)));
  over = true;
  const ended = Promise.all(assaults).then(() => true);
  // Again and again: one may have connected just now.
  do {
    await superuser.query('SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = $1', [
      attackersTenant.roleName,
    ]);
  } while (!(await Promise.race([ended, delay(20, false)])));
  expect(waits.length).toBeGreaterThan(3);
  expect(Math.max(...waits)).toBeLessThan(LIMIT_MS);
}, 120_000);

test('a role has limits of its own, also one from before them, and no temporary tables', async () => {
  await superuser.query(`ALTER ROLE ${attackersTenant.roleName} RESET idle_session_timeout`);
  await superuser.query('GRANT SET ON PARAMETER temp_file_limit TO strata_owner');
  await bootstrap('cell');
  const fresh = await connectAs(server, attackersTenant.login, 'cell');
  opened.push(fresh);
  const { rows } = await fresh.query(
    `SELECT current_setting('idle_session_timeout') AS idle, rolconnlimit AS limit,
            current_setting('temp_file_limit') AS files FROM pg_roles
     WHERE rolname = current_user`,
  );
  expect(rows).toEqual([{ idle: '5min', limit: 20, files: '4GB' }]);
  await expect(fresh.query('SET temp_file_limit = -1')).rejects.toMatchObject({ code: '42501' });
  for (const database of ['cell', 'postgres']) {
    const attacker = await attack(database);
    await expect(attacker.query('CREATE TEMP TABLE t (a int)')).rejects.toMatchObject({ code: '42501' });
  }
});

test('clean-up succeeds whatever the credential has left behind, in every database', async () => {
  const gone = await place('schema');
  for (const database of ['cell', 'home', 'postgres', 'template1', 'registry']) {
    const client = await connectAs(server, gone.login, database);
    opened.push(client);
    await client.query(`SELECT lo_create(0);
      ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC; ALTER DEFAULT PRIVILEGES REVOKE ALL ON TYPES FROM PUBLIC`);
  }
  await owner.query(`UPDATE tenancy.placement SET state = 'moved', forward = '{}' WHERE tenant_id = $1`, [
    gone.tenantId,
  ]);
  await dropTenantSchema(owner, gone);
  const { rowCount } = await superuser.query('SELECT FROM pg_roles WHERE rolname = $1', [gone.roleName]);
  expect(rowCount).toBe(0);
});
