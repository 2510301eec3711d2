import { afterAll, beforeAll, expect, test } from 'vitest';
import { releaseClaim } from '../../functions/database/transfer/claim.ts';
import { summarizeSharedTables } from '../../functions/moves/summarize-target.ts';
import type { Place } from '../../functions/places/place.ts';
import { asTenant } from '../enter-tenant.ts';
import { TestDatabase } from '../test-database.ts';
import { loginOf } from './few-people.ts';
import { arrivalIn, hopOf, placeOf, StepLog, startHopWorld } from './hop-world.ts';
import type { LocalSecrets } from './local-secrets.ts';
import { reshape } from './reshape-steps.ts';

let database: TestDatabase;
let secrets: LocalSecrets;
beforeAll(async () => {
  database = await TestDatabase.clone();
  secrets = await startHopWorld();
});
afterAll(async () => {
  await database.drop();
  await secrets.stop();
});

const ADD_SKILL = `WITH skill AS (INSERT INTO skills (skill_name) VALUES ('SQL') RETURNING skill_id),
       employee AS (INSERT INTO employees (email, first_name, last_name) VALUES (gen_random_uuid() || '@test', 'A', 'L')
                    RETURNING employee_id)
  INSERT INTO employee_skills (employee_id, skill_id, proficiency_level)
  SELECT employee_id, skill_id, 'expert' FROM employee, skill`;

/** How many skills a request at the place finds in the summary; undefined before the first refresh there. */
async function summaryAt(place: Place, tenantId: string): Promise<number | undefined> {
  const client = await database.connect(loginOf(database, place));
  const found = await asTenant(client, { tenantId, epoch: place.epoch }, 'read', async () => {
    const { rowCount } = await client.query('SELECT FROM skills_summary JOIN skills USING (skill_id)');
    const refreshed = await client.query('SELECT FROM skills_summary_refresh');
    return refreshed.rowCount === 0 ? undefined : (rowCount ?? 0);
  });
  await client.end();
  return found;
}

test('a tenant has its summary right after a reshape up, and after one down once the move is settled', async () => {
  const tenant = await database.addTenant('shared');
  const { tenantId } = tenant;
  const client = await database.connect(tenant.login);
  await asTenant(client, tenant, 'write', () => client.query(ADD_SKILL));
  const start = placeOf(database, tenant);
  expect(await summaryAt(start, tenantId)).toBeUndefined();

  const up = new StepLog(
    hopOf('reshape', tenantId, start, await arrivalIn(database, secrets, 'schema', { tenantId, epoch: 2 })),
  );
  await reshape(up);
  const schema = up.hop.target;
  expect(await summaryAt(schema, tenantId)).toBe(1);

  // Left at the source: the row of the earlier stay.
  const owner = await database.connect('owner');
  const down = new StepLog(
    hopOf('reshape', tenantId, schema, await arrivalIn(database, secrets, 'shared', { tenantId, epoch: 3 })),
  );
  await releaseClaim(owner, up.hop.attempt);
  await reshape(down);
  expect(await summaryAt(down.hop.target, tenantId)).toBeUndefined();
  await summarizeSharedTables(down.hop);
  expect(await summaryAt(down.hop.target, tenantId)).toBe(1);
});

test('a refresh that fails at the target holds up no move', async () => {
  const tenant = await database.addTenant('shared');
  const { tenantId } = tenant;
  const log = new StepLog(
    hopOf(
      'reshape',
      tenantId,
      placeOf(database, tenant),
      await arrivalIn(database, secrets, 'schema', { tenantId, epoch: 2 }),
    ),
  );
  const owner = await database.connect('owner');
  log.onProgress = async () => {
    await owner.query(`DROP INDEX IF EXISTS ${log.hop.target.schemaName}.tenant_skills_summary_key`);
  };
  await reshape(log);
  expect(await summaryAt(log.hop.target, tenantId)).toBeUndefined();
});
