/** Whole moves from cell to cell, step by step as the workflow takes them, with registry, databases and secrets. */
import { randomUUID } from 'node:crypto';
import tls from 'node:tls';
import type pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readPlacement } from '../../functions/database/transfer/fence.ts';
import { beginMove } from '../../functions/moves/begin-move.ts';
import { cleanUpHop } from '../../functions/moves/clean-up-hop.ts';
import { endMove } from '../../functions/moves/end-move.ts';
import type { PhaseWork } from '../../functions/moves/hop.ts';
import { openPhase } from '../../functions/moves/hop-context.ts';
import * as steps from '../../functions/moves/hop-phases.ts';
import { createTargetCredentials } from '../../functions/moves/make-target.ts';
import { hopsOf } from '../../functions/moves/move-records.ts';
import { nextHop } from '../../functions/moves/next-hop.ts';
import { settleHop } from '../../functions/moves/settle-hop.ts';
import { getTenant } from '../../functions/registry/tenant-record.ts';
import { enterTenant } from '../enter-tenant.ts';
import { sampled } from '../full-run.ts';
import { TestDatabase } from '../test-database.ts';
import { type LocalSecrets, startLocalSecrets } from './local-secrets.ts';
import { alive, arn, dead, far, MoveRegistry } from './move-registry.ts';

let world: MoveRegistry;
let cell: TestDatabase;
let secrets: LocalSecrets;
let owner: pg.Client;
let other: TestDatabase;
beforeAll(async () => {
  [world, cell, other, secrets] = [
    await MoveRegistry.create(),
    await TestDatabase.clone(),
    await TestDatabase.clone('otherServer'),
    await startLocalSecrets(),
  ];
  tls.setDefaultCACertificates([...tls.rootCertificates, cell.server.certificate]);
  await secrets.put('owner-of-a', cell.login('owner'));
  await secrets.put('owner-of-b', other.login('owner'));
  const host = '127.0.0.1';
  for (const [cellId, databasePort, databaseName] of [
    ['a', cell.server.port, cell.name],
    ['b', other.server.port, other.name],
  ] as const) {
    const address = { databaseHost: host, databasePort, writerHost: host, databaseName };
    await world.addCell(cellId, {
      ...address,
      ownerSecretArn: `owner-of-${cellId}`,
      starterSecretArn: 'none',
    });
  }
  owner = await cell.connect('owner');
});
afterAll(async () => {
  await cell?.drop();
  await world?.drop();
  await secrets?.stop();
  await other?.drop();
});

/** A Business tenant with rows in cell a. */
async function business(rows: number): Promise<string> {
  const tenantId = await world.addTenant({ tier: 'business' });
  const tenant = await cell.addTenant('schema', tenantId);
  const secret = `strata/tenant/${tenantId}/${tenant.roleName}`;
  await secrets.put(secret, tenant.login);
  await world.registry.query(
    `UPDATE tenant_database_routing r SET database_host = c.database_host, database_port = c.database_port,
            database_name = c.database_name, secret_arn = :secret
     FROM cells c WHERE c.cell_id = r.cell_id AND tenant_id = :tenantId::uuid`,
    { tenantId, secret },
  );
  const client = await cell.connect(tenant.login);
  await enterTenant(client, tenant, 'write');
  await client.query(
    "INSERT INTO employees (email, first_name, last_name) SELECT n || '@x.test', 'A', 'B' FROM generate_series(1, $1::int) n",
    [rows],
  );
  await client.query('COMMIT');
  await client.end();
  return tenantId;
}

async function begin(tenantId: string, probes = alive): Promise<string> {
  const input = { tenantId, targetCell: 'b' };
  return (await beginMove(world.registry, input, arn(randomUUID()), probes)).moveId;
}

const TRANSIENT = new Set(['CutOverPostponed', 'WritersBusy', 'MoverBusy', 'TenantUnreachable']);

