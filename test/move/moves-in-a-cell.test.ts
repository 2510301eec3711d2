/** Whole moves inside a cell, step by step as the workflow takes them, with registry, data database and secrets. */
import { randomUUID } from 'node:crypto';
import tls from 'node:tls';
import { DescribeSecretCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import type pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readPlacement } from '../../functions/database/transfer/fence.ts';
import { beginMove } from '../../functions/moves/begin-move.ts';
import { cleanUpHop } from '../../functions/moves/clean-up-hop.ts';
import { endFailedMove, endMove } from '../../functions/moves/end-move.ts';
import type { PhaseWork } from '../../functions/moves/hop.ts';
import { openPhase } from '../../functions/moves/hop-context.ts';
import * as steps from '../../functions/moves/hop-phases.ts';
import { createTargetCredentials } from '../../functions/moves/make-target.ts';
import { hopsOf } from '../../functions/moves/move-records.ts';
import { nextHop } from '../../functions/moves/next-hop.ts';
import { recoverMoves } from '../../functions/moves/recover-moves.ts';
import { abortMove } from '../../functions/moves/request-move.ts';
import { settleHop } from '../../functions/moves/settle-hop.ts';
import { getTenant } from '../../functions/registry/tenant-record.ts';
import { readResidencyFacts } from '../../functions/residency/residency-facts.ts';
import { enterTenant } from '../enter-tenant.ts';
import { sampled } from '../full-run.ts';
import { TestDatabase, type TestTenant } from '../test-database.ts';
import { type LocalSecrets, startLocalSecrets } from './local-secrets.ts';
import { alive, arn, dead, far, MoveRegistry, operator } from './move-registry.ts';

let world: MoveRegistry;
let cell: TestDatabase;
let secrets: LocalSecrets;
let owner: pg.Client;
beforeAll(async () => {
  [world, cell, secrets] = [
    await MoveRegistry.create(),
    await TestDatabase.clone(),
    await startLocalSecrets(),
  ];
  const { host, port, certificate } = cell.server;
  tls.setDefaultCACertificates([...tls.rootCertificates, certificate]);
  await secrets.put('owner-of-a', cell.login('owner'));
  const address = { databaseHost: host, databasePort: port, writerHost: host, databaseName: cell.name };
  await world.addCell('a', { ...address, ownerSecretArn: 'owner-of-a', starterSecretArn: 'starter-of-a' });
  await secrets.put('starter-of-a', cell.login('starter'));
  owner = await cell.connect('owner');
});
afterAll(async () => {
  await cell?.drop();
  await world?.drop();
  await secrets?.stop();
});

/** A Starter tenant with rows. */
async function starter(rows: number): Promise<TestTenant> {
  const tenantId = await world.addTenant();
  await world.registry.query(
    `UPDATE tenant_database_routing r SET database_host = c.database_host, database_port = c.database_port,
            database_name = c.database_name, secret_arn = c.starter_secret_arn
     FROM cells c WHERE c.cell_id = r.cell_id AND tenant_id = :tenantId::uuid`,
    { tenantId },
  );
  const tenant = await cell.addTenant('shared', tenantId);
  const client = await cell.connect(tenant.login);
  await enterTenant(client, tenant, 'write');
  await client.query(
    "INSERT INTO employees (email, first_name, last_name) SELECT n || '@x.test', 'A', 'B' FROM generate_series(1, $1::int) n",
    [rows],
  );
  await client.query('COMMIT');
  return tenant;
}

async function begin(
  tenantId: string,
  targetTier: string,
): Promise<{ moveId: string; executionArn: string }> {
  const executionArn = arn(randomUUID());
  const { moveId } = await beginMove(world.registry, { tenantId, targetTier }, executionArn, alive);
  return { moveId, executionArn };
}

async function run(moveId: string, phase: string, step: PhaseWork): Promise<void> {
  for (let cursor: unknown; ; ) {
    const context = await openPhase(world.registry, { moveId, hopIndex: 0, phase, cursor }, far());
    const outcome = await step(context, cursor);
    if (outcome.done) return;
    cursor = outcome.cursor;
  }
}

const credentials: PhaseWork = (context) => createTargetCredentials(context, { kmsKeyArn: undefined });
const settle: PhaseWork = async (context) => {
  await settleHop(world.registry, context);
  return { done: true };
};
const phases: readonly (readonly [string, PhaseWork])[] = [
  ['credentials', credentials],
  ['prepare', steps.prepare],
  ['copy', steps.copy],
  ['index', steps.index],
  ['catch-up', steps.catchUp],
  ['cut-over', steps.cutOver],
  ['compare', steps.compare],
  ['settle', settle],
];

/** The phases before `end`, all when it is absent. */
async function runPhases(moveId: string, end?: string): Promise<void> {
  await nextHop(world.registry, moveId);
  for (const [phase, step] of phases) {
    if (phase === end) return;
    await run(moveId, phase, step);
  }
}

async function secretExists(name: string): Promise<boolean> {
  try {
    await new SecretsManagerClient({}).send(new DescribeSecretCommand({ SecretId: name }));
    return true;
  } catch {
    return false;
  }
}

const schemaExists = async (name: string) =>
  (await owner.query('SELECT to_regnamespace($1) IS NOT NULL AS kept', [name])).rows[0]?.kept as boolean;

