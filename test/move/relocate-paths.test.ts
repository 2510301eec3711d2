/** One tenant from cluster to cluster and back, while it is used. */
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { tenantSql } from '../../functions/database/session/tenant-sql.ts';
import { refreshSkillsSummary } from '../../functions/database/tables/refresh-skills-summary.ts';
import { cleanUpRelocate } from '../../functions/moves/relocate/clean-up-relocate.ts';
import { sampled } from '../full-run.ts';
import {
  createRelocationWorld,
  linesOf,
  type RelocationWorld,
  type WorldTenant,
} from './relocation-world.ts';
import { runRelocation } from './run-relocation.ts';

let world: RelocationWorld;
beforeAll(async () => {
  world = await createRelocationWorld();
});
afterAll(() => world?.end());

const emails = tenantSql.selectFrom('employees').select('email').orderBy('email');
const add = (email: string) =>
  tenantSql.insertInto('employees').values({ email, first_name: 'A', last_name: 'B' });

/** Clients that write one row after the other and read it back; answers what was acknowledged. */
function writers({ access }: WorldTenant, count: number): { stop(): Promise<string[]> } {
  const written: string[] = [];
  let running = true;
  const clients = Array.from({ length: count }, async () => {
    while (running) {
      const email = `${randomUUID()}@x.test`;
      await access.batch('write', [add(email)]);
      written.push(email);
      const [rows] = await access.batch('read', [emails.where('email', '=', email)]);
      expect(rows).toHaveLength(1);
      await delay(5);
    }
  });
  return {
    async stop() {
      running = false;
      await Promise.all(clients);
      return written;
    },
  };
}

const PATHS = [
  { path: 'schema to dedicated, and back', ends: ['x', 'y'], again: false },
  { path: 'schema to dedicated, back, and to a schema again', ends: ['y', 'x'], again: true },
] as const;

test.each(sampled(PATHS.slice(0, 1), PATHS.slice(1)))(
  '$path: nothing is lost, nothing fails, nothing is left',
  async ({ ends: [end, start], again }) => {
    const tenant = await world.addTenant();
    const { tenantId } = tenant;
    await tenant.access.batch('write', [add('first@x.test')]);
    const load = writers(tenant, 3);
    try {
      for (const [to, model] of [
        [world.y, 'dedicated'],
        [world.x, 'schema'],
        ...(again ? ([[world.y, 'schema']] as const) : []),
      ] as const) {
        const hop = await world.hop(tenant, to, model);
        const kept = await runRelocation(hop);
        await world.settle(tenant, hop);
        console.log(`pauses ${JSON.stringify(kept.pauses)} ms, ${kept.copiedRows} rows`);
        expect(kept.tables).toContainEqual(expect.objectContaining({ name: 'employees' }));
        expect(await cleanUpRelocate(hop, performance.now() + 10_000)).toEqual({ done: true });
      }
    } catch (error) {
      await load.stop();
      throw error;
    }
    const written = await load.stop();
    const [rows] = await tenant.access.batch('read', [emails]);
    expect(rows.map(({ email }) => email)).toEqual([...written, 'first@x.test'].sort());
    const name = tenant.place.schemaName;
    expect(linesOf(await world.inventory(), tenant)).toEqual(
      [
        `${end}: placement ${tenantId} ${tenant.place.epoch} active `,
        `${end}: role ${name}`,
        `${end}: schema ${name}`,
        `${start}: placement ${tenantId} ${tenant.place.epoch} moved `,
      ].sort(),
    );
    expect(tenant.place.epoch).toBe(again ? 4 : 3);
  },
);

const ADD_SKILL = `WITH skill AS (INSERT INTO skills (skill_name) VALUES ('SQL') RETURNING skill_id),
       employee AS (INSERT INTO employees (email, first_name, last_name) VALUES ('a@x.test', 'A', 'L')
                    RETURNING employee_id)
  INSERT INTO employee_skills (employee_id, skill_id, proficiency_level)
  SELECT employee_id, skill_id, 'expert' FROM employee, skill`;

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
