import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, inject, test } from 'vitest';
import { listDueTenants } from '../../functions/backups/due-tenants.ts';
import { activateTenant } from '../../functions/onboarding/activate-tenant.ts';
import { validateOnboardingInput } from '../../functions/onboarding/onboarding-input.ts';
import { registerTenant } from '../../functions/onboarding/register-tenant.ts';
import type { DedicatedDatabase } from '../../functions/places/dedicated-databases.ts';
import { type Found, NOTHING_FOUND } from '../../functions/reconciliation/differences.ts';
import { reconcilePage } from '../../functions/reconciliation/reconcile-registry.ts';
import type { DataApi, RegistryExecutor } from '../../functions/registry/data-api.ts';
import { endLoss } from '../../functions/registry/lost-tenants.ts';
import { getTenant } from '../../functions/registry/tenant-record.ts';
import { updateTenant } from '../../functions/registry/tenants.ts';
import { type BackedUp, BackupWorld } from '../backup/backup-world.ts';
import { connectAs } from '../database-server.ts';

let world: BackupWorld;
/** A tenant without differences, so that every reconciliation has another page. */
let bystander: BackedUp;
beforeAll(async () => {
  world = await BackupWorld.start();
  bystander = await world.addTenant('shared');
  await world.backUp(bystander);
});
afterAll(() => world.stop());

const dedicated: DedicatedDatabase[] = [];

/** Every reconciliation looks at all tenants: those of earlier tests would make each test slower than the one before. */
afterEach(async () => {
  dedicated.length = 0;
  await inCell('DELETE FROM tenancy.placement WHERE tenant_id <> $1', bystander.tenantId);
  const superuser = await world.registry.connect('superuser');
  for (const table of ['tenant_moves', ...TABLES_OF_TENANT])
    await superuser.query(`DELETE FROM ${table} WHERE tenant_id <> $1`, [bystander.tenantId]);
  await superuser.end();
  const keys: string[] = [];
  for await (const { key } of world.bucket.store.list('tenant-backups/'))
    if (!key.includes(bystander.tenantId)) keys.push(key);
  if (keys.length > 0) await world.bucket.store.delete(keys);
});

type Registry = Parameters<typeof reconcilePage>[0]['registry'];

interface Reconciliation {
  readonly registry?: Registry;
  readonly registerLost?: boolean;
  /** Key of another region that has all tenants. */
  readonly otherRegion?: string;
}

async function reconcile(
  apply: boolean,
  { registry = world.registryCalls, registerLost = false, otherRegion }: Reconciliation = {},
): Promise<Found> {
  const around = {
    registry,
    store: world.bucket.store,
    connect: async ({ database }: { database: string }) => {
      const server = inject('databaseServer');
      return connectAs(server, server.logins.owner, database);
    },
    findSecret: async (name: string) => `arn of ${name}`,
    region: 'us',
    findInOtherRegions: async (ids: readonly string[]) =>
      new Map(otherRegion === undefined ? [] : ids.map((id): [string, string] => [id, otherRegion])),
  };
  const databases = [...dedicated].sort((one, other) => (one.tenantId < other.tenantId ? -1 : 1));
  let found = NOTHING_FOUND;
  let after: string | undefined;
  for (;;) {
    const rest = databases.filter(({ tenantId }) => after === undefined || tenantId > after);
    const page = await reconcilePage(around, {
      apply,
      registerLost,
      after,
      dedicated: { databases: rest.slice(0, 1), isLast: rest.length <= 1 },
      found,
      // One that has passed makes a call for each tenant.
      deadline: registerLost ? performance.now() + 60_000 : 0,
    });
    found = page.found;
    if (page.done) return found;
    after = page.after;
  }
}

const kindsOf = (found: Found, { tenantId }: { tenantId: string }) =>
  found.differences.filter((each) => each.tenantId === tenantId).map(({ kind }) => kind);
const outcomesOf = (found: Found, { tenantId }: { tenantId: string }) =>
  found.differences.filter((each) => each.tenantId === tenantId).map(({ outcome }) => outcome);

const inRegistry = <Row extends object>(sql: string, tenantId: string) =>
  world.registryCalls.query<Row>(sql, { tenantId });

