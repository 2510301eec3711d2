/**
 * Moves, restores, backups, drills and exports that really fail, take too long or do not begin: each opens one alert, which
 * ends when the work is done again.
 */
import { DeleteObjectCommand } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { AlertKind } from '../../functions/alerts/alert-kinds.ts';
import { type OverdueWork, THRESHOLDS } from '../../functions/alerts/thresholds.ts';
import type { CaughtError } from '../../functions/aws/caught-error.ts';
import { listDueTenants } from '../../functions/backups/due-tenants.ts';
import { BackupObjectMissing } from '../../functions/backups/errors.ts';
import { finishBackup } from '../../functions/backups/finish-backup.ts';
import { planBackup } from '../../functions/backups/plan-backup.ts';
import { recoverBackups } from '../../functions/backups/recover-backups.ts';
import { recoverExports } from '../../functions/exports/recover-exports.ts';
import { endFailedMove } from '../../functions/moves/end-move.ts';
import { recoverMoves } from '../../functions/moves/recover-moves.ts';
import { abortMove } from '../../functions/moves/request-move.ts';
import { drillBackup } from '../../functions/restores/drill-backup.ts';
import { listDueDrills } from '../../functions/restores/due-drills.ts';
import { phases as ofBackups } from '../../functions/tasks/backup-registry.ts';
import { toBackupError } from '../../functions/tasks/backup-task.ts';
import { phases as ofExports, toExportError } from '../../functions/tasks/export-data.ts';
import { toMoveError } from '../../functions/tasks/move-task.ts';
import { drillPhases } from '../../functions/tasks/restore-data.ts';
import type { Phase, PhaseContext } from '../../functions/tasks/workflow-task.ts';
import type { BackedUp } from '../backup/backup-world.ts';
import { clientOf } from '../backup/s3-client.ts';
import { begin as beginExport } from '../export/export-world.ts';
import { FULL_RUN } from '../full-run.ts';
import { RestoreWorld } from '../restore/restore-world.ts';
import { AlertRuns, overdueAtOnce } from './alert-runs.ts';

let world: RestoreWorld;
let alerts: AlertRuns;
beforeAll(async () => {
  world = await RestoreWorld.start();
  alerts = new AlertRuns(world.registry);
});
afterAll(() => world?.stop());

const dead = { statusOf: async () => 'ended' as const };

/** The error of a phase, as its workflow catches it. */
async function failureOf(phase: Promise<unknown>, toTyped: (error: unknown) => Error): Promise<CaughtError> {
  const [outcome] = await Promise.allSettled([phase]);
  if (outcome.status === 'fulfilled') throw new Error('the phase did not fail');
  const { name, message } = toTyped(outcome.reason);
  return { Error: name, Cause: JSON.stringify({ errorType: name, errorMessage: message }) };
}

/** Calls a phase of a task that needs only the registry. */
const call = (phase: Phase, state: object) =>
  phase(state, { registry: world.registry } as unknown as PhaseContext);

async function executionOf(table: 'tenant_backups' | 'tenant_exports' | 'tenant_moves', tenantId: string) {
  const [row] = await world.registry.query<{ arn: string }>(
    `SELECT execution_arn AS arn FROM ${table} WHERE tenant_id = :tenantId::uuid AND status = 'running'`,
    { tenantId },
  );
  return row!.arn;
}

/** Deletes the objects of a backup that hold rows. */
async function loseObjects({ prefix }: { readonly prefix: string }): Promise<void> {
  const { endpoint, name: Bucket, store } = world.backups.bucket;
  const s3 = clientOf(endpoint);
  for await (const { key: Key } of store.list(prefix)) {
    if (Key.endsWith('.zst')) await s3.send(new DeleteObjectCommand({ Bucket, Key }));
  }
  s3.destroy();
}

/** While it works, the database of the world's cell takes no new session. */
async function whileClosed<Result>(work: () => Promise<Result>): Promise<Result> {
  const superuser = await world.superuser(world.backups.registry);
  const allow = (answer: boolean) =>
    superuser.query(`ALTER DATABASE "${world.backups.cell.name}" ALLOW_CONNECTIONS ${answer}`);
  await allow(false);
  try {
    return await work();
  } finally {
    await allow(true);
  }
}

