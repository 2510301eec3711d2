/** Tables so large that they arrive without their primary keys: these are built behind the copies, whoever is there then. */
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { tenantSql } from '../../functions/database/session/tenant-sql.ts';
import { type Hop, replicationName } from '../../functions/moves/hop.ts';
import { copyRelocate } from '../../functions/moves/relocate/copy-relocate.ts';
import { LARGE_BYTES } from '../../functions/moves/relocate/late-keys.ts';
import { rollBackRelocate } from '../../functions/moves/relocate/roll-back-relocate.ts';
import { FULL_RUN } from '../full-run.ts';
import {
  createRelocationWorld,
  linesOf,
  type RelocationWorld,
  stepContext,
  type WorldTenant,
} from './relocation-world.ts';
import { runRelocation } from './run-relocation.ts';

let world: RelocationWorld;
beforeAll(async () => {
  world = await createRelocationWorld();
});
afterAll(() => world?.end());

const ROW_BYTES = 1_800;

/** A tenant whose employees take more room than a table that has its key from the start. */
async function largeTenant(): Promise<WorldTenant> {
  const tenant = await world.addTenant();
  const owner = await world.x.connect('owner');
  const filler = Array.from({ length: Math.ceil(ROW_BYTES / 32) }, (_, n) => `md5((n + ${n})::text)`);
  await owner.query(
    `INSERT INTO ${tenant.place.schemaName}.employees (email, first_name, last_name, profile_data)
     SELECT n || '@x.test', 'Ada', 'Lovelace', to_jsonb(${filler.join(' || ')}) FROM generate_series(1, $1::integer) n`,
    [Math.ceil((1.2 * LARGE_BYTES) / ROW_BYTES)],
  );
  await owner.end();
  return tenant;
}

/** Changes all employees, some at a time, until it is stopped. @returns how many it has changed. */
function changing({ access, place }: WorldTenant): () => Promise<number> {
  let stopping = false;
  let changed = 0;
  const run = async () => {
    const ids = await employeeIds(place.schemaName);
    for (let n = 0; !stopping; n = (n + 1) % ids.length) {
      const employee = tenantSql.updateTable('employees').where('employee_id', '=', ids[n]!);
      await access.batch('write', [employee.set({ job_title: `Changed ${++changed}` })]);
      // The move needs the processor, too.
      await delay(5);
    }
    return changed;
  };
  const running = run();
  return () => {
    stopping = true;
    return running;
  };
}

async function employeeIds(schemaName: string): Promise<string[]> {
  const owner = await world.x.connect('owner');
  const { rows } = await owner.query<{ id: string }>(`SELECT employee_id AS id FROM ${schemaName}.employees`);
  await owner.end();
  return rows.map(({ id }) => id);
}

async function atTarget<Row>(sql: string, values: unknown[] = []): Promise<Row> {
  const superuser = await world.y.connect('superuser');
  const { rows } = await superuser.query(sql, values);
  await superuser.end();
  return rows[0] as Row;
}

const isKeyed = async ({ target }: Hop) =>
  (
    await atTarget<{ keyed: boolean }>(
      `SELECT EXISTS (SELECT FROM pg_index WHERE indrelid = $1::text::regclass AND indisprimary) AS keyed`,
      [`${target.schemaName}.employees`],
    )
  ).keyed;

/** As a mover does that dies a moment later. */
const startCopies = (hop: Hop) => atTarget(`ALTER SUBSCRIPTION ${replicationName(hop)} ENABLE`);

const mayCopy = async (hop: Hop) =>
  (
    await atTarget<{ enabled: boolean }>(
      'SELECT subenabled AS enabled FROM pg_subscription WHERE subname = $1',
      [replicationName(hop)],
    )
  ).enabled;

const isAwaited = async ({ target }: Hop) =>
  (
    await atTarget<{ awaited: boolean }>(
      `SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = $1::text::regclass) AS awaited`,
      [`${target.schemaName}.employees`],
    )
  ).awaited;

const failuresOf = async (hop: Hop) =>
  (
    await atTarget<{ failures: number }>(
      `SELECT coalesce(sum(apply_error_count + sync_error_count), 0)::integer AS failures
       FROM pg_stat_subscription_stats WHERE subname = $1`,
      [replicationName(hop)],
    )
  ).failures;

async function changedRows(tenant: WorldTenant): Promise<number> {
  const [rows] = await tenant.access.batch('read', [
    tenantSql.selectFrom('employees').select('job_title').where('job_title', 'like', 'Changed %'),
  ]);
  return (rows as unknown[]).length;
}

/** A move that is prepared, under changes of what it will copy. */
async function prepared() {
  const tenant = await largeTenant();
  const hop = await world.hop(tenant, world.y);
  const stop = changing(tenant);
  return { tenant, hop, stop, kept: await runRelocation(hop, { to: 'prepare' }) };
}

test('the key is built when the rows have been copied, and no change meanwhile is lost', {
  timeout: 120_000,
}, async () => {
  const { tenant, hop, stop, kept } = await prepared();
  expect(await isKeyed(hop)).toBe(false);
  // Nobody is there yet who would ask for the key.
  expect(await mayCopy(hop)).toBe(false);
  await runRelocation(hop, { from: 'copy', to: 'copy', kept });
  expect(await isKeyed(hop)).toBe(true);
  expect(await failuresOf(hop)).toBe(0);
  expect(kept.forgivenFailures).toBeUndefined();
  await runRelocation(hop, { from: 'index', to: 'cut-over', kept });
  const changed = await stop();
  await runRelocation(hop, { from: 'compare', kept });
  await world.settle(tenant, hop);
  expect(changed).toBeGreaterThan(0);
  expect(await changedRows(tenant)).toBe(changed);
});

test.runIf(FULL_RUN)(
  'where no mover was there in time, the worker fails until one is, and nothing is lost',
  {
    timeout: 120_000,
  },
  async () => {
    const { tenant, hop, stop, kept } = await prepared();
    await startCopies(hop);
    await expect.poll(() => failuresOf(hop), { timeout: 60_000, interval: 100 }).toBeGreaterThan(0);
    await runRelocation(hop, { from: 'copy', to: 'cut-over', kept });
    expect(kept.forgivenFailures).toBeGreaterThan(0);
    const changed = await stop();
    await runRelocation(hop, { from: 'compare', kept });
    await world.settle(tenant, hop);
    expect(await changedRows(tenant)).toBe(changed);
  },
);

test.runIf(FULL_RUN)(
  'given up while a key waits behind its copy, the move leaves nothing',
  {
    timeout: 120_000,
  },
  async () => {
    const tenant = await largeTenant();
    const before = linesOf(await world.inventory(), tenant);
    const hop = await world.hop(tenant, world.y);
    const kept = await runRelocation(hop, { to: 'prepare' });
    // As the copy does, only for longer.
    const writer = await world.y.connect('owner');
    await writer.query(`BEGIN; LOCK TABLE ${hop.target.schemaName}.employees IN ROW EXCLUSIVE MODE`);
    const aborted = copyRelocate({
      ...stepContext(hop, kept, 60),
      progress: async () => {
        if (await isAwaited(hop)) throw new Error('aborted');
      },
    });
    await expect(aborted).rejects.toThrow('aborted');
    await writer.query('COMMIT');
    await rollBackRelocate(hop);
    expect(linesOf(await world.inventory(), tenant)).toEqual(before);
  },
);
