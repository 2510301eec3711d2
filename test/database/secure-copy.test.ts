/**
 * A restored copy of a data database is made harmless. Its roles belong to the whole server, so the copy has a server of its
 * own, which runs without logical replication workers, as side clusters do.
 */
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { secureCopy, setOwnerPassword } from '../../functions/database/provisioning/secure-copy.ts';
import { type BenchDatabase, BenchServer, type BenchTenant, PASSWORD } from '../bench/bench-server.ts';
import { asTenant } from '../enter-tenant.ts';

let server: BenchServer;
let copy: BenchDatabase;
let owner: pg.Client;
/** Whose rows are read from the copy. */
let tenant: BenchTenant;
let neighbour: BenchTenant;
let starter: BenchTenant;
beforeAll(async () => {
  server = await BenchServer.start({ max_logical_replication_workers: '0' });
  copy = await server.createDatabase('strata');
  owner = await server.connect('strata', 'strata_owner');
  tenant = await copy.addSchemaTenant(2);
  neighbour = await copy.addSchemaTenant(2);
  [starter] = (await copy.addSharedTenants(1, 2)) as [BenchTenant];
});
afterAll(() => server?.stop());

const placements = async () =>
  (await copy.superuser.query('SELECT * FROM tenancy.placement ORDER BY tenant_id')).rows;

const enter = (client: pg.Client, { tenantId }: BenchTenant) =>
  asTenant(client, { tenantId, epoch: 1 }, 'read', async () => {});

test('a tenant that was not there then is not found, and nothing is changed', async () => {
  const before = await placements();
  expect(await secureCopy(owner, randomUUID())).toBeUndefined();
  await copy.superuser.query(
    `UPDATE tenancy.placement SET state = 'moved', forward = '{}' WHERE tenant_id = $1`,
    [neighbour.tenantId],
  );
  expect(await secureCopy(owner, neighbour.tenantId)).toBeUndefined();
  await copy.superuser.query(
    "UPDATE tenancy.placement SET state = 'active', forward = NULL WHERE tenant_id = $1",
    [neighbour.tenantId],
  );
  expect(await placements()).toEqual(before);
  const client = await server.connect('strata', neighbour.roleName);
  await enter(client, neighbour);
});

test('its subscriptions take nothing from the original, not even after a restart with workers', async () => {
  const original = await server.createDatabase('original');
  await original.superuser.query('CREATE TABLE public.changes (id int PRIMARY KEY)');
  await original.superuser.query('CREATE PUBLICATION changes FOR TABLE public.changes');
  await copy.superuser.query('CREATE TABLE public.changes (id int PRIMARY KEY)');
  await copy.superuser.query('ALTER TABLE public.changes OWNER TO strata_owner');
  await original.superuser.query("SELECT pg_create_logical_replication_slot('moving', 'pgoutput')");
  const address = `host=127.0.0.1 port=${server.port} dbname=original user=${server.superuser.user} password=${server.superuser.password}`;
  await copy.superuser.query(
    `CREATE SUBSCRIPTION moving CONNECTION '${address}' PUBLICATION changes
     WITH (connect = false, slot_name = 'moving')`,
  );
  await copy.superuser.query('ALTER SUBSCRIPTION moving ENABLE');
  // A table is in its initial copy: such a table has a slot of its own at the original.
  await copy.superuser.query(
    `INSERT INTO pg_subscription_rel (srsubid, srrelid, srsubstate)
     SELECT oid, 'public.changes'::regclass, 'd' FROM pg_subscription WHERE subname = 'moving'`,
  );
  const { rows } = await copy.superuser.query<{ name: string }>(
    `SELECT format('pg_%s_sync_%s_%s', s.oid, 'public.changes'::regclass::oid, c.system_identifier) AS name
     FROM pg_subscription s, pg_control_system() c WHERE s.subname = 'moving'`,
  );
  const syncSlot = rows[0]!.name;
  await original.superuser.query("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", [syncSlot]);
  await copy.superuser.query('ALTER SUBSCRIPTION moving OWNER TO strata_owner');

  expect(await secureCopy(owner, tenant.tenantId)).toEqual({ epoch: 1, schemaName: tenant.schemaName });

  await copy.superuser.query('ALTER SYSTEM SET max_logical_replication_workers = 4');
  await server.restart();
  const [there, here] = [await server.connect('original'), await server.connect('strata')];
  // Test servers do not wait for the disk, and what is not written yet is not decoded.
  await there.query(
    'BEGIN; SET LOCAL synchronous_commit = on; INSERT INTO public.changes VALUES (1); COMMIT',
  );
  expect((await here.query('SELECT subname FROM pg_subscription')).rows).toEqual([]);
  const slots = await there.query('SELECT slot_name FROM pg_replication_slots ORDER BY 1');
  expect(slots.rows.map(({ slot_name: name }) => name)).toEqual(['moving', syncSlot]);
  const peek = await there.query(
    `SELECT count(*)::int AS changes FROM pg_logical_slot_peek_binary_changes('moving', NULL, NULL,
       'proto_version', '1', 'publication_names', 'changes')`,
  );
  expect(peek.rows[0].changes).toBeGreaterThan(0);
  expect((await here.query('SELECT FROM public.changes')).rowCount).toBe(0);
});

test('nobody but the owner signs in, and no placement but the tenant’s own is entered', async () => {
  // Sessions of roles that could sign in when the copy was made: a login that is closed ends none.
  const closed = await server.connect('strata');
  await closed.query('ALTER ROLE strata_starter LOGIN');
  const asStarter = await server.connect('strata', 'strata_starter');
  owner = await server.connect('strata', 'strata_owner');
  await closed.query(
    `UPDATE tenancy.placement SET state = 'fenced', mover = gen_random_uuid(), fence_token = gen_random_uuid(),
       fence_expires_at = now(), capture = true WHERE tenant_id = $1`,
    [tenant.tenantId],
  );
  await closed.query(
    `INSERT INTO tenancy.placement (tenant_id, epoch, isolation_model, schema_name, role_name)
     VALUES ($1, 1, 'shared', 'shared', 'strata_starter')
     ON CONFLICT (tenant_id) DO NOTHING`,
    [starter.tenantId],
  );
  await enter(asStarter, starter);

  await secureCopy(owner, tenant.tenantId);

  for (const { roleName } of [tenant, neighbour, starter])
    await expect(server.connect('strata', roleName)).rejects.toThrow(/not permitted to log in/);
  await expect(enter(asStarter, starter)).rejects.toMatchObject({ code: 'TN004' });
  const { rows } = await closed.query('SELECT * FROM tenancy.placement');
  expect(rows).toMatchObject([
    { tenant_id: tenant.tenantId, state: 'active', mover: null, fence_token: null, capture: false },
  ]);
  // Again, as a phase that is delivered twice does.
  expect(await secureCopy(owner, tenant.tenantId)).toMatchObject({ schemaName: tenant.schemaName });
});

test('its owner gets the password of today', async () => {
  const master = await server.connect('strata', 'strata_master');
  await setOwnerPassword(master, 'password of today');
  await expect(server.connect('strata', 'strata_owner')).rejects.toThrow(/password authentication failed/);
  await setOwnerPassword(master, PASSWORD);
  await server.connect('strata', 'strata_owner');
});