async function inCell(statement: string, tenantId: string): Promise<void> {
  const owner = await world.cell.connect('owner');
  await owner.query(statement, [tenantId]);
  await owner.end();
}

async function routeOf({ tenantId }: { tenantId: string }) {
  const [row] = await inRegistry<Record<string, unknown>>(
    `SELECT r.*, t.subscription_tier, t.isolation_model AS model, t.status FROM tenant_database_routing r
     JOIN tenants t USING (tenant_id) WHERE tenant_id = :tenantId::uuid`,
    tenantId,
  );
  return row;
}

const TABLES_OF_TENANT = ['tenant_backups', 'tenant_users', 'tenant_database_routing', 'tenants'];

/** Removes the tenant from the registry, as if the registry was restored to a time before the onboarding. */
async function forget({ tenantId }: { tenantId: string }): Promise<void> {
  for (const table of TABLES_OF_TENANT) {
    await asSuperuser(`DELETE FROM ${table} WHERE tenant_id = $1`, tenantId);
  }
}

/** Runs SQL in the registry as a superuser, because its roles may not delete tenants and cells. */
async function asSuperuser(statement: string, value: string): Promise<void> {
  const superuser = await world.registry.connect('superuser');
  await superuser.query(statement, [value]);
  await superuser.end();
}

/** Moves the tenant in the databases only. */
async function moveToDedicated(tenant: BackedUp): Promise<void> {
  const { tenantId } = tenant;
  const { name, server } = (await world.addTenant('dedicated')).database;
  const owner = await connectAs(server, server.logins.owner, name);
  await owner.query('DELETE FROM tenancy.placement');
  await owner.query(
    `INSERT INTO tenancy.placement (tenant_id, epoch, isolation_model, schema_name, role_name)
     SELECT $1, 2, 'dedicated', nspname, nspname FROM pg_namespace WHERE nspname LIKE 'tenant\\_%'`,
    [tenantId],
  );
  await owner.end();
  dedicated.push({
    tenantId,
    databaseSize: 'medium',
    host: 'proxy.test',
    port: server.port,
    writerHost: server.host,
    readerHost: null,
    clusterArn: 'arn of its cluster',
    database: name,
    roleName: 'role',
    secretArn: 'arn of its secret',
    ownerSecret: 'owner',
    stackName: `strata-tenant-${tenantId}`,
  });
}

