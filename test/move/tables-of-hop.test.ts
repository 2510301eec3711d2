import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { TENANT_SCHEMA_VERSION } from '../../functions/database/tables/schema-version.ts';
import { TablesNewer, TablesUpgrading } from '../../functions/moves/errors.ts';
import { prepare } from '../../functions/moves/hop-phases.ts';
import { TestDatabase } from '../test-database.ts';
import { addPeople } from './few-people.ts';
import { arrivalIn, hopOf, placeOf, StepLog, startHopWorld } from './hop-world.ts';
import type { LocalSecrets } from './local-secrets.ts';
import { reshape } from './reshape-steps.ts';

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

async function begin(
  model: 'shared' | 'schema',
  agreed?: number,
  version: number = TENANT_SCHEMA_VERSION,
): Promise<StepLog> {
  const tenant = await database.addTenant(model, randomUUID(), version);
  await addPeople(database, placeOf(database, tenant), tenant.tenantId, 'before');
  const { tenantId } = tenant;
  const to = model === 'shared' ? 'schema' : 'shared';
  const target = await arrivalIn(database, secrets, to, { tenantId, epoch: 2 });
  const source = placeOf(database, tenant);
  const known = agreed === undefined ? {} : { schemaVersion: agreed };
  return new StepLog(hopOf('reshape', tenantId, source, { ...target, ...known }));
}

const placementOf = async ({ hop }: StepLog) => {
  const { rows } = await superuser.query(
    'SELECT mover, epoch::integer, forward FROM tenancy.placement WHERE tenant_id = $1',
    [hop.attempt.tenantId],
  );
  return rows[0];
};
const SHARED = 'tenancy.shared_schema_migrations';
const historyOf = async (table: string) =>
  (await superuser.query<{ name: string }>(`SELECT name FROM ${table} ORDER BY name`)).rows.map(
    ({ name }) => name,
  );

test('a new hop brings its schema up to date and tells its version with the forward', async () => {
  const log = await begin('schema', undefined, 1);
  await log.run(prepare);
  expect(log.hop.target.schemaVersion).toBe(TENANT_SCHEMA_VERSION);
  expect(await historyOf(`${log.hop.source.schemaName}.schema_migrations`)).toHaveLength(
    TENANT_SCHEMA_VERSION,
  );
  await reshape(log);
  expect(await placementOf(log)).toMatchObject({ forward: { schema_version: TENANT_SCHEMA_VERSION } });
});

describe('while the shared tables are older than the release', () => {
  let removed: object[];
  beforeEach(async () => {
    removed = (await superuser.query(`DELETE FROM ${SHARED} WHERE name >= '0002' RETURNING *`)).rows;
  });
  const restore = () =>
    superuser.query(
      `INSERT INTO ${SHARED} SELECT * FROM json_populate_recordset(NULL::${SHARED}, $1)
      ON CONFLICT DO NOTHING`,
      [JSON.stringify(removed)],
    );
  afterEach(restore);

  test.each(['shared', 'schema'] as const)(
    'a hop from %s waits, without the claim that a rollout would wait for',
    async (model) => {
      const log = await begin(model);
      await expect(log.run(prepare)).rejects.toBeInstanceOf(TablesUpgrading);
      expect(await placementOf(log)).toMatchObject({ mover: null });
      await restore();
      await log.run(prepare);
      expect(await placementOf(log)).toMatchObject({ mover: log.hop.attempt.attemptId });
    },
  );

  test('a hop that an older release has begun goes on with the version that it agreed upon', async () => {
    const log = await begin('shared', 1);
    const { attempt, target } = log.hop;
    await superuser.query('UPDATE tenancy.placement SET mover = $2 WHERE tenant_id = $1', [
      attempt.tenantId,
      attempt.attemptId,
    ]);
    await reshape(log);
    expect(await placementOf(log)).toMatchObject({ epoch: 2, forward: { schema_version: 1 } });
    expect(await historyOf(`${target.schemaName}.schema_migrations`)).toHaveLength(1);
  });
});

test.each(['shared', 'schema'] as const)(
  'an older release does not move a tenant from %s tables that a newer one has changed',
  async (model) => {
    const log = await begin(model);
    const history = model === 'shared' ? SHARED : `${log.hop.source.schemaName}.schema_migrations`;
    await superuser.query(`INSERT INTO ${history} VALUES ('0099-later', 'now')`);
    await expect(log.run(prepare)).rejects.toBeInstanceOf(TablesNewer);
    expect(log.hop.target.schemaVersion).toBeUndefined();
    await superuser.query(`DELETE FROM ${history} WHERE name = '0099-later'`);
  },
);

test('an older release does not go on with the hop of a newer one before it is committed', async () => {
  const log = await begin('shared', 99);
  await expect(log.run(prepare)).rejects.toBeInstanceOf(TablesNewer);
  expect(await placementOf(log)).toMatchObject({ mover: null });
});
