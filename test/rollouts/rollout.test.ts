import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { thisRelease } from '../../functions/database/provisioning/release.ts';
import { claimTenant, exclusively, releaseClaim } from '../../functions/database/transfer/claim.ts';
import { runCanaries, runWave } from '../../functions/rollouts/rollout-phases.ts';
import { countTargets, somethingLags } from '../../functions/rollouts/rollout-targets.ts';
import { AlertRuns, overdueAtOnce } from '../alerts/alert-runs.ts';
import type { TestDatabase, TestTenant } from '../test-database.ts';
import { nextRelease } from './next-release.ts';
import { newArn, RolloutWorld } from './rollout-world.ts';

let world: RolloutWorld;
let alerts: AlertRuns;
let cell: TestDatabase;
let first: TestTenant;
let second: TestTenant;
let dedicated: TestTenant;

beforeAll(async () => {
  world = await RolloutWorld.create();
  alerts = new AlertRuns(world.world.registry);
  cell = await world.world.addCell('us-1');
  await world.world.addTenant('shared', 'us-1');
  // In the order of their ids, which is the order of work.
  first = await world.world.addTenant('schema', 'us-1', { tenantId: id(1) });
  second = await world.world.addTenant('schema', 'us-1', { tenantId: id(2) });
  dedicated = await world.world.addTenant('dedicated', null, { tenantId: id(3) });
});
afterAll(() => world.world.drop());

function id(number: number): string {
  return `00000000-0000-4000-8000-${String(number).padStart(12, '0')}`;
}

const slugOf = ({ tenantId }: TestTenant) => `t-${tenantId}`;
const homeOf = ({ tenantId }: TestTenant) => world.world.home(tenantId).name;
const hasShownName = async (tenant: TestTenant) =>
  (await world.added(homeOf(tenant), tenant.schemaName)).length === 1;

describe('a rollout', () => {
  test('whose canary fails changes nothing else, and says why without the rows', async () => {
    const owner = await cell.connect('owner');
    await owner.query('ALTER TABLE shared.employees ADD COLUMN shown_name integer');
    const rollout = await world.rollOut();
    expect(rollout).toMatchObject({
      status: 'failed',
      targets: { total: 4, failed: 1, pending: 3, succeeded: 0 },
      failed: [
        { cellId: 'us-1', tenantId: null, reason: expect.stringMatching(/already exists \(42701\)$/) },
      ],
    });
    expect(await hasShownName(first)).toBe(false);
    // The phase may be delivered twice.
    const { rolloutId } = await world.begin();
    expect(await runCanaries(world.options(rolloutId))).toEqual({ next: 'failed' });
    expect(await runCanaries(world.options(rolloutId))).toEqual({ next: 'failed' });
    expect(await world.finish(rolloutId)).toMatchObject({ status: 'failed', targets: { pending: 3 } });
    await owner.query('ALTER TABLE shared.employees DROP COLUMN shown_name');
  });

  test('alert schema-rollout-failed: stops at a schema that refuses its migration; what was done serves, and the next one goes on from there', async () => {
    const owner = await cell.connect('owner');
    await owner.query(`ALTER TABLE ${second.schemaName}.employees ADD COLUMN shown_name integer`);
    const stopped = await world.rollOut();
    expect(stopped).toMatchObject({
      status: 'failed',
      reason: '1 of 4 targets failed. Start another rollout to continue.',
      models: { shared: { succeeded: 1 }, schema: { succeeded: 1, failed: 1 }, dedicated: { succeeded: 1 } },
      failed: [{ tenantId: second.tenantId, slug: slugOf(second), isolationModel: 'schema', cellId: 'us-1' }],
    });
    expect(await hasShownName(first)).toBe(true);
    expect(await hasShownName(dedicated)).toBe(true);
    const failed = { about: second.tenantId, kind: 'schema-rollout-failed' } as const;
    const alert = await alerts.opensOnce(failed);
    expect(alert).toMatchObject({
      severity: 'critical',
      details: { target: `tenant ${second.tenantId}`, reason: stopped.failed[0]!.reason },
    });
    expect(await alerts.alerts(first.tenantId)).toEqual([]);
    await owner.query(`ALTER TABLE ${second.schemaName}.employees DROP COLUMN shown_name`);
    world.connected.length = 0;
    expect(await world.rollOut()).toMatchObject({ status: 'succeeded', targets: { total: 1, succeeded: 1 } });
    expect(world.connected).toEqual([cell.name]);
    expect(await hasShownName(second)).toBe(true);
    await alerts.ends(failed);
  });

  test('finds nothing to do afterwards, and connects to no tenant', async () => {
    expect(await somethingLags(world.world.registry, 'us', nextRelease)).toBe(false);
    world.connected.length = 0;
    expect(await world.rollOut()).toMatchObject({ status: 'succeeded', targets: { total: 0 } });
    expect(world.connected).toEqual([]);
  });

  test('of an older release, after a rollback, finds nothing to do either', async () => {
    world.connected.length = 0;
    expect(await world.rollOut({ release: thisRelease })).toMatchObject({ status: 'succeeded' });
    expect(world.connected).toEqual([]);
  });
});