describe('a registry that is older than the databases', () => {
  test('has no difference if it is not older', async () => {
    const tenant = await world.addTenant('schema');
    await world.backUp(tenant);
    const found = await reconcile(false);
    expect(kindsOf(found, tenant)).toEqual([]);
    expect(found.compared).toBeGreaterThan(0);
  });

  test('reports a tenant that was moved or restored later, and follows its placement once', async () => {
    const tenant = await world.addTenant('schema');
    await inRegistry(
      "UPDATE tenant_database_routing SET role_name = 'older' WHERE tenant_id = :tenantId::uuid",
      tenant.tenantId,
    );
    await inCell('UPDATE tenancy.placement SET epoch = 3 WHERE tenant_id = $1', tenant.tenantId);

    const seen = await reconcile(false);
    expect(kindsOf(seen, tenant)).toEqual(['placement-newer']);
    expect(await routeOf(tenant)).toMatchObject({ epoch: 1, role_name: 'older' });

    expect(outcomesOf(await reconcile(true), tenant)).toEqual(['mended']);
    expect(await routeOf(tenant)).toMatchObject({
      epoch: 3,
      isolation_model: 'schema',
      schema_name: tenant.schemaName,
      role_name: tenant.roleName,
      secret_arn: `arn of strata/tenant/${tenant.tenantId}/${tenant.roleName}`,
      cell_id: 'us-1',
      model: 'schema',
    });
    const audited = await inRegistry<{ action: string }>(
      'SELECT action FROM control_audit_log WHERE tenant_id = :tenantId::uuid',
      tenant.tenantId,
    );
    expect(audited.map(({ action }) => action)).toEqual(['registry.follow']);
    expect(kindsOf(await reconcile(true), tenant)).toEqual([]);
  });

  test('finds a tenant that has moved to a dedicated database, with its tier', async () => {
    const tenant = await world.addTenant('schema');
    await moveToDedicated(tenant);
    await inCell(
      `UPDATE tenancy.placement SET epoch = 2, state = 'moved', forward = '{"region": "us"}' WHERE tenant_id = $1`,
      tenant.tenantId,
    );
    expect(kindsOf(await reconcile(false), tenant)).toEqual(['tenant-moved']);
    expect(outcomesOf(await reconcile(true), tenant)).toEqual(['mended']);
    expect(await routeOf(tenant)).toMatchObject({
      epoch: 2,
      isolation_model: 'dedicated',
      cell_id: null,
      database_host: 'proxy.test',
      secret_arn: 'arn of its secret',
      subscription_tier: 'enterprise',
    });
    expect(kindsOf(await reconcile(true), tenant)).toEqual([]);
  });

  test('decides nothing while two databases have the tenant', async () => {
    const tenant = await world.addTenant('schema');
    await moveToDedicated(tenant);
    const found = await reconcile(true);
    expect(kindsOf(found, tenant)).toEqual(['placements-conflict']);
    expect(outcomesOf(found, tenant)).toEqual(['left']);
    expect(await routeOf(tenant)).toMatchObject({ epoch: 1 });
  });

  test('does not change a tenant that is being moved', async () => {
    const tenant = await world.addTenant('schema');
    await inCell('UPDATE tenancy.placement SET epoch = 2 WHERE tenant_id = $1', tenant.tenantId);
    await inRegistry(
      `INSERT INTO tenant_moves (tenant_id, input, plan, started_by)
       VALUES (:tenantId::uuid, '{}', '[]', 'test')`,
      tenant.tenantId,
    );
    const found = await reconcile(true);
    expect(kindsOf(found, tenant)).toEqual(['move-running']);
    expect(await routeOf(tenant)).toMatchObject({ epoch: 1 });
  });

  test('reports a tenant that no database has, and does not change it', async () => {
    const tenant = await world.addTenant('schema');
    await inCell('DELETE FROM tenancy.placement WHERE tenant_id = $1', tenant.tenantId);
    const found = await reconcile(true);
    expect(kindsOf(found, tenant)).toEqual(['tenant-without-placement']);
    expect(outcomesOf(found, tenant)).toEqual(['left']);
    expect(await routeOf(tenant)).toMatchObject({ status: 'active', epoch: 1 });
  });

  test('activates a tenant that became active later', async () => {
    const tenant = await world.addTenant('shared');
    await world.backUp(tenant);
    await inRegistry(
      "UPDATE tenants SET status = 'failed', status_reason = 'x' WHERE tenant_id = :tenantId::uuid",
      tenant.tenantId,
    );
    expect(kindsOf(await reconcile(true), tenant)).toEqual(['tenant-activated']);
    expect(await routeOf(tenant)).toMatchObject({ status: 'active', epoch: 1 });
    expect(kindsOf(await reconcile(false), tenant)).toEqual([]);
  });
});

