import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import type { Place } from '../../functions/places/place.ts';
import { connectAs } from '../database-server.ts';
import { asTenant } from '../enter-tenant.ts';
import type { Login, TestDatabase } from '../test-database.ts';

/** As the test world gives them: the cell's own role, a tenant's first one, one that an attempt has made. */
export function loginOf(database: TestDatabase, { isolationModel, roleName }: Place): Login {
  return isolationModel === 'shared'
    ? database.login('starter')
    : { user: roleName, password: `password of ${roleName}` };
}

/** A boss, two who report to her, and a team; as a request, which waits for a dead mover's fence as the router does. */
export async function addPeople(
  database: TestDatabase,
  place: Place,
  tenantId: string,
  name: string,
): Promise<void> {
  const [boss, team] = [randomUUID(), randomUUID()];
  const add = (client: pg.Client) =>
    client.query(
      `INSERT INTO employees (employee_id, email, first_name, last_name, manager_id)
       SELECT CASE n WHEN 0 THEN '${boss}'::uuid ELSE gen_random_uuid() END, '${name}-' || n || '-${boss}@x.test', 'A', 'B',
              CASE WHEN n > 0 THEN '${boss}'::uuid END FROM generate_series(0, 2) n;
       INSERT INTO teams (team_id, team_name, manager_id) VALUES ('${team}', 'T', '${boss}');
       INSERT INTO team_members (team_id, employee_id) VALUES ('${team}', '${boss}');
       INSERT INTO audit_log (action, resource_type) VALUES ('add', 'employee')`,
    );
  const deadline = performance.now() + 10_000;
  const client = await connectAs(database.server, loginOf(database, place), database.name);
  try {
    for (;;) {
      try {
        await asTenant(client, { tenantId, epoch: place.epoch }, 'write', () => add(client));
        return;
      } catch (error) {
        const { code, detail } = error as { code?: string; detail?: string };
        if (code !== 'TN001' || performance.now() > deadline) throw error;
        const { fenceToken, expired } = JSON.parse(detail ?? '{}');
        if (expired) await client.query('SELECT tenancy.clear_fence($1, $2)', [tenantId, fenceToken]);
        else await delay(ASK_AGAIN_MS);
      }
    }
  } finally {
    await client.end();
  }
}

/** While a fence is up. */
const ASK_AGAIN_MS = 10;

/** What a request reads there, in order. */
export async function emailsAt(database: TestDatabase, place: Place, tenantId: string): Promise<string[]> {
  const client = await connectAs(database.server, loginOf(database, place), database.name);
  try {
    return await asTenant(client, { tenantId, epoch: place.epoch }, 'read', async () => {
      const { rows } = await client.query<{ email: string }>('SELECT email FROM employees ORDER BY email');
      return rows.map(({ email }) => email);
    });
  } finally {
    await client.end();
  }
}

/** What the planner has sampled of the shared column of addresses. Several tenants have rows there. */
export async function sampledEmails(superuser: pg.Client): Promise<string> {
  const { rows } = await superuser.query<{ emails: string | null }>(
    `SELECT concat(most_common_vals::text, histogram_bounds::text) AS emails FROM pg_stats
     WHERE schemaname = 'shared' AND tablename = 'employees' AND attname = 'email'`,
  );
  return rows[0]?.emails ?? '';
}
