/** What follows a commit, on a real data database: the commit itself is made by hand, with nothing to copy. */
import tls from 'node:tls';
import type pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { createTenantSchema } from '../../functions/database/provisioning/tenant-schema.ts';
import { claimTenant } from '../../functions/database/transfer/claim.ts';
import {
  commitReshape,
  raiseFence,
  readPlacement,
  withoutWriters,
} from '../../functions/database/transfer/fence.ts';
import { beginMove } from '../../functions/moves/begin-move.ts';
import { dryRunMove, estimateMove } from '../../functions/moves/dry-run.ts';
import { endFailedMove, endMove } from '../../functions/moves/end-move.ts';
import { HopNotCommitted } from '../../functions/moves/errors.ts';
import type { Hop, HopContext } from '../../functions/moves/hop.ts';
import { openPhase } from '../../functions/moves/hop-context.ts';
import { hopsOf } from '../../functions/moves/move-records.ts';
import { countIfNotMetered } from '../../functions/moves/move-rules.ts';
import { nextHop } from '../../functions/moves/next-hop.ts';
import { recoverMoves } from '../../functions/moves/recover-moves.ts';
import { requestMove } from '../../functions/moves/request-move.ts';
import { settleHop } from '../../functions/moves/settle-hop.ts';
import { surveyTenant } from '../../functions/moves/survey-tenant.ts';
import { dedicatedSecretName } from '../../functions/placement/tenant-names.ts';
import { forwardTo } from '../../functions/places/place.ts';
import { getTenant } from '../../functions/registry/tenant-record.ts';
import { enterTenant } from '../enter-tenant.ts';
import { TestDatabase } from '../test-database.ts';
import { type LocalSecrets, startLocalSecrets } from './local-secrets.ts';
import { alive, arn, dead, far, MoveRegistry, operator, STATE_MACHINE } from './move-registry.ts';

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
  await world.addCell('a', {
    databaseHost: host,
    databasePort: port,
    writerHost: host,
    databaseName: cell.name,
    ownerSecretArn: 'owner-of-a',
  });
  owner = await cell.connect('owner');
});
afterAll(async () => {
  await cell?.drop();
  await world?.drop();
  await secrets?.stop();
});

/** Starter to Business, just before the commit point. */
async function atCommitPoint(): Promise<{ tenantId: string; moveId: string; context: HopContext }> {
  const { tenantId, moveId } = await world.begin();
  await world.registry.query(
    `UPDATE tenant_database_routing r SET database_host = c.database_host, database_port = c.database_port,
            database_name = c.database_name FROM cells c WHERE c.cell_id = r.cell_id AND tenant_id = :tenantId::uuid`,
    { tenantId },
  );
  await cell.addTenant('shared', tenantId);
  await nextHop(world.registry, moveId);
  const context = await openPhase(world.registry, { moveId, hopIndex: 0, phase: 'cut-over' }, far());
  const { schemaName, roleName } = context.hop.target;
  await createTenantSchema(owner, { tenantId, schemaName, roleName, password: 'secret', connectionLimit: 5 });
  await context.amendTarget({ secretArn: `secret of ${roleName}` });
  await claimTenant(owner, context.hop.attempt);
  return { tenantId, moveId, context };
}

async function commit({ attempt, target }: Hop): Promise<void> {
  const fence = await raiseFence(owner, attempt);
  await withoutWriters(owner, attempt.tenantId, () =>
    commitReshape(owner, attempt, fence, { ...target, forward: forwardTo(target) }),
  );
}

/** As when EventBridge tells of the end of the execution. */
const recover = (tenantId: string) =>
  recoverMoves(world.registry, {
    ...dead,
    ended: { executionArn: arn(`of-${tenantId}`), status: 'ABORTED' },
  });

const stateOf = async (moveId: string) => (await hopsOf(world.registry, moveId))[0]?.state;