test('nothing is told of a tenant that is well', async () => {
  const { tenantId } = await world.addTenant('shared');
  await world.backUp({ tenantId });
  await alerts.run();
  expect(await alerts.alerts(tenantId)).toEqual([]);
});

describe('a backup', () => {
  test('alert backup-failed: of a tenant whose database refuses sessions, until a backup succeeds', async () => {
    const tenant = await world.addTenant('schema');
    const backup = await world.backups.begin(tenant);
    const failure = await whileClosed(() => failureOf(planBackup(backup.context()), toBackupError));
    const executionArn = await executionOf('tenant_backups', tenant.tenantId);
    await call(ofBackups.fail, { executionArn, failure });
    const alert = await alerts.opensOnceAndEnds({
      about: tenant.tenantId,
      kind: 'backup-failed',
      end: () => world.backUp(tenant),
    });
    expect(alert).toMatchObject({
      severity: 'critical',
      details: { backupId: backup.backupId, reason: expect.any(String) },
    });
  });

  test.runIf(FULL_RUN)('whose execution is dead has failed as well', async () => {
    const tenant = await world.addTenant('schema');
    const { backupId } = await world.backups.begin(tenant);
    await recoverBackups(world.registry, dead);
    const alert = await alerts.opensOnceAndEnds({
      about: tenant.tenantId,
      kind: 'backup-failed',
      end: () => world.backUp(tenant),
    });
    expect(alert.details).toMatchObject({ backupId });
  });

  test('alert backup-overdue: that did not begin, until it is made', async () => {
    const tenant = await world.addTenant('schema');
    const isDue = async () => {
      const { groups } = await listDueTenants(world.registry, 'us');
      return groups.some(({ tenants }) => tenants.some(({ tenantId }) => tenantId === tenant.tenantId));
    };
    expect(await isDue()).toBe(true);
    await alerts.run();
    expect(await alerts.alerts(tenant.tenantId)).toEqual([]);
    // The time passes, and nothing starts the daily run.
    await world.registry.query(
      `UPDATE tenant_database_routing SET created_at = created_at - make_interval(secs => :seconds::integer)
       WHERE tenant_id = :tenantId::uuid`,
      { tenantId: tenant.tenantId, seconds: THRESHOLDS.backupSeconds + 60 },
    );
    await alerts.opensOnceAndEnds({
      about: tenant.tenantId,
      kind: 'backup-overdue',
      end: () => world.backUp(tenant),
    });
    expect(await isDue()).toBe(false);
  });
});

describe('a backup whose objects are lost', () => {
  test('alert restore-failed: a restore, until another one begins', async () => {
    const tenant = await world.addTenant('schema');
    const { tenantId } = tenant;
    await world.addRows(tenantId, 10);
    const backup = await world.backUp(tenant);
    await loseObjects(backup);
    const asked = await world.ask(tenantId, { mode: 'replace', backupId: backup.backupId });
    const failure = await failureOf(world.run(asked), toTypedRestoreError);
    await endFailedMove(world.registry, asked.restoreId, failure, { vouched: { BackupObjectMissing } });
    const another = await world.backUp(tenant);
    const alert = await alerts.opensOnceAndEnds({
      about: tenantId,
      kind: 'restore-failed',
      end: () => world.ask(tenantId, { mode: 'replace', backupId: another.backupId }),
    });
    expect(alert.details).toMatchObject({
      restoreId: asked.restoreId,
      reason: expect.stringMatching(/^An object of the backup is missing/),
    });
    expect(await alerts.alerts(tenantId, 'move-failed')).toEqual([]);
  });

  test('alert restore-drill-failed: a drill, until one passes', async () => {
    const tenant = await world.addTenant('schema');
    const { tenantId } = tenant;
    await world.addRows(tenantId, 10);
    await loseObjects(await world.backUp(tenant));
    const due = async () =>
      (await listDueDrills(world.registry, 'us')).find((one) => one.tenantId === tenantId)!;
    const drill = async () => {
      const backup = await due();
      while (!(await drillBackup(world.registry, world.store, backup, performance.now() + 50_000)).done);
    };
    const failure = await failureOf(drill(), toTypedRestoreError);
    await call(drillPhases['fail-drill'], { ...(await due()), failure });
    const alert = await alerts.opensOnceAndEnds({
      about: tenantId,
      kind: 'restore-drill-failed',
      end: async () => {
        await world.backUp(tenant);
        await drill();
      },
    });
    expect(alert.details.reason).toMatch(/^An object of the backup is missing/);
  });

  /** An error of the backup's objects keeps its name. */
  const toTypedRestoreError = (error: unknown) =>
    error instanceof BackupObjectMissing ? error : toMoveError(error);
});

