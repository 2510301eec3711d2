/**
 * `tenant-backup`: writes one tenant's data to the backup bucket, as it was at one moment.
 *
 * Input: { tenantId: id or slug } or { slug }. Started by the fleet's run, by the API (which adds the record that it has
 * made) and by operators. Begin records the backup, plan decides its parts, two lanes copy them side by side, and finish
 * writes the manifest, which makes the objects a backup. Every phase may run any number of times: the registry says what
 * is done. An execution that was stopped does not go on: its record becomes aborted, its objects are garbage.
 *
 * State: { executionArn, input, backup: { backupId, tenantId }, step: what the last phase answered }. A lane has
 * { executionArn, backup, lane, step }, and is called until it answers that it is done.
 *
 * Events: a call of a lane has 7 and works for up to 13 minutes, so 25,000 are enough for as long as an execution lasts.
 */

import { Duration } from 'aws-cdk-lib';
import type { IFunction } from 'aws-cdk-lib/aws-lambda';
import type { ILogGroup } from 'aws-cdk-lib/aws-logs';
import {
  Choice,
  Condition,
  DefinitionBody,
  Errors,
  Fail,
  JsonPath,
  LogLevel,
  Pass,
  QueryLanguage,
  StateMachine,
  Succeed,
  TaskInput,
  type TaskStateBase,
} from 'aws-cdk-lib/aws-stepfunctions';
import type { LambdaInvoke } from 'aws-cdk-lib/aws-stepfunctions-tasks';
import { Construct } from 'constructs';
import { STATE_MACHINES } from '../functions/contracts/names.ts';
import { BACKUP_DATA_TIMEOUT, backupStates, waitForMoveOrRollout } from './backup-lanes.ts';
import { beyond, phaseOf, phases, type TaskStateProps, taskState } from './task-states.ts';

export interface BackupTasks {
  /** The entry `backup-registry`: phases that sign in to no database. */
  registry: IFunction;
  /** The entry `backup-data`: phases that read the tenant's database and write objects. */
  data: IFunction;
}

export interface TenantBackupProps {
  /** The task functions, one for each privilege, which dispatch on `phase`. */
  tasks: BackupTasks;
  /** Where the state machine logs; the caller decides retention and removal. */
  logGroup: ILogGroup;
}

/** How long the functions may take: each as long as its longest phase. */
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

    this.stateMachine = new StateMachine(this, 'StateMachine', {
      stateMachineName: STATE_MACHINES.backup,
      definitionBody: DefinitionBody.fromChainable(definition),
      queryLanguage: QueryLanguage.JSON_PATH,
      // A backstop: it ends the execution without `Record failure`, which is left to recovery. Expiry takes objects
      // without a manifest for garbage after two days.
      timeout: Duration.days(1),
      tracingEnabled: true,
      // The execution's data says whose backup it is, so only its course is logged.
      logs: { destination: logGroup, level: LogLevel.ALL, includeExecutionData: false },
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

  /** Records the failure, deletes what was written, and ends the execution with a reason that may be shown. */
  #recordFailure(): LambdaInvoke {
    const record = this.#task('Record failure', 'registry', 'fail', { resultPath: '$.outcome' });
    record.addCatch(
      new Fail(this, 'Failed without record', {
        errorPath: '$.failure.Error',
        cause: 'The backup failed, and the registry could not be told. Its recovery will be tried again.',
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
    // What cannot be deleted now has no manifest: expiry deletes it.
    discard.addCatch(failed, { errors: [Errors.ALL], resultPath: '$.step' });
    discard.next(failed);
    record.next(
      new Choice(this, 'Outcome?')
        .when(Condition.stringEquals('$.outcome.outcome', 'failed'), discard)
        // Only the answer of the last phase was lost.
        .when(Condition.stringEquals('$.outcome.outcome', 'succeeded'), new Succeed(this, 'Finished already'))
        .otherwise(failed),
    );
    return record;
  }
}