describe('a tenant that was onboarded later', () => {
  test('is restored from the manifest of its latest backup: record, users, route, backups', async () => {
    const tenant = await world.addTenant('schema');
    const { tenantId } = tenant;
    await inRegistry(
      `INSERT INTO tenant_users (tenant_id, email, role) VALUES (:tenantId::uuid, 'first@x.test', 'admin')`,
      tenantId,
    );
    await world.backUp(tenant);
    await inRegistry(
      `INSERT INTO tenant_users (tenant_id, email, role) VALUES (:tenantId::uuid, 'later@x.test', 'viewer')`,
      tenantId,
    );
    const { backupId } = await world.backUp(tenant);
    const snapshot = async () => ({
      tenant: await inRegistry(
        `SELECT tenant_name, tenant_slug, subscription_tier, status, data_residency, home_region,
                isolation_model, schema_name FROM tenants WHERE tenant_id = :tenantId::uuid`,
        tenantId,
      ),
      users: await inRegistry(
        'SELECT user_id, email, role, is_active FROM tenant_users WHERE tenant_id = :tenantId::uuid ORDER BY 1',
        tenantId,
      ),
      backups: await inRegistry(
        `SELECT backup_id, tier, isolation_model, epoch, schema_version, status, prefix, rows, bytes, manifest_sha256
         FROM tenant_backups WHERE tenant_id = :tenantId::uuid ORDER BY 1`,
        tenantId,
      ),
      parts: await inRegistry(
        `SELECT p.backup_id, table_name, part_index, object_key, p.rows, sha256, state FROM tenant_backup_parts p
         JOIN tenant_backups USING (backup_id) WHERE tenant_id = :tenantId::uuid ORDER BY 1, 2, 3`,
        tenantId,
      ),
    });
    const before = await snapshot();
    await forget(tenant);

    const kinds = ['tenant-unknown', 'backup-unknown', 'backup-unknown'];
    expect(kindsOf(await reconcile(false), tenant)).toEqual(kinds);
    expect(await routeOf(tenant)).toBeUndefined();
    expect(outcomesOf(await reconcile(true), tenant)).toEqual(kinds.map(() => 'mended'));
    expect(await snapshot()).toEqual(before);
    expect(JSON.stringify(before.backups)).toContain(backupId);
    expect(await routeOf(tenant)).toMatchObject({ epoch: 1, role_name: tenant.roleName, cell_id: 'us-1' });
    expect(kindsOf(await reconcile(true), tenant)).toEqual([]);
  });

  test('is reported but not changed if it has no backup', async () => {
    const tenant = await world.addTenant('shared');
    await forget(tenant);
    const found = await reconcile(true);
    expect(kindsOf(found, tenant)).toEqual(['tenant-unknown']);
    expect(outcomesOf(found, tenant)).toEqual(['left']);
  });

  test('is not restored if another tenant has its slug', async () => {
    const [tenant, other] = [await world.addTenant('shared'), await world.addTenant('shared')];
    await world.backUp(tenant);
    await forget(tenant);
    await world.registryCalls.query('UPDATE tenants SET tenant_slug = :slug WHERE tenant_id = :other::uuid', {
      slug: tenant.tenantId,
      other: other.tenantId,
    });
    expect(outcomesOf(await reconcile(true), tenant)).toEqual(['left', 'left']);
    expect(await routeOf(tenant)).toBeUndefined();
  });
});

describe('backups', () => {
  test('that the registry does not have get their records back, and records without a manifest are reported', async () => {
    const tenant = await world.addTenant('shared');
    const [kept, lost] = [await world.backUp(tenant), await world.backUp(tenant)];
    await world.registryCalls.query('DELETE FROM tenant_backups WHERE backup_id = :id::uuid', {
      id: kept.backupId,
    });
    await world.bucket.store.delete([`${lost.prefix}manifest.json`]);
    const found = await reconcile(true);
    expect(kindsOf(found, tenant)).toEqual(['backup-unknown', 'backup-without-manifest']);
    expect(outcomesOf(found, tenant)).toEqual(['mended', 'left']);
    expect(kindsOf(await reconcile(true), tenant)).toEqual(['backup-without-manifest']);
  });

  test('that are finishing are not changed', async () => {
    const tenant = await world.addTenant('shared');
    const { backupId } = await world.backUp(tenant);
    await world.registryCalls.query(
      "UPDATE tenant_backups SET status = 'running', finished_at = NULL WHERE backup_id = :id::uuid",
      { id: backupId },
    );
    expect(kindsOf(await reconcile(true), tenant)).toEqual([]);
  });
});

