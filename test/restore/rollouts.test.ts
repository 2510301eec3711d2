/** Restores and schema rollouts exclude each other: neither changes tables that the other works on. */
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import type { asOwner } from '../../functions/database/session/owner-connection.ts';
import { beginRestore } from '../../functions/restores/begin-restore.ts';
import { RolloutInProgress } from '../../functions/restores/errors.ts';
import {
  beginRollout,
  finishRollout,
  runCanaries,
  runWave,
} from '../../functions/rollouts/rollout-phases.ts';
import { countTargets } from '../../functions/rollouts/rollout-targets.ts';
import type { RunOptions } from '../../functions/rollouts/run-targets.ts';
import type { BackedUp } from '../backup/backup-world.ts';
import { connectAs } from '../database-server.ts';
import { nextRelease } from '../rollouts/next-release.ts';
import { RestoreWorld, restoredTables } from './restore-world.ts';
import { damage } from './tenant-rows.ts';

let world: RestoreWorld;
let tenant: BackedUp;
let backupId: string;
beforeAll(async () => {
  world = await RestoreWorld.start();
  tenant = await world.addTenant('schema');
  await world.addRows(tenant.tenantId, 120);
  ({ backupId } = await world.backUp(tenant));
});
afterAll(() => world?.stop());

const connect = (async ({ database }: { database: string }, work: (owner: pg.Client) => Promise<unknown>) => {
  const server = inject('databaseServer');
  const owner = await connectAs(server, server.logins.owner, database);
  try {
    return await work(owner);
  } finally {
    await owner.end();
  }
}) as typeof asOwner;

const begin = () =>
  beginRollout(world.registry, {
    input: { except: [], rolloutId: undefined, startedBy: undefined },
    executionArn: `arn:aws:states:us-east-1:000000000000:execution:schema-rollout:${randomUUID()}`,
    region: 'us',
    release: nextRelease,
    statusOf: async () => 'running',
  });

const optionsOf = (rolloutId: string): RunOptions => ({
  registry: world.registry,
  rolloutId,
  release: nextRelease,
  connect,
  deadline: performance.now() + 60_000,
  onFailed: (_target, error) => {
    throw error;
  },
});

/** Whether the tenant's tables are those of the next release. */
async function isRolledOut(): Promise<boolean> {
  const { testDatabase, schemaName } = await world.place(tenant.tenantId);
  const { rowCount } = await (await world.superuser(testDatabase)).query(
    "SELECT FROM pg_attribute WHERE attrelid = $1::regclass AND attname = 'shown_name'",
    [`${schemaName}.employees`],
  );
  return rowCount === 1;
}

const movesOf = async () =>
  world.registry.query('SELECT move_id FROM tenant_moves WHERE tenant_id = :tenantId::uuid', {
    tenantId: tenant.tenantId,
  });

test('a restore is refused while a rollout runs, however it is asked for', async () => {
  const { tenantId } = tenant;
  const { rolloutId } = await begin();
  try {
    await expect(world.ask(tenantId, { mode: 'replace', backupId })).rejects.toThrow(RolloutInProgress);
    const input = { tenantId, backupId };
    await expect(beginRestore(world.registry, input, 'execution by hand')).rejects.toThrow(RolloutInProgress);
    expect(await movesOf()).toEqual([]);
  } finally {
    await world.registry.query(
      `UPDATE schema_rollouts SET status = 'aborted', finished_at = now() WHERE rollout_id = :rolloutId::uuid`,
      { rolloutId },
    );
  }
});

test('a rollout that begins during a restore leaves tenant and cell for later, and reaches the restored rows', async () => {
  const { tenantId } = tenant;
  const original = await world.rows(tenantId, restoredTables);
  await damage(world, tenant, [{ table: 'employees', kind: 'update', part: 1 }]);
  const asked = await world.ask(tenantId, { mode: 'replace', backupId });
  await world.run(asked, '0 copy');

  const { rolloutId, groups } = await begin();
  const options = optionsOf(rolloutId);
  await runCanaries(options);
  for (const group of groups) expect(await runWave(group, options)).toEqual({ next: 'wait' });
  expect(await countTargets(world.registry, rolloutId)).toMatchObject({ succeeded: 0, failed: 0 });
  expect(await isRolledOut()).toBe(false);

  await world.run(asked, undefined, '0 copy');
  expect(await world.view(asked)).toMatchObject({ status: 'succeeded' });
  for (const group of groups) while ((await runWave(group, options)).next === 'again');
  await finishRollout(world.registry, rolloutId);
  expect(await isRolledOut()).toBe(true);
  expect(await world.rows(tenantId, restoredTables)).toEqual(original);
});