describe('a hop', () => {
  test('is settled once its database says that it is committed, and not before', async () => {
    const { tenantId, moveId, context } = await atCommitPoint();
    await expect(settleHop(world.registry, context)).rejects.toThrow(HopNotCommitted);
    await commit(context.hop);
    for (const [epoch, requests] of [
      [1, 2],
      [2, 3],
    ]) {
      await owner.query('INSERT INTO tenancy.retried_requests VALUES ($1, $2, $3)', [
        tenantId,
        epoch,
        requests,
      ]);
    }
    const settle = await openPhase(world.registry, { moveId, hopIndex: 0, phase: 'settle' }, far());
    await settleHop(world.registry, settle);
    await settleHop(world.registry, settle);
    expect(await readPlacement(owner, tenantId)).toMatchObject({ epoch: 2, state: 'active', mover: null });
    const { target } = context.hop;
    const [routing] = await world.registry.query(
      `SELECT epoch, isolation_model, schema_name, role_name, secret_arn, cell_id FROM tenant_database_routing
       WHERE tenant_id = :tenantId::uuid`,
      { tenantId },
    );
    expect(routing).toEqual({
      epoch: 2,
      isolation_model: 'schema',
      schema_name: target.schemaName,
      role_name: target.roleName,
      secret_arn: `secret of ${target.roleName}`,
      cell_id: 'a',
    });
    const [hop] = await hopsOf(world.registry, moveId);
    expect(hop).toMatchObject({ state: 'settled', result: { retried: { source: 2, target: 3 } } });
    expect((await endMove(world.registry, moveId)).report.retriedRequests).toBe(5);
  });

  test('of another attempt is not taken for this one’s', async () => {
    const { context } = await atCommitPoint();
    await commit(context.hop);
    await owner.query('UPDATE tenancy.placement SET mover = gen_random_uuid() WHERE tenant_id = $1', [
      context.hop.attempt.tenantId,
    ]);
    await expect(settleHop(world.registry, context)).rejects.toThrow(HopNotCommitted);
  });
});

describe('a move that stops behind its last commit', () => {
  test('is not rolled back but brought to its end, whatever stopped it', async () => {
    const { tenantId, moveId, context } = await atCommitPoint();
    await commit(context.hop);
    const { outcome } = await endFailedMove(world.registry, moveId, { Error: 'States.Timeout' });
    expect(outcome).toBe('succeeded');
    expect(await stateOf(moveId)).toBe('settled');
    expect(await getTenant(world.registry, tenantId)).toMatchObject({
      tier: 'business',
      maxUsers: 500,
      isolationModel: 'schema',
      epoch: 2,
    });
    expect(await readPlacement(owner, tenantId)).toMatchObject({ state: 'active', mover: null });
    expect(await world.view(tenantId, moveId)).toMatchObject({
      status: 'succeeded',
      reason: null,
      report: { hops: [{ kind: 'reshape' }] },
    });
    expect(await world.audited(tenantId)).toEqual(['move.start', 'move.succeed']);
  });

  test('with its execution is ended by recovery, wherever the settling was cut off', async () => {
    const { tenantId, moveId, context } = await atCommitPoint();
    await commit(context.hop);
    // The claim was given back, the hop not yet marked.
    await owner.query('UPDATE tenancy.placement SET mover = NULL WHERE tenant_id = $1', [tenantId]);
    await recover(tenantId);
    expect(await stateOf(moveId)).toBe('settled');
    expect(await world.view(tenantId, moveId)).toMatchObject({ status: 'succeeded', reason: null });
    expect(await getTenant(world.registry, tenantId)).toMatchObject({ tier: 'business' });
  });
});

