import { afterAll, beforeAll, expect, test } from 'vitest';
import { refreshSkillsSummary } from '../../functions/database/tables/refresh-skills-summary.ts';
import { releaseClaim } from '../../functions/database/transfer/claim.ts';
import { summarizeSharedTables } from '../../functions/moves/summarize-target.ts';
import type { Place } from '../../functions/places/place.ts';
import { asTenant } from '../enter-tenant.ts';
import { TestDatabase } from '../test-database.ts';
import { loginOf } from './few-people.ts';
import { arrivalIn, hopOf, placeOf, StepLog, startHopWorld } from './hop-world.ts';
import type { LocalSecrets } from './local-secrets.ts';
import { createRelocationWorld, type RelocationWorld } from './relocation-world.ts';
import { reshape } from './reshape-steps.ts';
import { runRelocation } from './run-relocation.ts';

let database: TestDatabase;
let secrets: LocalSecrets;
let world: RelocationWorld;
beforeAll(async () => {
  database = await TestDatabase.clone();
  secrets = await startHopWorld();
  world = await createRelocationWorld();
});
afterAll(async () => {
  await world?.end();
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

test('a tenant has its summary right after a relocation, and the publication has the tenant tables only', async () => {
  const tenant = await world.addTenant();
  const owner = await world.x.connect('owner');
  await owner.query(`SET search_path = '${tenant.place.schemaName}'`);
  await owner.query(ADD_SKILL);
  await refreshSkillsSummary(owner, tenant.place.schemaName, { always: true });
  const hop = await world.hop(tenant, world.y, 'dedicated');
  const kept = await runRelocation(hop, { to: 'catch-up' });
  const { rows } = await owner.query(
    `SELECT count(*)::int AS summaries FROM pg_publication_tables WHERE tablename LIKE '%summary%'`,
  );
  expect(rows).toEqual([{ summaries: 0 }]);
  await runRelocation(hop, { from: 'cut-over', kept });
  await world.settle(tenant, hop);
  const target = await world.y.connect('superuser');
  const { schemaName } = hop.target;
  const found = await target.query(
    `SELECT (SELECT count(*)::int FROM ${schemaName}.skills_summary) AS skills, refreshed_at IS NOT NULL AS refreshed
     FROM ${schemaName}.skills_summary_refresh`,
  );
  expect(found.rows).toEqual([{ skills: 1, refreshed: true }]);
});
