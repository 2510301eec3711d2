/** Executions of `tenant-backup` that died: their backups are ended, so that the tenant's next backup can begin. */
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import type { ExecutionStatus } from '../../functions/aws/executions.ts';
import { beginBackup } from '../../functions/backups/begin-backup.ts';
import { BackupInProgress, BackupOvertaken } from '../../functions/backups/errors.ts';
import { finishBackup } from '../../functions/backups/finish-backup.ts';
import { planBackup } from '../../functions/backups/plan-backup.ts';
import { recoverBackups } from '../../functions/backups/recover-backups.ts';
import { requestBackup } from '../../functions/backups/request-backup.ts';
import { type BackedUp, BackupWorld } from './backup-world.ts';

const MACHINE = 'arn:aws:states:us-east-1:000000000000:stateMachine:tenant-backup';
let world: BackupWorld;
let superuser: pg.Client;
let tenant: BackedUp;
let neighbour: BackedUp;
beforeAll(async () => {
  world = await BackupWorld.start();
  superuser = await world.registry.connect('superuser');
  tenant = await world.addTenant('schema');
  neighbour = await world.addTenant('shared');
});
afterAll(() => world?.stop());
let executions: Map<string, ExecutionStatus>;
beforeEach(() => {
  executions = new Map();
});
afterEach(() => superuser.query('TRUNCATE tenant_backups CASCADE'));

const newArn = () => `${MACHINE.replace(':stateMachine:', ':execution:')}:${randomUUID()}`;
const statusOf = async (arn: string): Promise<ExecutionStatus> => executions.get(arn) ?? 'none';
const recover = (ended?: { executionArn: string }) =>
  recoverBackups(world.registryCalls, { statusOf, ...(ended ? { ended } : {}) });

async function begin(status: ExecutionStatus, { tenantId }: BackedUp = tenant) {
  const executionArn = newArn();
  const { backupId } = await beginBackup(world.registryCalls, { tenantId }, executionArn, { statusOf });
  executions.set(executionArn, status);
  return { backupId, executionArn };
}

/** Requests a backup as the API does; `start` gets the execution's name. */
const request = (start: () => Promise<void> = async () => {}) =>
  requestBackup(world.registryCalls, tenant.tenantId, {
    actor: { id: 'operator', type: 'operator' },
    stateMachineArn: MACHINE,
    start,
    statusOf,
  });

async function recordOf(backupId: string) {
  const { rows } = await superuser.query(
    'SELECT status, phase, reason, finished_at FROM tenant_backups WHERE backup_id = $1',
    [backupId],
  );
  return rows[0];
}

const age = (backupId: string, seconds: number) =>
  superuser.query(
    `UPDATE tenant_backups SET started_at = started_at - $2 * interval '1 second' WHERE backup_id = $1`,
    [backupId, seconds],
  );

test.each(['ended', 'failed', 'none'] as const)(
  'a backup whose execution is %s is aborted with a reason, once, and audited',
  async (status) => {
    const { backupId } = await begin(status);
    expect(await recover()).toEqual([backupId]);
    expect(await recordOf(backupId)).toMatchObject({
      status: 'aborted',
      reason: 'The workflow of the backup ended before the backup was done.',
      finished_at: expect.any(Date),
    });
    expect(await recover()).toEqual([]);
    const { rows } = await superuser.query(
      `SELECT actor FROM control_audit_log WHERE action = 'backup.aborted' AND resource_id = $1`,
      [backupId],
    );
    expect(rows).toEqual([{ actor: 'backup-recovery' }]);
  },
);

test('a backup whose execution is running is not changed', async () => {
  const { backupId } = await begin('running');
  expect(await recover()).toEqual([]);
  expect(await recordOf(backupId)).toMatchObject({ status: 'running' });
});

test('a recorded backup whose execution was not started yet is recovered after a minute', async () => {
  const backupId = await request();
  expect(await recordOf(backupId)).toMatchObject({ status: 'running', phase: 'planned' });
  await age(backupId, 50);
  expect(await recover()).toEqual([]);
  await age(backupId, 15);
  expect(await recover()).toEqual([backupId]);
});

test('the event of an execution recovers the backup of that execution only', async () => {
  const one = await begin('ended');
  const other = await begin('ended', neighbour);
  expect(await recover({ executionArn: one.executionArn })).toEqual([one.backupId]);
  expect(await recordOf(other.backupId)).toMatchObject({ status: 'running' });
});

test('a backup whose execution cannot be read does not stop the recovery of others', async () => {
  const unknown = await begin('running');
  const dead = await begin('ended', neighbour);
  const failing = async (arn: string) => {
    if (arn === unknown.executionArn) throw new Error('Step Functions is unavailable');
    return statusOf(arn);
  };
  await expect(recoverBackups(world.registryCalls, { statusOf: failing })).rejects.toThrow(
    '1 backups were not recovered',
  );
  expect(await recordOf(dead.backupId)).toMatchObject({ status: 'aborted' });
  expect(await recordOf(unknown.backupId)).toMatchObject({ status: 'running' });
});

test.each(['execution', 'request'])('the next %s need not wait for recovery', async (which) => {
  const dead = await begin('ended');
  const next =
    which === 'request'
      ? await request()
      : (await beginBackup(world.registryCalls, { tenantId: tenant.tenantId }, newArn(), { statusOf }))
          .backupId;
  expect(next).not.toBe(dead.backupId);
  expect(await recordOf(dead.backupId)).toMatchObject({ status: 'aborted' });
  expect(await recordOf(next)).toMatchObject({ status: 'running' });
});

test('while an execution works on a backup, neither an execution nor a request begins another one', async () => {
  await begin('running');
  await expect(
    beginBackup(world.registryCalls, { tenantId: tenant.tenantId }, newArn(), { statusOf }),
  ).rejects.toThrow(BackupInProgress);
  await expect(request()).rejects.toThrow(BackupInProgress);
});

test('a repeated begin records one backup', async () => {
  const executionArn = newArn();
  const once = () =>
    beginBackup(world.registryCalls, { tenantId: tenant.tenantId }, executionArn, { statusOf });
  expect(await once()).toEqual(await once());
});

test('after recovery, a worker of the backup writes nothing more and cannot end the backup as succeeded', async () => {
  const backup = await world.begin(tenant);
  await planBackup(backup.context());
  await world.copy(backup);
  expect(await recover()).toEqual([backup.backupId]);
  await expect(finishBackup(backup.context())).rejects.toThrow(BackupOvertaken);
  expect(await recordOf(backup.backupId)).toMatchObject({ status: 'aborted' });
});

test('a request whose execution cannot be started does not block the next backup', async () => {
  await expect(request(() => Promise.reject(new Error('throttled')))).rejects.toMatchObject({
    name: 'BackupNotStarted',
  });
  const { rows } = await superuser.query('SELECT status, reason FROM tenant_backups');
  expect(rows).toEqual([{ status: 'failed', reason: 'The backup could not be started. Try again later.' }]);
  await request();
});
