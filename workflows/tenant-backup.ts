/**
 * `tenant-backup`: writes one tenant's data, as of one time, to the backup bucket.
 *
 * Input: { tenantId: id or slug } or { slug }; the API adds `backupId`, the record of its request. It is started by the
 * fleet's run, by the API and by operators. `begin` records the backup, `plan` divides it into parts, two lanes copy
 * the parts in parallel, and `finish` writes the manifest, which makes the objects a backup. Every phase may run any
 * number of times: the registry records what is done. A stopped execution does not continue: its record becomes
 * aborted, and its objects are garbage.
 *
 * State: { executionArn, input, backup: { backupId, tenantId }, step: the result of the last phase }. A lane has
 * { executionArn, backup, lane, step }, and is called until it returns `done`.
 *
 * Events: a call of a lane has 7 and works for up to 13 minutes, so 25,000 are enough for the longest execution.
 */

import { Duration } from 'aws-cdk-lib';
import type { IFunction } from 'aws-cdk-lib/aws-lambda';
import type { ILogGroup } from 'aws-cdk-lib/aws-logs';
import {
  Choice,
  Condition,
  Errors,
  Fail,
  JsonPath,
  Pass,
  type StateMachine,
  Succeed,
  TaskInput,
  type TaskStateBase,
} from 'aws-cdk-lib/aws-stepfunctions';
import type { LambdaInvoke } from 'aws-cdk-lib/aws-stepfunctions-tasks';
import { Construct } from 'constructs';
import { STATE_MACHINES } from '../functions/contracts/names.ts';
import { BACKUP_DATA_TIMEOUT, backupStates, waitForMoveOrRollout } from './backup-lanes.ts';
import { beyond, phaseOf, phases, type TaskStateProps, taskState } from './task-states.ts';
import { WorkflowStateMachine } from './workflow-state-machine.ts';

export interface BackupTasks {
  /** The entry `backup-registry`: phases that sign in to no database. */
  registry: IFunction;
  /** The entry `backup-data`: phases that read the tenant's database and write objects. */
  data: IFunction;
}

export interface TenantBackupProps {
  /** The task functions, one for each privilege, which dispatch on `phase`. */
  tasks: BackupTasks;
  /** Log group of the state machine; the caller decides retention and removal. */
  logGroup: ILogGroup;
}

/** Timeouts of the functions, for their longest phases. */
export const BACKUP_TIMEOUTS = {
  registry: Duration.minutes(2),
  data: BACKUP_DATA_TIMEOUT,
} as const;

export class TenantBackup extends Construct {
  readonly stateMachine: StateMachine;
  readonly #tasks: BackupTasks;
  readonly #failed: LambdaInvoke;

  constructor(scope: Construct, id: string, { tasks, logGroup }: TenantBackupProps) {
    super(scope, id);
    this.#tasks = tasks;
    this.#failed = this.#recordFailure();

    const definition = phases(
      new Pass(this, 'Start', { parameters: { 'input.$': '$', 'executionArn.$': '$$.Execution.Id' } }),
      this.#phase('Begin', 'registry', 'begin', { resultPath: '$.backup' }),
      backupStates(this, { data: tasks.data, failed: this.#failed }),
      new Pass(this, 'Result', {
        parameters: { 'backupId.$': '$.backup.backupId', 'tenantId.$': '$.backup.tenantId' },
      }),
    );

    this.stateMachine = new WorkflowStateMachine(this, 'StateMachine', {
      name: STATE_MACHINES.backup,
      definition,
      // A backstop: it ends the execution without `Record failure`, and recovery ends the record. It must be shorter
      // than two days, because expiry deletes objects without a manifest after that time.
      timeout: Duration.days(1),
      logGroup,
    });
  }

  #phase(
    name: string,
    task: keyof BackupTasks,
    phase: string,
    settings: Partial<TaskStateProps> = {},
  ): TaskStateBase {
    return this.#task(name, task, phase, settings).addCatch(this.#failed, {
      errors: [Errors.ALL],
      resultPath: '$.failure',
    });
  }

  #task(
    name: string,
    task: keyof BackupTasks,
    phase: string,
    settings: Partial<TaskStateProps>,
  ): LambdaInvoke {
    return taskState(this, name, this.#tasks[task], {
      timeout: beyond(BACKUP_TIMEOUTS[task]),
      payload: phaseOf(phase),
      retries: [waitForMoveOrRollout],
      ...settings,
    });
  }

  /** Records the failure, deletes the backup's objects, and ends the execution with a reason that may be shown. */
  #recordFailure(): LambdaInvoke {
    const record = this.#task('Record failure', 'registry', 'fail', { resultPath: '$.outcome' });
    record.addCatch(
      new Fail(this, 'Failed without record', {
        errorPath: '$.failure.Error',
        cause:
          'The backup failed, and its failure could not be recorded in the registry. Recovery will record it.',
      }),
      { errors: [Errors.ALL], resultPath: '$.outcome' },
    );
    const failed = new Fail(this, 'Failed', {
      errorPath: '$.failure.Error',
      causePath: '$.outcome.reason',
    });
    const discard = this.#task('Discard', 'data', 'discard', {
      payload: TaskInput.fromObject({
        phase: 'discard',
        state: {
          executionArn: JsonPath.stringAt('$.executionArn'),
          backup: JsonPath.objectAt('$.outcome.backup'),
        },
      }),
    });
    // If the deletion fails, expiry deletes the objects later, because they have no manifest.
    discard.addCatch(failed, { errors: [Errors.ALL], resultPath: '$.step' });
    discard.next(failed);
    record.next(
      new Choice(this, 'Outcome?')
        .when(Condition.stringEquals('$.outcome.outcome', 'failed'), discard)
        // The backup succeeded; only the answer of the last phase was lost.
        .when(Condition.stringEquals('$.outcome.outcome', 'succeeded'), new Succeed(this, 'Finished already'))
        .otherwise(failed),
    );
    return record;
  }
}
