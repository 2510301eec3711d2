/**
 * `tenant-export`: puts one tenant's data into an archive for the customer: CSV, JSON Schema, and SQL that `psql` loads.
 *
 * Input: { tenantId: id or slug } or { slug }, and { backupId } for the export of an earlier backup. Started by the API
 * (which adds the record that it has made) and by operators. Begin records the export, source waits for a backup that is
 * not older than the request, write turns the backup's parts into text, and finish puts the archive together. Every phase
 * may run any number of times: the registry says what is done. An execution that was stopped does not go on: its record
 * becomes aborted, its objects are deleted.
 *
 * State: { executionArn, input, export: { exportId, tenantId }, step: what the last phase answered }.
 *
 * Events: waiting takes 9 for 20 seconds, so the 25,000 of an execution last for 15 hours.
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
  type IChainable,
  JitterType,
  JsonPath,
  LogLevel,
  Pass,
  QueryLanguage,
  type RetryProps,
  StateMachine,
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

export interface TenantExportProps {
  /** The entry `export-data`, which dispatches on `phase`. */
  task: IFunction;
  /** Where the state machine logs; the caller decides retention and removal. */
  logGroup: ILogGroup;
}

/** Lambda's limit. Writing goes on in the next call. */
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
    source.next(this.#whenDone('Backup there?', wait, write));
    const start = new Pass(this, 'Start', {
      parameters: { 'input.$': '$', 'executionArn.$': '$$.Execution.Id' },
    });
    const definition = start.next(this.#phase('Begin', 'begin', { resultPath: '$.export' })).next(source);

    this.stateMachine = new StateMachine(this, 'StateMachine', {
      stateMachineName: STATE_MACHINES.export,
      definitionBody: DefinitionBody.fromChainable(definition),
      queryLanguage: QueryLanguage.JSON_PATH,
      // A backstop: it ends the execution without `Record failure`, which is left to recovery.
      timeout: Duration.hours(12),
      tracingEnabled: true,
      // The execution's data says whose export it is, so only its course is logged.
      logs: { destination: logGroup, level: LogLevel.ALL, includeExecutionData: false },
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

  /** Records the failure, deletes what was written, and ends the execution with a reason that may be shown. */
  #recordFailure(): LambdaInvoke {
    const record = this.#state('Record failure', { payload: phaseOf('fail'), resultPath: '$.outcome' });
    record.addCatch(
      new Fail(this, 'Failed without record', {
        errorPath: '$.failure.Error',
        cause: 'The export failed, and the registry could not be told. Its recovery will be tried again.',
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
    // What cannot be deleted now is deleted by the daily run.
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
