/**
 * `tenant-restore`: puts a tenant's rows back as a backup has them, or as they were before an earlier restore, while the
 * tenant goes on working until the swap.
 *
 * Input: { tenantId: id or slug, backupId } or { slug, backupId }, or `at`, a time, in place of `backupId`; the API adds the
 * record that it has made. A restore is a
 * move to a place that phase `fill` fills: all other phases are those of `tenant-move`, and what is said there of stopped
 * executions holds here. Two phases are its own besides: `plan`, which waits for the new tenant of a clone, and `discards`,
 * which tells which writes the swap has set aside.
 *
 * A restore to a point in time first makes a backup of the tenant as it was then (functions/restores/side-backup.ts):
 *
 *   side-cluster ─▶ side-backup ─▶ plan, copy in two lanes, finish ─▶ drop-side-cluster ─▶ plan, fill … as of any backup
 *         └───────────────┴── failed ──┴─▶ drop-side-cluster ─▶ roll back
 *
 * State besides that of hop-loop.ts: `side`, what the side cluster's phase answered, and `backup`, which is read from it.
 * No execution ends before it has begun to delete its side cluster, unless it is killed or RDS refuses; the sweep of
 * `restore-side` deletes it then.
 */

import { Duration } from 'aws-cdk-lib';
import type { IFunction } from 'aws-cdk-lib/aws-lambda';
import type { ILogGroup } from 'aws-cdk-lib/aws-logs';
import {
  Chain,
  Choice,
  Condition,
  DefinitionBody,
  type IChainable,
  LogLevel,
  Pass,
  QueryLanguage,
  type RetryProps,
  StateMachine,
} from 'aws-cdk-lib/aws-stepfunctions';
import { Construct } from 'constructs';
import { STATE_MACHINES } from '../functions/contracts/names.ts';
import { SideClusterUnreachable } from '../functions/restores/errors.ts';
import { backupStates } from './backup-lanes.ts';
import { HopLoop, type MoveTasks, type PhaseTask } from './hop-loop.ts';
import { MOVE_TIMEOUTS, phases } from './task-states.ts';

/** Lambda's limit. A fill goes on in the next call. */
export const RESTORE_TIMEOUT = Duration.minutes(15);

/** RDS has answered that the password is set, and sets it within minutes. */
const notYetOpen: RetryProps = {
  errors: [SideClusterUnreachable.name],
  interval: Duration.seconds(5),
  backoffRate: 1.5,
  maxAttempts: 20,
  maxDelay: Duration.seconds(60),
};

export interface TenantRestoreProps {
  /** Those of `tenant-move`. */
  tasks: MoveTasks;
  /** The entry `restore-data`: phases that read backups and fill schemas with them. */
  data: IFunction;
  /** The entry `restore-side`: phases that make and delete copies of clusters. */
  side: IFunction;
  /** The entry `backup-data`, which makes the backup of a point in time. */
  backup: IFunction;
  /** Where the state machine logs; the caller decides retention and removal. */
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
    this.stateMachine = new StateMachine(this, 'StateMachine', {
      stateMachineName: STATE_MACHINES.restore,
      definitionBody: DefinitionBody.fromChainable(definition),
      queryLanguage: QueryLanguage.JSON_PATH,
      // As of tenant-move.
      timeout: Duration.days(3),
      tracingEnabled: true,
      logs: { destination: logGroup, level: LogLevel.ALL, includeExecutionData: false },
    });
  }

  /** Makes the backup that is restored, if the restore is one to a point in time. */
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
        // The sweep deletes it. It must not keep the tenant waiting.
        failed: after,
        failurePath: '$.dropped',
      });
    const failed = drop('Drop side cluster of failed restore', loop.failed);
    failed.next(loop.failed);
    const dropped = new Pass(this, 'Backup of the time is made');
    const made = phases(
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
        .when(Condition.booleanEquals('$.move.pointInTime', true), made)
        .afterwards({ includeOtherwise: true }),
    );
  }
}