describe('a move', () => {
  /** A move to a schema, stopped before a phase. */
  async function moving(before: 'copy' | 'catch-up') {
    const tenant = await world.addTenant('shared');
    await world.addRows(tenant.tenantId, 10);
    const moveId = await world.beginMove(tenant.tenantId, 'business');
    await world.runMove(moveId, before);
    const [hop] = await world.hops({ restoreId: moveId, tenantId: tenant.tenantId });
    const superuser = await world.superuser(world.backups.cell);
    const atTarget = (set: string) =>
      superuser.query(`UPDATE ${hop!.target.schemaName}.employees SET ${set}`);
    return { ...tenant, moveId, target: hop!.target.schemaName, superuser, atTarget };
  }

  test('alert move-failed: whose rows its target refuses, until the next one begins; one that an operator aborted is no failure', async () => {
    const { tenantId, moveId, target, superuser } = await moving('copy');
    await abortMove(world.registry, { tenantId, moveId, operator: 'op@strata.test' });
    const aborted = await failureOf(world.runMove(moveId), toMoveError);
    expect((await endFailedMove(world.registry, moveId, aborted)).outcome).toBe('aborted');
    await alerts.run();
    expect(await alerts.alerts(tenantId)).toEqual([]);

    const next = await world.beginMove(tenantId, 'business');
    await world.runMove(next, 'copy');
    const [hop] = await world.hops({ restoreId: next, tenantId });
    expect(hop!.target.schemaName).not.toBe(target);
    await superuser.query(`ALTER TABLE ${hop!.target.schemaName}.employees ADD CHECK (email = 'nobody')`);
    const failure = await failureOf(world.runMove(next), toMoveError);
    await endFailedMove(world.registry, next, failure);
    const alert = await alerts.opensOnceAndEnds({
      about: tenantId,
      kind: 'move-failed',
      end: () => world.move(tenantId, 'business'),
    });
    expect(alert).toMatchObject({
      severity: 'critical',
      details: { moveId: next, phase: 'copy', reason: 'An internal error stopped the move.' },
    });
  });

  test('alert move-mismatch: whose sides differ, until it is compared again', async () => {
    const { tenantId, moveId, atTarget } = await moving('catch-up');
    await atTarget(`first_name = 'Mallory'`);
    const executionArn = await executionOf('tenant_moves', tenantId);
    const failure = await failureOf(world.runMove(moveId), toMoveError);
    expect(failure.Error).toBe('MoveMismatch');
    await endFailedMove(world.registry, moveId, failure);
    const alert = await alerts.opensOnceAndEnds({
      about: tenantId,
      kind: 'move-mismatch',
      end: async () => {
        // As docs/operations.md says, after the cause was found.
        await world.registry.query(
          `WITH hop AS (UPDATE tenant_move_hops SET state = 'working', result = result - 'mismatchAt' - 'compareCursor'
                        WHERE state = 'mismatch' AND tenant_id = :tenantId::uuid RETURNING move_id)
           UPDATE tenant_moves m SET status = 'running', finished_at = NULL FROM hop WHERE m.move_id = hop.move_id`,
          { tenantId },
        );
        await recoverMoves(world.registry, { ...dead, ended: { executionArn, status: 'ABORTED' } });
      },
    });
    expect(alert).toMatchObject({ severity: 'critical', details: { moveId, hop: 0 } });
  });

  test.each([
    [
      'after a week',
      `UPDATE tenant_moves SET finished_at = now() - make_interval(secs => ${THRESHOLDS.failureSeconds + 60})`,
    ],
    ['of a tenant that is not in use any more', `UPDATE tenants SET status = 'offboarding'`],
  ])('that failed has no alert %s', async (_when, update) => {
    const { tenantId, moveId } = await moving('copy');
    await endFailedMove(world.registry, moveId, { Error: 'States.Timeout' });
    await alerts.opensOnceAndEnds({
      about: tenantId,
      kind: 'move-failed',
      end: () => world.registry.query(`${update} WHERE tenant_id = :tenantId::uuid`, { tenantId }),
    });
  });
});

