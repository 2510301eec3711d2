import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { SchemaUpgrading } from '../../functions/database/errors.ts';
import { tenantSql } from '../../functions/database/session/tenant-sql.ts';
import { TENANT_SCHEMA_VERSION } from '../../functions/database/tables/schema-version.ts';
import { toProblem } from '../../functions/http/problem-mapping.ts';
import { parseForward } from '../../functions/placement/placement.ts';
import { createWorld, type Model, type World, type WorldTenant } from '../isolation/tenant-world.ts';

let world: World;
beforeAll(async () => {
  world = await createWorld(1, { pooled: false });
});
afterAll(() => world?.end());

const emails = tenantSql.selectFrom('employees').select('email');
const tenantOf = (model: Model) =>
  world.tenants.find(({ isolationModel }) => isolationModel === model) as WorldTenant;

/** What the registry says of the tables where the tenant is. */
function setVersion({ tenantId, isolationModel }: WorldTenant, version: number) {
  return isolationModel === 'shared'
    ? world.registry.query('UPDATE cells SET schema_version = :version::integer', { version })
    : world.registry.query(
        'UPDATE tenant_database_routing SET schema_version = :version::integer WHERE tenant_id = :tenantId::uuid',
        { version, tenantId },
      );
}

describe.each(['shared', 'schema', 'dedicated'] as const)(
  'a %s tenant whose tables are behind the code',
  (model) => {
    test('gets a 503 that asks to come back, and the next request asks the registry again', async () => {
      const tenant = tenantOf(model);
      await setVersion(tenant, 0);
      const access = world.container({ freshForMs: 60_000 }).access(tenant);
      const error = await access.batch('read', [emails]).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(SchemaUpgrading);
      expect(toProblem(error)).toMatchObject({
        status: 503,
        problemType: 'schema-upgrading',
        headers: { 'retry-after': '5' },
      });
      // The tables were brought up to date; the container believes its older answer for a minute.
      await setVersion(tenant, TENANT_SCHEMA_VERSION);
      await expect(access.batch('read', [emails])).resolves.toEqual([[]]);
      await expect(access.transaction('write', (transaction) => transaction.query(emails))).resolves.toEqual(
        [],
      );
    });

    test('is answered 503, and not 500, where the database lacks what the registry says it has', async () => {
      const tenant = tenantOf(model);
      const owner = await tenant.database.connect('owner');
      const table = `${model === 'shared' ? 'shared' : tenant.schemaName}.employees`;
      await owner.query(`ALTER TABLE ${table} RENAME COLUMN job_title TO job_title_away`);
      const access = world.container().access(tenant);
      const titles = tenantSql.selectFrom('employees').select('job_title');
      await expect(access.batch('read', [titles])).rejects.toBeInstanceOf(SchemaUpgrading);
      await expect(access.batch('write', [titles])).rejects.toBeInstanceOf(SchemaUpgrading);
      await expect(access.batch('read', [emails])).resolves.toEqual([[]]);
      await owner.query(`ALTER TABLE ${table} RENAME COLUMN job_title_away TO job_title`);
      await owner.end();
    });
  },
);

test('a placement that the former database told carries the version of its tables', async () => {
  const { directory } = world.container();
  const tenant = tenantOf('dedicated');
  await directory.byId(tenant.tenantId);
  const { forward } = await world.addHome(tenant, 2);
  const placement = parseForward(tenant.tenantId, { ...forward, schema_version: 7 });
  expect(placement).toMatchObject({ epoch: 2, schemaVersion: 7 });
  expect(parseForward(tenant.tenantId, forward)?.schemaVersion).toBeUndefined();
});