async function run(moveId: string, phase: string, step: PhaseWork): Promise<void> {
  let cursor: unknown;
  for (let tries = 0; ; tries++) {
    try {
      const context = await openPhase(
        world.registry,
        { moveId, hopIndex: 0, phase, cursor },
        performance.now() + 20_000,
      );
      const outcome = await step(context, cursor);
      if (outcome.done) return;
      cursor = outcome.cursor;
    } catch (error) {
      if (tries > 60 || !TRANSIENT.has((error as Error).name)) throw error;
    }
  }
}

const settle: PhaseWork = async (context) => {
  await settleHop(world.registry, context);
  return { done: true };
};
const phases: readonly (readonly [string, PhaseWork])[] = [
  ['credentials', (context) => createTargetCredentials(context, { kmsKeyArn: undefined })],
  ['prepare', steps.prepare],
  ['copy', steps.copy],
  ['index', steps.index],
  ['catch-up', steps.catchUp],
  ['cut-over', steps.cutOver],
  ['compare', steps.compare],
  ['settle', settle],
];

async function runPhases(moveId: string, end?: string): Promise<void> {
  await nextHop(world.registry, moveId);
  for (const [phase, step] of phases) {
    if (phase === end) return;
    await run(moveId, phase, step);
  }
}

async function replicationLeft(): Promise<number> {
  const superuser = await other.connect('superuser');
  const there = await superuser.query(
    'SELECT subname FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid WHERE datname = current_database()',
  );
  await superuser.end();
  const here = await owner.query(
    'SELECT pubname FROM pg_publication UNION ALL SELECT slot_name FROM pg_replication_slots WHERE database = current_database()',
  );
  return there.rows.length + here.rows.length;
}

test('a Business tenant goes to another cell, with a report, and nothing is left behind', async () => {
  const tenantId = await business(100);
  const moveId = await begin(tenantId);
  await runPhases(moveId);
  const { report } = await endMove(world.registry, moveId);
  expect(report.rows).toBeGreaterThanOrEqual(100);
  expect(report.writePauseMs).toBeGreaterThan(0);
  expect(report.tables).toContainEqual(expect.objectContaining({ name: 'employees', rows: 100 }));
  expect(await getTenant(world.registry, tenantId)).toMatchObject({
    tier: 'business',
    cellId: 'b',
    epoch: 2,
  });
  expect(await readPlacement(owner, tenantId)).toMatchObject({ state: 'moved', epoch: 2, mover: null });
  expect(await replicationLeft()).toBe(0);
  expect(
    await cleanUpHop(
      world.registry,
      { moveId, hopIndex: 0 },
      { deadline: far(), keepDays: 0, keepReplacedHours: 0 },
    ),
  ).toMatchObject({ done: true });
  expect((await hopsOf(world.registry, moveId))[0]?.state).toBe('cleaned');
});

test.each(sampled(['compare'], ['copy', 'catch-up', 'cut-over', 'compare', 'settle']))(
  'an execution that dies before %s is recovered, and the same input succeeds',
  async (phase) => {
    const tenantId = await business(50);
    const moveId = await begin(tenantId);
    await runPhases(moveId, phase);
    const committed = phase === 'compare' || phase === 'settle';
    if (committed) {
      // It has arrived: nothing is left of that input.
      await expect(begin(tenantId, dead)).rejects.toMatchObject({ name: 'NothingToMove' });
      const [hop] = await hopsOf(world.registry, moveId);
      expect(hop).toMatchObject({ state: 'settled', result: { tables: expect.any(Array) } });
    } else {
      const again = await begin(tenantId, dead);
      expect((await hopsOf(world.registry, moveId))[0]?.state).toBe('rolled-back');
      await runPhases(again);
      await endMove(world.registry, again);
    }
    expect((await world.view(tenantId, moveId)).status).toBe(committed ? 'succeeded' : 'aborted');
    expect(await getTenant(world.registry, tenantId)).toMatchObject({ cellId: 'b', epoch: 2 });
    expect(await replicationLeft()).toBe(0);
  },
);