describe('an export', () => {
  async function exported() {
    const tenant = await world.addTenant('schema');
    await world.addRows(tenant.tenantId, 10);
    const start = async () => {
      const backup = await world.backUp(tenant);
      const run = await beginExport(world.backups, tenant.tenantId, backup.backupId);
      await run.source();
      return { ...run, backup };
    };
    return { ...tenant, start };
  }

  test('alert work-failed: whose backup has lost its objects, until another one begins', async () => {
    const { tenantId, start } = await exported();
    const run = await start();
    await loseObjects(run.backup);
    const failure = await failureOf(run.write(), toExportError);
    await call(ofExports.fail, { executionArn: await executionOf('tenant_exports', tenantId), failure });
    const alert = await alerts.opensOnceAndEnds({ about: tenantId, kind: 'work-failed', end: start });
    expect(alert.details).toMatchObject({
      work: 'export',
      id: run.exportId,
      reason: expect.stringMatching(/^An object of the backup is missing/),
    });
  });

  test.runIf(FULL_RUN)('whose execution is dead has failed as well', async () => {
    const { tenantId, start } = await exported();
    const { exportId } = await start();
    await recoverExports(world.registry, dead);
    const alert = await alerts.opensOnceAndEnds({ about: tenantId, kind: 'work-failed', end: start });
    expect(alert.details).toMatchObject({ work: 'export', id: exportId });
  });
});

interface StartedWork {
  readonly id: string;
  /** Does the rest of the work. */
  readonly end: () => Promise<unknown>;
}

describe('work that is still running after its time', () => {
  const started: readonly (readonly [OverdueWork, (tenant: BackedUp) => Promise<StartedWork>])[] = [
    [
      'backup',
      async (tenant) => {
        const backup = await world.backups.begin(tenant);
        await planBackup(backup.context());
        const end = async () => {
          await world.backups.copy(backup);
          await finishBackup(backup.context());
        };
        return { id: backup.backupId, end };
      },
    ],
    [
      'export',
      async (tenant) => {
        const { backupId } = await world.backUp(tenant);
        const run = await beginExport(world.backups, tenant.tenantId, backupId);
        await run.source();
        const end = async () => {
          while (!(await run.write()).done);
          await run.finish();
        };
        return { id: run.exportId, end };
      },
    ],
    [
      'restore',
      async ({ tenantId }) => {
        const asked = await world.ask(tenantId, {
          mode: 'replace',
          backupId: (await world.backUp({ tenantId })).backupId,
        });
        await world.run(asked, '0 fill');
        return { id: asked.restoreId, end: () => world.run(asked) };
      },
    ],
    [
      'move',
      async ({ tenantId }) => {
        const moveId = await world.beginMove(tenantId, 'starter');
        await world.runMove(moveId, 'copy');
        return { id: moveId, end: () => world.runMove(moveId) };
      },
    ],
  ];

  // A restore is a row of the same table as a move.
  const some = FULL_RUN ? started : started.filter(([work]) => work !== 'restore');
  test.each(some)('alert work-overdue: %s, until it ends', async (work, start) => {
    const tenant = await world.addTenant('schema');
    const { id, end } = await start(tenant);
    await alerts.run();
    const kind: AlertKind = 'work-overdue';
    expect(await alerts.alerts(tenant.tenantId, kind)).toEqual([]);
    const run = overdueAtOnce(work);
    const alert = await alerts.opensOnceAndEnds({ about: tenant.tenantId, kind, run, end });
    expect(alert.details).toEqual({ work, id });
  });
});