describe('a rollout and moves', () => {
  const again = async (...tenants: TestTenant[]) => {
    for (const { tenantId } of tenants) {
      await world.world.registry.query(
        'UPDATE tenant_database_routing SET schema_version = 2 WHERE tenant_id = :tenantId::uuid',
        { tenantId },
      );
    }
  };
  const attempt = (tenant: TestTenant) => ({ tenantId: tenant.tenantId, epoch: 1, attemptId: id(9) });

  test('a tenant with a claim is left alone, the others are not, and it is next when the claim is gone', async () => {
    const owner = await cell.connect('owner');
    await again(first, second);
    await claimTenant(owner, attempt(first));
    const { rolloutId, groups } = await world.begin();
    await runCanaries(world.options(rolloutId));
    expect(await runWave(groups[0]!, world.options(rolloutId))).toEqual({ next: 'wait' });
    const { deferred, targets } = await world.finish(rolloutId);
    expect(targets).toMatchObject({ succeeded: 1, deferred: 1 });
    expect(deferred).toMatchObject([
      { tenantId: first.tenantId, reason: 'A move of the tenant is running.' },
    ]);
    await releaseClaim(owner, attempt(first));
    expect(await world.rollOut()).toMatchObject({ status: 'succeeded', targets: { total: 1 } });
  });

  test('a claim that is just being given keeps the tenant as well', async () => {
    const owner = await cell.connect('owner');
    await again(first);
    const { rolloutId } = await world.begin();
    await exclusively(owner, first, async () => {
      expect(await runCanaries(world.options(rolloutId))).toEqual({ next: 'done' });
    });
    expect(await countTargets(world.world.registry, rolloutId)).toMatchObject({ deferred: 1, succeeded: 0 });
    expect(await runWave('cell us-1', world.options(rolloutId))).toEqual({ next: 'done' });
    expect(await world.finish(rolloutId)).toMatchObject({ status: 'succeeded' });
  });

  test('a tenant that the registry knows to move is not even connected to', async () => {
    await again(first);
    await world.world.registry.query(
      `INSERT INTO tenant_moves (tenant_id, input, plan, started_by) VALUES (:tenantId::uuid, '{}', '[]', 'test')`,
      { tenantId: first.tenantId },
    );
    world.connected.length = 0;
    const { rolloutId } = await world.begin();
    expect(await runWave('cell us-1', world.options(rolloutId))).toEqual({ next: 'wait' });
    expect(world.connected).toEqual([]);
    await world.world.registry.query("UPDATE tenant_moves SET status = 'failed', finished_at = now()");
    expect(await runWave('cell us-1', world.options(rolloutId))).toEqual({ next: 'done' });
    expect(await world.finish(rolloutId)).toMatchObject({ status: 'succeeded' });
  });

  test('shared tables wait for a tenant that is reshaped, and not for one that goes to another cluster', async () => {
    const owner = await cell.connect('owner');
    await world.world.registry.query("UPDATE cells SET schema_version = 2 WHERE cell_id = 'us-1'");
    await claimTenant(owner, attempt(second));
    const { rolloutId } = await world.begin();
    expect(await runCanaries(world.options(rolloutId))).toEqual({ next: 'done' });
    expect(await runWave('cell us-1', world.options(rolloutId))).toEqual({ next: 'wait' });
    await world.world.registry.query(
      `INSERT INTO tenant_moves (move_id, tenant_id, input, plan, started_by, status, finished_at)
       VALUES (:moveId::uuid, :tenantId::uuid, '{}', '[]', 'test', 'failed', now())`,
      { moveId: id(8), tenantId: second.tenantId },
    );
    await world.world.registry.query(
      `INSERT INTO tenant_move_hops (move_id, hop_index, attempt_id, tenant_id, kind, source, target, suffix)
       VALUES (:moveId::uuid, 0, :attemptId::uuid, :tenantId::uuid, 'relocate', '{}', '{}', 'ab12cd34')`,
      { moveId: id(8), attemptId: id(9), tenantId: second.tenantId },
    );
    expect(await runWave('cell us-1', world.options(rolloutId))).toEqual({ next: 'done' });
    expect(await world.finish(rolloutId)).toMatchObject({ status: 'succeeded' });
    await releaseClaim(owner, attempt(second));
  });

  test('a move that lasts longer than the rollout is patient makes the target fail, and only it', async () => {
    const owner = await cell.connect('owner');
    await again(first, second);
    await claimTenant(owner, attempt(first));
    const { rolloutId } = await world.begin();
    await runWave('cell us-1', world.options(rolloutId));
    await world.world.registry.query(
      "UPDATE schema_rollout_targets SET attempts = 60 WHERE rollout_id = :rolloutId::uuid AND state = 'deferred'",
      { rolloutId },
    );
    expect(await runWave('cell us-1', world.options(rolloutId))).toEqual({ next: 'done' });
    expect(await world.finish(rolloutId)).toMatchObject({
      status: 'failed',
      targets: { succeeded: 1, failed: 1 },
      failed: [{ tenantId: first.tenantId, reason: 'A move of the tenant is running.' }],
    });
    await releaseClaim(owner, attempt(first));
    expect(await world.rollOut()).toMatchObject({ status: 'succeeded' });
  });
});

