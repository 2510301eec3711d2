/**
 * `tenant-restore`: replaces a tenant's rows by those of a backup, or by those that an earlier restore replaced. The
 * tenant's requests are served meanwhile; the rows change with one commit.
 *
 * Input: { tenantId: id or slug, backupId } or { slug, backupId }, or `at`, a time, instead of `backupId`; the API adds
 * `restoreId`, the record of its request. A restore is a move to a place that phase `fill` fills. The other phases are
 * those of `tenant-move`, and stopped executions are handled as there. A restore has two more phases: `plan`, which
 * waits for the new tenant of a clone, and `discards`, which records the writes that the restore discarded.
 *
 * A restore to a point in time first makes a backup of the tenant's rows at that time
 * (functions/restores/side-backup.ts):
 *
 *   side-cluster ─▶ side-backup ─▶ plan, copy in two lanes, finish ─▶ drop-side-cluster ─▶ plan, fill … as for any
 *   backup
 *         └───────────────┴── failed ──┴─▶ drop-side-cluster ─▶ roll back
 *
 * State in addition to that of hop-loop.ts: `side`, the result of phase `side-cluster`, and `backup`, which reads the
 * side cluster. An execution begins to delete its side cluster before it ends. If it is killed, or if RDS refuses the
 * deletion, the sweep of `restore-side` deletes the cluster.
 */

import { Duration } from 'aws-cdk-lib';
import type { IFunction } from 'aws-cdk-lib/aws-lambda';
import type { ILogGroup } from 'aws-cdk-lib/aws-logs';
import {
  Chain,
  Choice,
  Condition,
  type IChainable,
  Pass,
  type RetryProps,
  type StateMachine,
} from 'aws-cdk-lib/aws-stepfunctions';
import { Construct } from 'constructs';
import { STATE_MACHINES } from '../functions/contracts/names.ts';
import { SideClusterUnreachable } from '../functions/restores/errors.ts';
import { backupStates } from './backup-lanes.ts';
import { HopLoop, type MoveTasks, type PhaseTask } from './hop-loop.ts';
import { MOVE_TIMEOUTS, phases } from './task-states.ts';
import { WorkflowStateMachine } from './workflow-state-machine.ts';

/** Lambda's limit. Filling continues in the next call. */
export const RESTORE_TIMEOUT = Duration.minutes(15);

/** RDS accepts a new password at once, but sets it only within minutes. */
const notYetOpen: RetryProps = {
  errors: [SideClusterUnreachable.name],
  interval: Duration.seconds(5),
  backoffRate: 1.5,
  maxAttempts: 20,
  maxDelay: Duration.seconds(60),
};

export interface TenantRestoreProps {
  /** The task functions of `tenant-move`. */
  tasks: MoveTasks;
  /** The entry `restore-data`: phases that read backups and fill schemas with them. */
  data: IFunction;
  /** The entry `restore-side`: phases that create and delete side clusters. */
  side: IFunction;
  /** The entry `backup-data`, which makes the backup of a side cluster. */
  backup: IFunction;
  /** Log group of the state machine; the caller decides retention and removal. */
  logGroup: ILogGroup;
}

export class TenantRestore extends Construct {
  readonly stateMachine: StateMachine;

  constructor(scope: Construct, id: string, { tasks, data, side, backup, logGroup }: TenantRestoreProps) {
    super(scope, id);
    const restore: PhaseTask = { task: data, timeout: RESTORE_TIMEOUT };
    const loop = new HopLoop(this, { tasks, what: 'restore' });
    const finish = phases(
      loop.phase('Note discarded writes', restore, 'discards'),
      loop.phase('Finish', loop.registry, 'finish', { resultPath: '$' }),
    );
    const definition = phases(
      new Pass(this, 'Start', { parameters: { 'input.$': '$', 'executionArn.$': '$$.Execution.Id' } }),
      loop.phase('Begin', restore, 'begin', { resultPath: '$.move' }),
      this.#pointInTime(loop, restore, { side, backup }),
      loop.untilDone('Plan', restore, 'plan', { pause: Duration.seconds(10) }),
      loop.states(finish, loop.untilDone('Fill', restore, 'fill')),
    );
    this.stateMachine = new WorkflowStateMachine(this, 'StateMachine', {
      name: STATE_MACHINES.restore,
      definition,
      // The same as that of `tenant-move`.
      timeout: Duration.days(3),
      logGroup,
    });
  }

  /** Only for a restore to a point in time: makes the backup that is then restored. */
  #pointInTime(
    loop: HopLoop,
    restore: PhaseTask,
    { side, backup }: Pick<TenantRestoreProps, 'side' | 'backup'>,
  ): Chain {
    const aws: PhaseTask = { task: side, timeout: MOVE_TIMEOUTS.aws };
    const drop = (name: string, after: IChainable) =>
      loop.untilDone(name, aws, 'drop-side-cluster', {
        pause: Duration.seconds(20),
        resultPath: '$.dropped',
        // A failed deletion must not delay the tenant: the sweep deletes the cluster later.
        failed: after,
        failurePath: '$.dropped',
      });
    const failed = drop('Drop side cluster of failed restore', loop.failed);
    failed.next(loop.failed);
    const dropped = new Pass(this, 'Point-in-time backup done');
    const backupOfTime = phases(
      loop.untilDone('Side cluster', aws, 'side-cluster', {
        pause: Duration.seconds(20),
        resultPath: '$.side',
        failed,
      }),
      loop.phase('Side backup', restore, 'side-backup', {
        retries: [notYetOpen],
        resultPath: '$.backup',
        failed,
      }),
      backupStates(this, { data: backup, carried: ['move', 'side'], failed, ending: ' side backup' }),
      drop('Drop side cluster', dropped),
      dropped,
    );
    return Chain.start(
      new Choice(this, 'Point in time?')
        .when(Condition.booleanEquals('$.move.pointInTime', true), backupOfTime)
        .afterwards({ includeOtherwise: true }),
    );
  }
}