test('a run that is killed at any statement mends a tenant entirely or not at all; the next run mends the rest', async () => {
  const tenant = await world.addTenant('schema');
  await world.backUp(tenant);
  await forget(tenant);
  let killed = 0;
  for (let at = 0; ; at++) {
    let statements = 0;
    const dying: Registry = {
      query: (sql, parameters) => world.registryCalls.query(sql, parameters),
      transaction: (work) =>
        world.registryCalls.transaction((transaction) => {
          const counted: RegistryExecutor = {
            query: (sql, parameters) => {
              if (statements++ === at) throw new Error('killed');
              return transaction.query(sql, parameters);
            },
          };
          return work(counted);
        }),
    };
    const outcome = await reconcile(true, { registry: dying }).catch((error: Error) => error);
    if (!(outcome instanceof Error)) break;
    expect(outcome.message).toBe('killed');
    // Later statements belong to the bystander.
    if (await routeOf(tenant)) expect(kindsOf(await reconcile(false), tenant)).toEqual([]);
    else killed += 1;
  }
  expect(killed).toBeGreaterThan(8);
  expect(kindsOf(await reconcile(true), tenant)).toEqual([]);
  expect(await routeOf(tenant)).toMatchObject({ epoch: 1 });
});

test('a cell that cannot be reached is reported, and without it no tenant is decided', async () => {
  const tenant = await world.addTenant('schema');
  await inCell('UPDATE tenancy.placement SET epoch = 2 WHERE tenant_id = $1', tenant.tenantId);
  const cellId = `us-${randomUUID().slice(0, 8)}`;
  const copied = `INSERT INTO cells SELECT (jsonb_populate_record(c,
      jsonb_build_object('cell_id', $1::text, 'database_name', 'nowhere'))).*
    FROM cells c WHERE cell_id = 'us-1'`;
  await asSuperuser(copied, cellId);
  try {
    const found = await reconcile(true);
    expect(found.differences[0]).toMatchObject({ tenantId: null, kind: 'database-unreachable' });
    expect(kindsOf(found, tenant)).toEqual(['database-unreachable']);
    expect(await routeOf(tenant)).toMatchObject({ epoch: 1 });
  } finally {
    await asSuperuser('DELETE FROM cells WHERE cell_id = $1', cellId);
  }
});