describe('a rollout and what else goes on', () => {
  test('a long transaction on a table delays its own target only', async () => {
    const third = await world.world.addTenant('schema', 'us-1', { tenantId: id(4) });
    const fourth = await world.world.addTenant('schema', 'us-1', { tenantId: id(5) });
    const busy = await cell.connect('owner');
    await busy.query(`BEGIN; SELECT FROM ${fourth.schemaName}.employees`);
    const { rolloutId } = await world.begin();
    const options = world.options(rolloutId);
    const running = runWave('cell us-1', options);
    const beside = await world.world.anotherRegistry();
    const states = () =>
      beside.query(
        'SELECT state FROM schema_rollout_targets WHERE rollout_id = :rolloutId::uuid ORDER BY target',
        {
          rolloutId,
        },
      );
    await vi.waitUntil(async () => JSON.stringify(await states()).includes('succeeded'), { interval: 20 });
    expect(await hasShownName(third)).toBe(true);
    expect(await states()).toEqual([{ state: 'succeeded' }, { state: 'pending' }]);
    // The lock timeout has passed, and requests of the tenant are served meanwhile.
    const { rows } = await busy.query('SELECT pg_backend_pid() AS pid');
    const superuser = await cell.connect('superuser');
    const blocked = async () =>
      (
        await superuser.query('SELECT FROM pg_stat_activity WHERE $1 = ANY (pg_blocking_pids(pid))', [
          rows[0].pid,
        ])
      ).rowCount;
    await vi.waitUntil(async () => (await blocked()) === 0, { timeout: 5_000, interval: 20 });
    expect(await hasShownName(fourth)).toBe(false);
    await busy.query('COMMIT');
    expect(await running).toEqual({ next: 'done' });
    expect(await world.finish(rolloutId)).toMatchObject({ status: 'succeeded' });
    expect(await hasShownName(fourth)).toBe(true);
  });

  test('after a failure nothing more of that wave is begun, and what failed comes last the next time', async () => {
    const many: TestTenant[] = [];
    for (let n = 20; n < 36; n++) {
      many.push(await world.world.addTenant('schema', 'us-1', { tenantId: id(n) }));
    }
    const owner = await cell.connect('owner');
    const bad = many[1]!;
    await owner.query(`ALTER TABLE ${bad.schemaName}.employees ADD COLUMN shown_name integer`);
    // The others are not done before it has failed.
    const busy = await cell.connect('owner');
    const tables = many.slice(2).map(({ schemaName }) => `${schemaName}.employees`);
    await busy.query(`BEGIN; LOCK TABLE ${tables.join(', ')} IN ACCESS SHARE MODE`);
    const stopped = await world.rollOut();
    await busy.query('COMMIT');
    expect(stopped).toMatchObject({ status: 'failed', targets: { total: 16, failed: 1 } });
    expect(stopped.targets.pending).toBeGreaterThan(0);
    expect(stopped.reason).toContain(`${stopped.targets.pending} were not begun`);
    expect(await world.rollOut()).toMatchObject({
      status: 'failed',
      targets: { total: stopped.targets.pending + 1, failed: 1, pending: 0 },
    });
    await owner.query(`ALTER TABLE ${bad.schemaName}.employees DROP COLUMN shown_name`);
    expect(await world.rollOut()).toMatchObject({ status: 'succeeded', targets: { total: 1 } });
  });

  test('tenants that are left out keep their version and are taken up by the next one', async () => {
    const fifth = await world.world.addTenant('schema', 'us-1', { tenantId: id(6) });
    const left = await world.rollOut({ except: [slugOf(fifth)] });
    expect(left).toMatchObject({ status: 'succeeded', targets: { total: 0 }, except: [slugOf(fifth)] });
    expect(await world.rollOut()).toMatchObject({ targets: { total: 1, succeeded: 1 } });
    await expect(world.begin({ except: ['nobody'] })).rejects.toMatchObject({
      name: 'InvalidRolloutInput',
      issues: [{ pointer: '/except/0' }],
    });
  });

  test('alert work-overdue: a rollout, until it ends', async () => {
    const { rolloutId } = await world.begin();
    const alert = await alerts.opensOnceAndEnds({
      about: '',
      kind: 'work-overdue',
      run: overdueAtOnce('rollout'),
      end: () => world.finish(rolloutId),
    });
    expect(alert.details).toEqual({ work: 'rollout', id: rolloutId });
  });

  test('an execution that is repeated works on its own rollout; one that is alive keeps others waiting', async () => {
    const executionArn = newArn();
    const { rolloutId } = await world.begin({}, executionArn);
    expect(await world.begin({}, executionArn)).toMatchObject({ rolloutId });
    const { beginRollout } = await import('../../functions/rollouts/rollout-phases.ts');
    const other = (status: 'running' | 'ended') =>
      beginRollout(world.world.registry, {
        input: { except: [], rolloutId: undefined, startedBy: undefined },
        executionArn: newArn(),
        region: 'us',
        release: nextRelease,
        statusOf: async () => status,
      });
    await expect(other('running')).rejects.toMatchObject({ name: 'RolloutInProgress' });
    const next = await other('ended');
    expect(next.rolloutId).not.toBe(rolloutId);
    expect(await world.finish(next.rolloutId)).toMatchObject({ status: 'succeeded' });
    await expect(world.begin({}, executionArn)).rejects.toMatchObject({ name: 'RolloutOvertaken' });
    await expect(runWave('cell us-1', world.options(rolloutId))).rejects.toMatchObject({
      name: 'RolloutOvertaken',
    });
  });
});