describe('sides that differ', () => {
  test.each([
    ['before the commit', false, 1],
    ['behind it', true, 2],
  ] as const)(
    '%s are both kept, and no move follows until a person has looked',
    async (_, committed, epoch) => {
      const { tenantId, moveId, context } = await atCommitPoint();
      if (committed) await commit(context.hop);
      expect(await endFailedMove(world.registry, moveId, { Error: 'MoveMismatch' })).toEqual({
        outcome: 'failed',
        reason: 'The data of the two places differ; both are kept.',
      });
      expect(await stateOf(moveId)).toBe('mismatch');
      expect(await getTenant(world.registry, tenantId)).toMatchObject({ epoch });
      const { rows } = await owner.query('SELECT to_regnamespace($1) IS NOT NULL AS kept', [
        context.hop.target.schemaName,
      ]);
      expect(rows).toEqual([{ kept: true }]);
      const { forbidden } = await dryRunMove(
        world.registry,
        { tenantId, target: { tier: 'enterprise' }, force: true },
        async () => ({ rows: 0, bytes: 0, activeEmployees: 0, tables: [] }),
      );
      expect(forbidden.map(({ rule }) => rule)).toEqual(['mismatch']);
    },
  );

  test.each([
    ['rolled back', false, 'rolled-back'],
    ['settled', true, 'settled'],
  ] as const)('are %s by recovery, once a person hands the move to it', async (_, committed, state) => {
    const { tenantId, moveId, context } = await atCommitPoint();
    if (committed) await commit(context.hop);
    await context.keep({ mismatchAt: new Date().toISOString() });
    await endFailedMove(world.registry, moveId, { Error: 'MoveMismatch' });
    await world.registry.query(
      `UPDATE tenant_move_hops SET state = 'working', result = result - 'mismatchAt' - 'compareCursor'
       WHERE state = 'mismatch' AND tenant_id = :tenantId::uuid`,
      { tenantId },
    );
    await world.registry.query(
      `UPDATE tenant_moves SET status = 'running', finished_at = NULL WHERE move_id = :moveId::uuid`,
      { moveId },
    );
    await recover(tenantId);
    expect(await stateOf(moveId)).toBe(state);
    expect(await readPlacement(owner, tenantId)).toMatchObject({ state: 'active', mover: null });
  });

  test('are kept by recovery too, which knows of them from the step that found them', async () => {
    const { tenantId, moveId, context } = await atCommitPoint();
    await context.keep({ mismatchAt: new Date().toISOString() });
    await recover(tenantId);
    expect(await stateOf(moveId)).toBe('mismatch');
  });
});