describe('a tenant whose rows are lost', () => {
  const SETTINGS = `tenant_name, tenant_slug, subscription_tier, billing_email, monthly_revenue, max_users, max_storage_gb,
    features, data_residency, compliance_requirements, clone_of, date_trunc('milliseconds', created_at) AS created_at`;
  const settingsOf = async ({ tenantId }: BackedUp) => ({
    tenant: await inRegistry(`SELECT ${SETTINGS} FROM tenants WHERE tenant_id = :tenantId::uuid`, tenantId),
    users: await inRegistry(
      'SELECT user_id, email, role, is_active FROM tenant_users WHERE tenant_id = :tenantId::uuid ORDER BY 1',
      tenantId,
    ),
  });

  /** With what an operator has set. */
  async function customisedTenant(model: 'shared' | 'schema'): Promise<BackedUp> {
    const tenant = await world.addTenant(model);
    await inRegistry(
      `UPDATE tenants SET billing_email = 'bill@x.test', monthly_revenue = 1234.56, max_users = 77, max_storage_gb = 9,
         features = '{"beta": {"on": true}}', compliance_requirements = '["gdpr"]' WHERE tenant_id = :tenantId::uuid`,
      tenant.tenantId,
    );
    for (const [email, role] of [
      ['first@x.test', 'admin'],
      ['second@x.test', 'viewer'],
    ])
      await world.registryCalls.query(
        'INSERT INTO tenant_users (tenant_id, email, role) VALUES (:tenantId::uuid, :email, :role)',
        { tenantId: tenant.tenantId, email, role },
      );
    return tenant;
  }

  const losePlace = ({ tenantId }: BackedUp) =>
    inCell('DELETE FROM tenancy.placement WHERE tenant_id = $1', tenantId);

  const inputOf = ({ tenantId, isolationModel }: BackedUp) =>
    validateOnboardingInput({
      name: tenantId,
      // Test tenants have their id as slug, which no new tenant may have.
      slug: 'any',
      adminEmail: 'someone@x.test',
      tier: isolationModel === 'shared' ? 'starter' : 'business',
      billingEmail: 'bill@x.test',
      complianceRequirements: ['gdpr'],
    });

  test.each(['shared', 'schema'] as const)(
    'with its region comes back from its latest manifest, under its own id (%s)',
    async (model) => {
      const tenant = await customisedTenant(model);
      const { tenantId } = tenant;
      await world.backUp(tenant);
      const { backupId } = await world.backUp(tenant);
      const before = await settingsOf(tenant);
      await forget(tenant);
      await losePlace(tenant);

      const left = await reconcile(true);
      expect([kindsOf(left, tenant), outcomesOf(left, tenant)]).toEqual([
        ['tenant-only-backed-up'],
        ['left'],
      ]);
      expect(await routeOf(tenant)).toBeUndefined();

      const kinds = ['tenant-only-backed-up', 'backup-unknown', 'backup-unknown'];
      expect(kindsOf(await reconcile(false, { registerLost: true }), tenant)).toEqual(kinds);
      expect(await routeOf(tenant)).toBeUndefined();
      const found = await reconcile(true, { registerLost: true });
      expect(outcomesOf(found, tenant)).toEqual(kinds.map(() => 'mended'));
      expect(await settingsOf(tenant)).toEqual(before);
      expect(await getTenant(world.registryCalls, tenantId)).toMatchObject({
        status: 'failed',
        reason: expect.stringContaining(backupId),
        restoreFrom: backupId,
        epoch: 2,
        cellId: 'us-1',
      });
      const ownName = `tenant_${tenantId.replaceAll('-', '')}_e2`;
      expect(await routeOf(tenant)).toMatchObject(
        model === 'shared'
          ? { schema_name: 'shared', role_name: 'strata_starter' }
          : { schema_name: ownName, role_name: ownName, secret_arn: null },
      );
      expect(kindsOf(await reconcile(true, { registerLost: true }), tenant)).toEqual([]);
    },
  );

  test('is onboarded again with any administrator’s address, is not served, and is active again after a restore', async () => {
    const tenant = await customisedTenant('schema');
    const { tenantId } = tenant;
    const { backupId } = await world.backUp(tenant);
    await forget(tenant);
    await losePlace(tenant);
    await reconcile(true, { registerLost: true });
    const { users } = await settingsOf(tenant);

    const resumed = await registerTenant(
      world.registryCalls as DataApi,
      { ...inputOf(tenant), slug: tenantId },
      { actor: { id: 'operator', type: 'operator' } },
    );
    expect(resumed).toMatchObject({ tenantId, status: 'provisioning', restoreFrom: backupId, epoch: 2 });
    await inCell(
      `INSERT INTO tenancy.placement (tenant_id, epoch, isolation_model, schema_name, role_name)
       SELECT $1::uuid, 2, 'schema', name, name FROM (SELECT 'tenant_' || replace($1::text, '-', '') || '_e2' AS name)`,
      tenantId,
    );
    // An onboarding that is under way is not mistaken for a tenant that works.
    expect(kindsOf(await reconcile(true), tenant)).toEqual([]);
    await inRegistry(
      "UPDATE tenant_database_routing SET secret_arn = 'arn' WHERE tenant_id = :tenantId::uuid",
      tenantId,
    );
    const activated = await activateTenant(world.registryCalls as DataApi, tenantId, {
      id: 'workflow',
      type: 'workflow',
    });
    expect(activated).toMatchObject({ status: 'suspended', reason: expect.stringMatching(/restore/i) });
    expect((await settingsOf(tenant)).users).toEqual(users);
    await inRegistry(
      "UPDATE tenant_backups SET started_at = now() - interval '2 days' WHERE tenant_id = :tenantId::uuid",
      tenantId,
    );
    const { groups } = await listDueTenants(world.registryCalls, 'us');
    expect(groups.flatMap(({ tenants }) => tenants)).not.toContainEqual({ tenantId });

    await endLoss(world.registryCalls, tenantId);
    const restored = await getTenant(world.registryCalls, tenantId);
    expect(restored).toMatchObject({ status: 'active', reason: null });
    expect(restored).not.toHaveProperty('restoreFrom');
  });

  test('and that an operator makes active is served as it is', async () => {
    const tenant = await world.addTenant('schema');
    const { tenantId } = tenant;
    await inRegistry(
      `UPDATE tenants SET status = 'suspended', status_reason = 'x', lost = '{"epoch": 1, "status": "active"}'
       WHERE tenant_id = :tenantId::uuid`,
      tenantId,
    );
    await updateTenant(
      world.registryCalls as DataApi,
      tenantId,
      { status: 'active' },
      { actor: 'operator', ifMatch: undefined },
    );
    const [row] = await inRegistry(
      'SELECT status, lost FROM tenants WHERE tenant_id = :tenantId::uuid',
      tenantId,
    );
    expect(row).toEqual({ status: 'active', lost: null });
  });

  test('with its cell keeps its record, its users and the status that it had', async () => {
    const tenant = await customisedTenant('schema');
    const { tenantId } = tenant;
    const { backupId } = await world.backUp(tenant);
    // Since the backup: they are the registry's, which is not lost.
    await inRegistry(
      "UPDATE tenants SET max_users = 99, status = 'suspended' WHERE tenant_id = :tenantId::uuid",
      tenantId,
    );
    await inRegistry(
      'UPDATE tenant_database_routing SET epoch = 7 WHERE tenant_id = :tenantId::uuid',
      tenantId,
    );
    await losePlace(tenant);
    const before = await settingsOf(tenant);

    const left = await reconcile(true);
    expect([kindsOf(left, tenant), outcomesOf(left, tenant)]).toEqual([
      ['tenant-without-placement'],
      ['left'],
    ]);
    expect(outcomesOf(await reconcile(true, { registerLost: true }), tenant)).toEqual(['mended']);
    expect(await settingsOf(tenant)).toEqual(before);
    expect(await getTenant(world.registryCalls, tenantId)).toMatchObject({
      status: 'failed',
      restoreFrom: backupId,
      epoch: 8,
    });
    await inRegistry("UPDATE tenants SET status = 'suspended' WHERE tenant_id = :tenantId::uuid", tenantId);
    await endLoss(world.registryCalls, tenantId);
    expect(await getTenant(world.registryCalls, tenantId)).toMatchObject({ status: 'suspended' });
  });

  test('is left where another region has it, where its slug is taken, and where no cell has room', async () => {
    const [elsewhere, taken, homeless] = [
      await world.addTenant('shared'),
      await world.addTenant('shared'),
      await world.addTenant('schema'),
    ];
    for (const tenant of [elsewhere, taken, homeless]) {
      await world.backUp(tenant);
      await forget(tenant);
      await losePlace(tenant);
    }
    const found = await reconcile(true, { registerLost: true, otherRegion: 'eu' });
    expect(outcomesOf(found, elsewhere)).toEqual(['left']);
    expect(found.differences.find(({ tenantId }) => tenantId === elsewhere.tenantId)?.says).toContain(
      'region eu',
    );

    const other = await world.addTenant('shared');
    await world.registryCalls.query('UPDATE tenants SET tenant_slug = :slug WHERE tenant_id = :other::uuid', {
      slug: taken.tenantId,
      other: other.tenantId,
    });
    await asSuperuser('UPDATE cells SET max_business_tenants = 0 WHERE cell_id = $1', 'us-1');
    try {
      const rest = await reconcile(true, { registerLost: true });
      expect(outcomesOf(rest, elsewhere)).toEqual(['mended', 'mended']);
      expect(outcomesOf(rest, taken)).toEqual(['left', 'left']);
      expect(outcomesOf(rest, homeless)).toEqual(['left', 'left']);
      for (const tenant of [taken, homeless]) expect(await routeOf(tenant)).toBeUndefined();
    } finally {
      await asSuperuser('UPDATE cells SET max_business_tenants = 190 WHERE cell_id = $1', 'us-1');
    }
  });

  test('is left where none of its backups can be restored any more', async () => {
    const tenant = await world.addTenant('shared');
    const { prefix } = await world.backUp(tenant);
    await forget(tenant);
    await losePlace(tenant);
    await world.bucket.store.delete([`${prefix}manifest.json`]);
    expect(kindsOf(await reconcile(true, { registerLost: true }), tenant)).toEqual([]);
    await world.bucket.store.putText(`${prefix}manifest.json`, '{}', 'application/json');
    expect(outcomesOf(await reconcile(true, { registerLost: true }), tenant)).toEqual(['left', 'left']);
    expect(await routeOf(tenant)).toBeUndefined();
  });
});
