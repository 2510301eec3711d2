import { randomBytes, randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { bootstrapDataDatabase } from '../../functions/database/provisioning/bootstrap-data-database.ts';
import { placeTenant, removePlacement } from '../../functions/database/provisioning/place-tenant.ts';
import { thisRelease } from '../../functions/database/provisioning/release.ts';
import {
  createTenantSchema,
  dropTenantSchema,
  tenantSchemaName,
} from '../../functions/database/provisioning/tenant-schema.ts';
import { updateSharedTables } from '../../functions/database/provisioning/update-target.ts';
import { refreshSkillsSummary } from '../../functions/database/tables/refresh-skills-summary.ts';
import { SKILLS_SUMMARY_SINCE } from '../../functions/database/tables/skills-summary.ts';
import { migrationsUpTo } from '../../functions/database/tables/tenant-migrations.ts';
import { connectAs, provisionMaster } from '../database-server.ts';
import { enterTenant } from '../enter-tenant.ts';
import { FULL_RUN } from '../full-run.ts';
import { type PostgresServer, startPostgresServer } from '../postgres-server.ts';

/** A server of its own: these tests create and drop the roles that all clones share. */
let server: PostgresServer;
let superuser: pg.Client;
let database: string;
const master = { user: 'strata_master', password: 'master' };
const options = {
  ownerPassword: `p'a\\ss"${randomBytes(8).toString('hex')}`,
  starter: { roleName: 'strata_starter', password: `st'arter %s $1 ${randomBytes(8).toString('hex')}` },
  shared: true,
};
const owner = { user: 'strata_owner', password: options.ownerPassword };

beforeAll(async () => {
  server = await startPostgresServer({ log_statement: 'all' });
  superuser = await connectAs(server, server.superuser, 'postgres');
  await provisionMaster(server, 'postgres', master.password);
});
afterAll(async () => {
  await superuser.end();
  await server.stop();
});

async function freshDatabase(): Promise<void> {
  database = `d${randomUUID().replaceAll('-', '')}`;
  await superuser.query(`CREATE DATABASE ${database} OWNER strata_master`);
}

const OURS = `rolname LIKE 'strata%' AND rolname <> 'strata_master' OR rolname LIKE 'tenant%'`;

afterEach(async () => {
  await superuser.query(`DROP DATABASE IF EXISTS ${database} WITH (FORCE)`);
  // The owner last: it has granted the others what they have.
  const { rows } = await superuser.query(
    `SELECT rolname FROM pg_roles WHERE ${OURS} ORDER BY rolname = 'strata_owner'`,
  );
  for (const { rolname } of rows) await superuser.query(`DROP ROLE ${rolname}`);
});

/** Ends the session from outside when it is about to send its statement number `count`. Answers whether it came so far. */
function killAt(client: pg.Client, count: number): { killed: boolean } {
  const state = { killed: false, sent: 0 };
  const send = client.query.bind(client) as (...values: unknown[]) => Promise<unknown>;
  client.query = (async (...values: unknown[]) => {
    if (++state.sent === count) {
      state.killed = true;
      const { processID } = client as unknown as { processID: number };
      await superuser.query('SELECT pg_terminate_backend($1, 5000)', [processID]);
    }
    return send(...values);
  }) as never;
  return state;
}

async function killedEverywhere(
  as: typeof master,
  work: (client: pg.Client) => Promise<unknown>,
  leftovers: string,
) {
  for (let count = 1; ; count += FULL_RUN ? 1 : 12) {
    const client = await connectAs(server, as, database);
    const state = killAt(client, count);
    const failure = await work(client).then(
      () => undefined,
      (error: unknown) => error,
    );
    await client.end().catch(() => {});
    if (!state.killed) {
      expect(failure).toBeUndefined();
      return count;
    }
    expect(failure, `statement ${count}`).toBeInstanceOf(Error);
    const inspector = await connectAs(server, server.superuser, database);
    expect((await inspector.query(leftovers)).rows, `statement ${count}`).toEqual([]);
    await inspector.end();
  }
}

describe('bootstrapping a data database', () => {
  test('killed at any statement leaves nothing, and succeeds when repeated', async () => {
    await freshDatabase();
    const leftovers = `SELECT nspname AS name FROM pg_namespace WHERE nspname IN ('tenancy', 'shared')
      UNION ALL SELECT rolname FROM pg_roles WHERE ${OURS}`;
    const statements = await killedEverywhere(
      master,
      (client) => bootstrapDataDatabase(client, options),
      leftovers,
    );
    expect(statements).toBeGreaterThan(15);
    for (const login of [owner, { user: 'strata_starter', password: options.starter.password }]) {
      await (await connectAs(server, login, database)).end();
    }
  });

  test('twice at once, and again later, changes nothing but passwords', async () => {
    await freshDatabase();
    const clients = [await connectAs(server, master, database), await connectAs(server, master, database)];
    await Promise.all(clients.map((client) => bootstrapDataDatabase(client, options)));
    const ownerSession = await connectAs(server, owner, database);
    await placeTenant(ownerSession, {
      tenantId: randomUUID(),
      epoch: 1,
      isolationModel: 'shared' as const,
      schemaName: 'shared',
      roleName: 'strata_starter',
    });
    await bootstrapDataDatabase(clients[0]!, {
      ...options,
      starter: { ...options.starter, password: 'rotated' },
    });
    expect((await ownerSession.query('SELECT FROM tenancy.placement')).rowCount).toBe(1);
    await (await connectAs(server, { user: 'strata_starter', password: 'rotated' }, database)).end();
    const old = connectAs(server, { user: 'strata_starter', password: options.starter.password }, database);
    await expect(old).rejects.toMatchObject({ code: '28P01' });
    await Promise.all([...clients, ownerSession].map((client) => client.end()));
  });

  test('of a database of an earlier release makes the role that a rollout’s summaries need', async () => {
    await freshDatabase();
    const client = await connectAs(server, master, database);
    const earlier = migrationsUpTo(SKILLS_SUMMARY_SINCE - 1);
    await bootstrapDataDatabase(client, {
      ...options,
      release: { ...thisRelease, schemaVersion: earlier.length, migrations: earlier },
    });
    // As if that release had known no such role.
    await client.query(`REVOKE ALL ON DATABASE ${database} FROM strata_analytics`);
    await superuser.query('DROP ROLE strata_analytics');
    expect((await bootstrapDataDatabase(client, options)).schemaVersion).toBe(earlier.length);
    const session = await connectAs(server, owner, database);
    await updateSharedTables(session, { starterRole: 'strata_starter', relocating: [] });
    expect(await refreshSkillsSummary(session, 'shared')).toBe('refreshed');
    await Promise.all([client, session].map((open) => open.end()));
  });

  test('without shared tables makes a database that one tenant has to itself', async () => {
    await freshDatabase();
    const client = await connectAs(server, master, database);
    await bootstrapDataDatabase(client, { ownerPassword: options.ownerPassword, shared: false });
    expect((await client.query(`SELECT to_regnamespace('shared') AS found`)).rows).toEqual([{ found: null }]);
    const tenantId = randomUUID();
    const name = tenantSchemaName(tenantId, 1);
    const session = await connectAs(server, owner, database);
    await createTenantSchema(session, {
      tenantId,
      schemaName: name,
      roleName: name,
      password: 'p',
      connectionLimit: -1,
    });
    await placeTenant(session, {
      tenantId,
      epoch: 1,
      isolationModel: 'dedicated',
      schemaName: name,
      roleName: name,
    });
    const tenant = await connectAs(server, { user: name, password: 'p' }, database);
    await enterTenant(tenant, { tenantId, epoch: 1 }, 'write');
    await tenant.query(`INSERT INTO skills (skill_name) VALUES ('s')`);
    await Promise.all([client, session, tenant].map((open) => open.end()));
  });

  test('refuses names and passwords that cannot be one, before anything happens', async () => {
    await freshDatabase();
    const client = await connectAs(server, master, database);
    for (const starter of [
      { roleName: 'x"; DROP ROLE strata_master; --', password: 'p' },
      { roleName: 'Starter', password: 'p' },
      { roleName: 'strata_starter', password: 'nul\0' },
      { roleName: 'strata_starter', password: '' },
    ]) {
      await expect(bootstrapDataDatabase(client, { ...options, starter })).rejects.toThrow(TypeError);
    }
    expect((await superuser.query(`SELECT FROM pg_roles WHERE ${OURS}`)).rowCount).toBe(0);
    await client.end();
  });
});

describe('a tenant’s schema', () => {
  const tenantId = randomUUID();
  const schemaName = tenantSchemaName(tenantId, 1);
  const tenant = { tenantId, schemaName, roleName: schemaName };
  const login = { user: schemaName, password: 'tenant-password' };
  const created = { ...tenant, password: login.password, connectionLimit: 2 };
  const placement = {
    tenantId,
    epoch: 1,
    isolationModel: 'schema' as const,
    schemaName,
    roleName: schemaName,
  };

  async function bootstrapped(): Promise<pg.Client> {
    await freshDatabase();
    const client = await connectAs(server, master, database);
    await bootstrapDataDatabase(client, options);
    await client.end();
    return connectAs(server, owner, database);
  }

  test('killed at any statement of its creation leaves nothing, and succeeds when repeated', async () => {
    await (await bootstrapped()).end();
    const leftovers = `SELECT nspname AS name FROM pg_namespace WHERE nspname LIKE 'tenant%'
      UNION ALL SELECT rolname FROM pg_roles WHERE rolname LIKE 'tenant%'`;
    await killedEverywhere(owner, (client) => createTenantSchema(client, created), leftovers);
    await (await connectAs(server, login, database)).end();
  });

  test('is created once by two who try at once, and by whoever tries again', async () => {
    const clients = [await bootstrapped(), await connectAs(server, owner, database)];
    await Promise.all(clients.map((client) => createTenantSchema(client, created)));
    await clients[0]!.query(`INSERT INTO ${schemaName}.skills (skill_name) VALUES ('kept')`);
    await createTenantSchema(clients[0]!, created);
    expect((await clients[0]!.query(`SELECT FROM ${schemaName}.skills`)).rowCount).toBe(1);
    await Promise.all(clients.map((client) => client.end()));
  });

  test('holds its role to its number of connections', async () => {
    const session = await bootstrapped();
    await createTenantSchema(session, created);
    const open = [await connectAs(server, login, database), await connectAs(server, login, database)];
    await expect(connectAs(server, login, database)).rejects.toMatchObject({ code: '53300' });
    await Promise.all([session, ...open].map((client) => client.end()));
  });

  test('of another tenant is neither taken over nor dropped', async () => {
    const session = await bootstrapped();
    await createTenantSchema(session, created);
    const refused = { name: 'TenantSchemaInUse' };
    const other = { ...created, tenantId: randomUUID() };
    await expect(createTenantSchema(session, other)).rejects.toMatchObject(refused);
    await expect(dropTenantSchema(session, other)).rejects.toMatchObject(refused);
    for (const schema of ['shared', 'tenancy']) {
      const reserved = { ...created, schemaName: schema };
      await expect(createTenantSchema(session, reserved)).rejects.toMatchObject(refused);
      await expect(dropTenantSchema(session, reserved)).rejects.toMatchObject(refused);
    }
    await session.end();
  });

  test('is dropped with its sessions and its role, but never while requests are sent there', async () => {
    const session = await bootstrapped();
    await createTenantSchema(session, created);
    await placeTenant(session, placement);
    await expect(dropTenantSchema(session, tenant)).rejects.toMatchObject({ name: 'TenantSchemaInUse' });
    await removePlacement(session, placement);
    const busy = await connectAs(server, login, database);
    await busy.query(`BEGIN; SELECT FROM ${schemaName}.skills`);
    await dropTenantSchema(session, tenant);
    await dropTenantSchema(session, tenant);
    await expect(busy.query('SELECT 1')).rejects.toThrow();
    const left = await superuser.query('SELECT FROM pg_roles WHERE rolname = $1', [schemaName]);
    expect(left.rowCount).toBe(0);
    expect((await session.query('SELECT to_regnamespace($1) AS found', [schemaName])).rows).toEqual([
      { found: null },
    ]);
    await session.end();
  });

  test('is placed once; another place or epoch needs a move', async () => {
    const session = await bootstrapped();
    await placeTenant(session, placement);
    await placeTenant(session, placement);
    const conflict = { name: 'PlacementConflict' };
    await expect(placeTenant(session, { ...placement, schemaName: 'tenant_x' })).rejects.toMatchObject(
      conflict,
    );
    await expect(placeTenant(session, { ...placement, epoch: 2 })).rejects.toMatchObject(conflict);
    await session.query(`UPDATE tenancy.placement SET state = 'moved', epoch = 2, forward = '{}'`);
    await expect(placeTenant(session, { ...placement, epoch: 2 })).rejects.toMatchObject(conflict);
    await placeTenant(session, { ...placement, epoch: 3 });
    const { rows } = await session.query('SELECT epoch::int, state, forward FROM tenancy.placement');
    expect(rows).toEqual([{ epoch: 3, state: 'active', forward: null }]);
    await session.end();
  });
});

test('no password reaches the server’s log, which holds every statement', async () => {
  await freshDatabase();
  const client = await connectAs(server, master, database);
  await bootstrapDataDatabase(client, options);
  await client.end();
  const log = server.log();
  expect(log).toContain('ALTER ROLE "strata_owner"');
  expect(log).toContain('ALTER ROLE "strata_starter"');
  expect(log).not.toContain(options.starter.password.slice(-16));
  expect(log).not.toContain(options.ownerPassword.slice(-16));
});