describe('a survey', () => {
  let shared: string;
  let schema: string;
  let dedicated: string;
  beforeEach(async () => {
    shared = await world.addTenant();
    schema = await world.addTenant({ tier: 'business' });
    dedicated = await world.addTenant({ tier: 'enterprise' });
    await secrets.put(dedicatedSecretName(dedicated, 'owner'), cell.login('owner'));
    await world.registry.query(
      `UPDATE tenant_database_routing SET database_host = :host, database_port = :port::int, database_name = :name,
              writer_host = :host
       WHERE tenant_id IN (:shared::uuid, :schema::uuid, :dedicated::uuid)`,
      { host: cell.server.host, port: cell.server.port, name: cell.name, shared, schema, dedicated },
    );
    for (const [tenantId, model] of [
      [shared, 'shared'],
      [schema, 'schema'],
      [dedicated, 'dedicated'],
    ] as const) {
      const tenant = await cell.addTenant(model, tenantId);
      await world.registry.query(
        'UPDATE tenant_database_routing SET schema_name = :schemaName WHERE tenant_id = :tenantId::uuid',
        { schemaName: tenant.schemaName, tenantId },
      );
      const client = await cell.connect(tenant.login);
      await enterTenant(client, tenant, 'write');
      await client.query(
        "INSERT INTO employees (email, first_name, last_name) SELECT n || '@x.test', 'A', 'B' FROM generate_series(1, 25) n",
      );
      await client.query(
        "UPDATE employees SET status = 'terminated' WHERE email IN ('1@x.test', '2@x.test', '3@x.test')",
      );
      await client.query('COMMIT');
    }
  });

  test('counts the tenant’s own rows, bytes and active employees under every model', async () => {
    for (const tenantId of [shared, schema, dedicated]) {
      const { rows, bytes, activeEmployees, tables } = await surveyTenant(world.registry, tenantId);
      expect(activeEmployees).toBe(22);
      expect(rows).toBe(25);
      expect(bytes).toBeGreaterThan(25 * 50);
      expect(tables.find(({ name }) => name === 'employees')?.rows).toBe(25);
      expect(tables.find(({ name }) => name === 'teams')?.rows).toBe(0);
    }
  });

  test('is made of a tenant that was never metered before it may go to a tier with limits', async () => {
    const counted = (tenantId: string) => surveyTenant(world.registry, tenantId);
    for (const [tenantId, tier] of [
      [shared, 'business'],
      [schema, 'starter'],
      [dedicated, 'starter'],
    ] as const) {
      // 22 of its employees are active, and a user is a person who signs in: it has none.
      await world.registry.query('UPDATE tenants SET max_users = 21 WHERE tenant_id = :tenantId::uuid', {
        tenantId,
      });
      const asked = { tenantId, target: { tier }, force: false } as const;
      const { forbidden } = await dryRunMove(world.registry, asked, counted);
      expect(forbidden).toEqual([{ rule: 'users', detail: expect.stringContaining('22 active users') }]);
      const started: string[] = [];
      const options = {
        actor: operator,
        startedBy: 'x',
        stateMachineArn: STATE_MACHINE,
        start: async (name: string) => void started.push(name),
      };
      const requested = requestMove(world.registry, asked, { ...options, survey: counted });
      await expect(requested).rejects.toMatchObject({ issues: [{ rule: 'users' }] });
      const input = { tenantId, targetTier: tier };
      const begun = beginMove(world.registry, input, arn(`of-${tenantId}`), { ...alive, survey: counted });
      await expect(begun).rejects.toMatchObject({ issues: [{ rule: 'users' }] });
      expect(started).toEqual([]);
      expect(await world.audited(tenantId)).toEqual([]);
    }
  });

  test.each([
    ['a sample tells', { tier: 'starter' }, false],
    ['limits are overridden', { tier: 'starter' }, true],
    ['the target tier has no limits', { tier: 'enterprise' }, false],
    ['the tier stays', { cell: 'a' }, false],
  ] as const)('is not made where %s', async (why, target, force) => {
    if (why === 'a sample tells') {
      await world.registry.query(
        `INSERT INTO usage_samples (tenant_id, sampled_on, active_users, active_employees, storage_bytes)
         VALUES (:schema::uuid, '2026-01-01', 1, 1, 1)`,
        { schema },
      );
    }
    const unasked = () => Promise.reject(new Error('nobody is to count'));
    expect(
      await countIfNotMetered(world.registry, { tenant: schema, target, force }, unasked),
    ).toBeUndefined();
  });

  test('estimates what there is no time to count', async () => {
    for (const tenantId of [shared, schema]) {
      const { rows, tables } = await surveyTenant(world.registry, tenantId, 0);
      expect(tables.length).toBeGreaterThan(5);
      expect(tables.filter(({ estimated }) => !estimated)).toEqual([]);
      expect(rows).toBeGreaterThanOrEqual(0);
    }
  });

  test('is part of a dry run, which changes nothing', async () => {
    const survey = (tenantId: string) => surveyTenant(world.registry, tenantId);
    const asked = { tenantId: shared, target: { tier: 'enterprise' }, force: false } as const;
    const tried = await dryRunMove(world.registry, asked, survey);
    expect(tried).toMatchObject({ dryRun: true, sizes: { rows: 25 }, forbidden: [] });
    expect(tried.plan.map(({ kind }) => kind)).toEqual(['reshape', 'relocate']);
    expect(tried.estimate).toEqual(estimateMove(tried.plan, tried.sizes));
    expect(tried.estimate?.seconds).toBeGreaterThan(0);
    expect(await world.audited(shared)).toEqual([]);
  });
});
