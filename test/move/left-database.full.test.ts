import { CreateDBClusterSnapshotCommand, RDSClient } from '@aws-sdk/client-rds';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { launchTarget } from '../../functions/moves/make-target.ts';
import { FinalSnapshotFailed } from '../../functions/places/errors.ts';
import { DELETED, EPOCH, type LeftDatabase, LeftDatabaseWorld, WHOLE } from './left-database-world.ts';

let world: LeftDatabaseWorld;
let left: LeftDatabase;
beforeAll(async () => {
  world = await LeftDatabaseWorld.start();
});
afterAll(() => world?.stop());
beforeEach(async () => {
  left = await world.addTenant();
});

test('nothing is deleted before the final snapshot is there', async () => {
  while ((await left.remains()).snapshots.length === 0) await left.once();
  const { clusters, proxies, secrets } = await left.remains();
  expect({ clusters, proxies, secrets }).toEqual({ clusters: ['available'], proxies: 1, secrets: 3 });
});

test('a final snapshot that is another cluster’s stops the deletion', async () => {
  await new RDSClient(world.aws).send(
    new CreateDBClusterSnapshotCommand({
      DBClusterIdentifier: 'registry',
      DBClusterSnapshotIdentifier: `${left.stackName}-e${EPOCH}`,
    }),
  );
  await expect(left.once()).rejects.toThrow(FinalSnapshotFailed);
  expect(await left.remains()).toMatchObject({ clusters: ['available'], proxies: 1, secrets: 3 });
});

test('killed before and behind each call that changes something, the next execution goes on', async () => {
  const calls = [
    'CommitTransaction',
    'CreateDBClusterSnapshot',
    'DeleteDBProxy',
    'ModifyDBCluster',
    'DeleteDBInstance',
    'DeleteDBCluster',
    'DeleteSecret',
    'DeleteStack',
  ];
  const seen = new Map<string, number>();
  let killed = false;
  world.relay.fate = (operation) => {
    if (killed) return 'dropped';
    if (!calls.includes(operation)) return 'passed';
    const times = (seen.get(operation) ?? 0) + 1;
    seen.set(operation, times);
    if (times > 2) return 'passed';
    killed = true;
    return times === 1 ? 'dropped' : 'lost';
  };
  let kills = 0;
  const finished = async () => {
    killed = false;
    try {
      return (await left.once()).done;
    } catch {
      kills += 1;
      return false;
    }
  };
  await expect.poll(finished, { timeout: 50_000, interval: 10 }).toBe(true);
  // What needs no second call (the first was run and not answered) is not called again.
  expect([...seen.keys()].sort()).toEqual([...calls].sort());
  expect(kills).toBeGreaterThan(calls.length);
  expect(await left.remains()).toEqual(DELETED);
  expect(await left.hop()).toMatchObject({
    state: 'cleaned',
    report: { deletedDatabase: { cluster: expect.any(String) } },
  });
});

test('two executions at once delete one database', async () => {
  await Promise.all([left.untilDone(), left.untilDone()]);
  expect(await left.remains()).toEqual(DELETED);
});

test('a tenant that lives there again keeps its database', async () => {
  await world.plane.master.query(
    `INSERT INTO tenant_database_routing (tenant_id, database_type, database_host, database_port, database_name, isolation_model,
            role_name, epoch, region, stack_name, cluster_arn, writer_host, secret_arn, schema_name)
     VALUES (:tenantId::uuid, 'postgresql', 'h', 5432, 'strata', 'dedicated', 'r', 5, 'us', :stackName, 'c', 'w', 's', 'r')`,
    { tenantId: left.tenantId, stackName: left.stackName },
  );
  expect(await left.once()).toEqual({ done: true });
  expect(await left.remains()).toEqual(WHOLE);
  expect(await left.hop()).toMatchObject({ state: 'cleaned', report: { rows: 1 } });
});

test('of two stays in one database the clean-up of the later one deletes it', async () => {
  const later = await left.leave(EPOCH + 2);
  expect(await left.once()).toEqual({ done: true });
  expect(await left.remains()).toEqual(WHOLE);
  await left.untilDone(later);
  expect(await left.remains()).toEqual({ ...DELETED, snapshots: [`e${EPOCH + 2} available`] });
});

test('a move back adopts the database as long as its deletion is not decided, and the deletion waits for its end', async () => {
  const hop = await left.comeBack();
  expect(await left.once()).toEqual({ done: false });
  const { cursor } = await launchTarget(world.plane.registry, await hop.context(), world.settings);
  expect(cursor).toMatchObject({ ready: true });
  expect(await left.once()).toEqual({ done: false });
  expect(await left.remains()).toEqual(WHOLE);
  // The move came to nothing: the database is deleted after all.
  await hop.rollBack();
  await left.untilDone();
  expect(await left.remains()).toEqual(DELETED);
});
