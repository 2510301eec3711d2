/**
 * `tenant-export`: writes one tenant's data into an archive for the customer: CSV, JSON Schema, and SQL that `psql`
 * loads.
 *
 * Input: { tenantId: id or slug } or { slug }, and { backupId } for the export of an earlier backup; the API adds
 * `exportId`, the record of its request. It is started by the API and by operators. `begin` records the export,
 * `source` waits for a backup that is not older than the request, `write` converts the backup's parts to text, and
 * `finish` packs the archive. Every phase may run any number of times: the registry records what is done. A stopped
 * execution does not continue: its record becomes aborted, and its objects are deleted.
 *
 * State: { executionArn, input, export: { exportId, tenantId }, step: the result of the last phase }.
 *
 * Events: waiting has 9 in 20 seconds, so the 25,000 of an execution last for 15 hours.
 */

import { Duration } from 'aws-cdk-lib';
import type { IFunction } from 'aws-cdk-lib/aws-lambda';
import type { ILogGroup } from 'aws-cdk-lib/aws-logs';
import {
  Choice,
  Condition,
  Errors,
  Fail,
  type IChainable,
  JitterType,
  JsonPath,
  Pass,
  type RetryProps,
  type StateMachine,
  Succeed,
  TaskInput,
  Wait,
  WaitTime,
} from 'aws-cdk-lib/aws-stepfunctions';
import type { LambdaInvoke } from 'aws-cdk-lib/aws-stepfunctions-tasks';
import { Construct } from 'constructs';
import { BackupNotStarted } from '../functions/backups/errors.ts';
import { STATE_MACHINES } from '../functions/contracts/names.ts';
import { beyond, phaseOf, type TaskStateProps, taskState } from './task-states.ts';
import { WorkflowStateMachine } from './workflow-state-machine.ts';

export interface TenantExportProps {
  /** The entry `export-data`, which dispatches on `phase`. */
  task: IFunction;
  /** Log group of the state machine; the caller decides retention and removal. */
  logGroup: ILogGroup;
}

/** Lambda's limit. Writing continues in the next call. */
export const EXPORT_TIMEOUT = Duration.minutes(15);

const backupNotStarted: RetryProps = {
  errors: [BackupNotStarted.name],
  interval: Duration.seconds(5),
  backoffRate: 2,
  maxAttempts: 8,
  maxDelay: Duration.minutes(2),
  jitterStrategy: JitterType.FULL,
};

export class TenantExport extends Construct {
  readonly stateMachine: StateMachine;
  readonly #task: IFunction;
  readonly #failed: LambdaInvoke;

  constructor(scope: Construct, id: string, { task, logGroup }: TenantExportProps) {
    super(scope, id);
    this.#task = task;
    this.#failed = this.#recordFailure();

    const result = new Pass(this, 'Result', {
      parameters: { 'exportId.$': '$.export.exportId', 'tenantId.$': '$.export.tenantId' },
    });
    const finish = this.#phase('Finish', 'finish').next(result);
    const write = this.#phase('Write', 'write', { resultPath: '$.step' });
    write.next(this.#whenDone('Written?', write, finish));
    const source = this.#phase('Source', 'source', { resultPath: '$.step', retries: [backupNotStarted] });
    const wait = new Wait(this, 'Wait for backup', { time: WaitTime.duration(Duration.seconds(20)) });
    wait.next(source);
    source.next(this.#whenDone('Backup done?', wait, write));
    const start = new Pass(this, 'Start', {
      parameters: { 'input.$': '$', 'executionArn.$': '$$.Execution.Id' },
    });
    const definition = start.next(this.#phase('Begin', 'begin', { resultPath: '$.export' })).next(source);

    this.stateMachine = new WorkflowStateMachine(this, 'StateMachine', {
      name: STATE_MACHINES.export,
      definition,
      // A backstop: it ends the execution without `Record failure`, and recovery ends the record.
      timeout: Duration.hours(12),
      logGroup,
    });
  }

  #whenDone(name: string, again: IChainable, then: IChainable): Choice {
    return new Choice(this, name).when(Condition.booleanEquals('$.step.done', false), again).otherwise(then);
  }

  #phase(name: string, phase: string, settings: Partial<TaskStateProps> = {}): LambdaInvoke {
    const state = this.#state(name, { payload: phaseOf(phase), ...settings });
    state.addCatch(this.#failed, { errors: [Errors.ALL], resultPath: '$.failure' });
    return state;
  }

  #state(name: string, settings: Partial<TaskStateProps>): LambdaInvoke {
    return taskState(this, name, this.#task, { timeout: beyond(EXPORT_TIMEOUT), ...settings });
  }

  /** Records the failure, deletes the export's objects, and ends the execution with a reason that may be shown. */
  #recordFailure(): LambdaInvoke {
    const record = this.#state('Record failure', { payload: phaseOf('fail'), resultPath: '$.outcome' });
    record.addCatch(
      new Fail(this, 'Failed without record', {
        errorPath: '$.failure.Error',
        cause:
          'The export failed, and its failure could not be recorded in the registry. Recovery will record it.',
      }),
      { errors: [Errors.ALL], resultPath: '$.outcome' },
    );
    const failed = new Fail(this, 'Failed', {
      errorPath: '$.failure.Error',
      causePath: '$.outcome.reason',
    });
    const discard = this.#state('Discard', {
      payload: TaskInput.fromObject({
        phase: 'discard',
        state: {
          executionArn: JsonPath.stringAt('$.executionArn'),
          export: JsonPath.objectAt('$.outcome.export'),
        },
      }),
      resultPath: '$.step',
    });
    // If the deletion fails, the daily run deletes the objects later.
    discard.addCatch(failed, { errors: [Errors.ALL], resultPath: '$.step' });
    discard.next(failed);
    record.next(
      new Choice(this, 'Outcome?')
        .when(Condition.stringEquals('$.outcome.outcome', 'failed'), discard)
        // The export succeeded; only the answer of the last phase was lost.
        .when(Condition.stringEquals('$.outcome.outcome', 'succeeded'), new Succeed(this, 'Finished already'))
        .otherwise(failed),
    );
    return record;
  }
}