test('up a tier and down again, with reports, and nothing left behind', async () => {
  const { tenantId } = await starter(120);
  const up = await begin(tenantId, 'business');
  await runPhases(up.moveId);
  expect(await nextHop(world.registry, up.moveId)).toMatchObject({ finished: true });
  const { report } = await endMove(world.registry, up.moveId);
  expect(report).toMatchObject({ hops: [{ kind: 'reshape' }], retriedRequests: 0 });
  expect(report.rows).toBeGreaterThanOrEqual(120);
  expect(report.writePauseMs).toBeGreaterThan(0);
  expect(report.hops[0]?.committedAt).toEqual(expect.any(String));
  expect(report.tables).toContainEqual(expect.objectContaining({ name: 'employees', rows: 120 }));
  expect(report.phases.map(({ name }) => name)).toEqual(phases.map(([name]) => name));
  expect(await getTenant(world.registry, tenantId)).toMatchObject({
    tier: 'business',
    isolationModel: 'schema',
    epoch: 2,
  });
  expect(
    await cleanUpHop(
      world.registry,
      { moveId: up.moveId, hopIndex: 0 },
      { deadline: far(), keepDays: 0, keepReplacedHours: 0 },
    ),
  ).toMatchObject({ done: true });
  // It was the only tenant, so the statistics keep samples of its columns, which the report of its residency lists.
  const leftSamples = async () => (await hopsOf(world.registry, up.moveId))[0]?.result.samplesIn;
  expect(await leftSamples()).toEqual(['employees']);
  await recoverMoves(world.registry, alive);
  expect(await leftSamples()).toEqual(['employees']);
  const { hops: known } = await readResidencyFacts(
    { keys: ['us'], ownKey: 'us', own: world.registry, of: () => world.registry },
    world.registry,
    await getTenant(world.registry, tenantId),
  );
  expect(known).toMatchObject([{ state: 'cleaned', samplesIn: ['employees'] }]);

  const down = await begin(tenantId, 'starter');
  await runPhases(down.moveId);
  await endMove(world.registry, down.moveId);
  // The table has rows again.
  await recoverMoves(world.registry, alive);
  expect(await leftSamples()).toEqual([]);
  const [hop] = await hopsOf(world.registry, down.moveId);
  const { schemaName, roleName } = hop!.source;
  const secret = `strata/tenant/${tenantId}/${roleName}`;
  expect([await schemaExists(schemaName), await secretExists(secret)]).toEqual([true, true]);
  for (let n = 0; n < 2; n++) {
    expect(
      await cleanUpHop(
        world.registry,
        { moveId: down.moveId, hopIndex: 0 },
        { deadline: far(), keepDays: 0, keepReplacedHours: 0 },
      ),
    ).toMatchObject({ done: true });
  }
  expect([await schemaExists(schemaName), await secretExists(secret)]).toEqual([false, false]);
  expect((await hopsOf(world.registry, down.moveId))[0]?.state).toBe('cleaned');
  expect(await getTenant(world.registry, tenantId)).toMatchObject({
    tier: 'starter',
    isolationModel: 'shared',
    epoch: 3,
  });
  expect(await readPlacement(owner, tenantId)).toMatchObject({
    epoch: 3,
    state: 'active',
    schema_name: 'shared',
    mover: null,
  });
});

test.each(sampled(['index'], ['prepare', 'copy', 'index', 'catch-up', 'cut-over']))(
  'an abort before %s rolls back, and leaves the tenant as it was',
  async (phase) => {
    const { tenantId } = await starter(30);
    const before = await readPlacement(owner, tenantId);
    const { moveId } = await begin(tenantId, 'business');
    await runPhases(moveId, phase);
    await abortMove(world.registry, { tenantId, moveId, operator: operator.id });
    let refused: Error | undefined;
    await run(moveId, phase, phases.find(([name]) => name === phase)![1]).catch((error: Error) => {
      refused = error;
    });
    expect(refused?.name).toBe('MoveAborted');
    const cause = JSON.stringify({ errorMessage: refused?.message });
    expect(await endFailedMove(world.registry, moveId, { Error: 'MoveAborted', Cause: cause })).toEqual({
      outcome: 'aborted',
      reason: 'The move was aborted.',
    });
    const [hop] = await hopsOf(world.registry, moveId);
    expect(hop?.state).toBe('rolled-back');
    expect(await schemaExists(hop!.target.schemaName)).toBe(false);
    expect(await secretExists(`strata/tenant/${tenantId}/${hop!.target.roleName}`)).toBe(false);
    expect(await readPlacement(owner, tenantId)).toEqual(before);
  },
);

test.each(
  sampled(
    ['cut-over', 'settle'],
    phases.map(([name]) => name),
  ),
)('an execution that dies before %s is recovered, and the same input succeeds', async (phase) => {
  const { tenantId } = await starter(30);
  const { moveId } = await begin(tenantId, 'business');
  await runPhases(moveId, phase);
  // The execution is gone; a new one of the same input meets its move.
  const again = beginMove(world.registry, { tenantId, targetTier: 'business' }, arn(randomUUID()), dead);
  if (phase === 'compare' || phase === 'settle') {
    // It was committed, so it has been brought to its end instead.
    await expect(again).rejects.toMatchObject({ name: 'NothingToMove' });
    expect(await world.view(tenantId, moveId)).toMatchObject({ status: 'succeeded' });
  } else {
    const { moveId: next } = await again;
    expect(await world.view(tenantId, moveId)).toMatchObject({ status: 'aborted' });
    await nextHop(world.registry, next);
    await runPhases(next);
    await endMove(world.registry, next);
  }
  expect(await getTenant(world.registry, tenantId)).toMatchObject({
    tier: 'business',
    isolationModel: 'schema',
    epoch: 2,
  });
  expect((await recoverMoves(world.registry, dead)).moves).toEqual([]);
});
