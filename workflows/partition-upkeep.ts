/**
 * `partition-upkeep`: once a day, in every data database of the region, makes the month partitions of the shared tables
 * for the months to come, empties their default partitions, and removes rows beyond their retention. Input: none.
 *
 * State: { list: { databases: [{ key }] } }, then { results: what became of each database, report: the sums }.
 * A database's part is called until it is done, and finds in `step` what it answered last. What fails there is caught
 * there: the other databases get their upkeep, and the execution fails in the end, which raises an alarm.
 *
 * Events: an execution may have 25,000. A call has 8 and works for five minutes unless it is done earlier, so thousands
 * of databases and days of deletions fit in.
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
  Map as MapState,
  Pass,
  QueryLanguage,
  type RetryProps,
  StateMachine,
  Succeed,
  TaskInput,
} from 'aws-cdk-lib/aws-stepfunctions';
import { Construct } from 'constructs';
import { STATE_MACHINES } from '../functions/contracts/names.ts';
import { UpkeepIncomplete, UpkeepRunning } from '../functions/upkeep/errors.ts';
import { beyond, phases, taskState } from './task-states.ts';

export interface PartitionUpkeepProps {
  /** The entry `partition-upkeep`. */
  task: IFunction;
  /** Where the state machine logs; the caller decides retention and removal. */
  logGroup: ILogGroup;
}

/** Of the task function; a call begins no new work after five minutes. */
export const UPKEEP_TIMEOUT = Duration.minutes(15);
/** Databases at once. */
const CONCURRENCY = 4;

/** The run before is still at work on the database, or its session has not ended yet. */
const running: RetryProps = {
  errors: [UpkeepRunning.name],
  interval: Duration.seconds(15),
  backoffRate: 2,
  maxAttempts: 8,
  maxDelay: Duration.minutes(5),
};

export class PartitionUpkeep extends Construct {
  readonly stateMachine: StateMachine;

  constructor(scope: Construct, id: string, { task, logGroup }: PartitionUpkeepProps) {
    super(scope, id);
    const timeout = beyond(UPKEEP_TIMEOUT);
    const list = taskState(this, 'List databases', task, {
      timeout,
      payload: TaskInput.fromObject({ phase: 'list' }),
      resultPath: '$.list',
    });

    const upkeep = taskState(this, 'Upkeep', task, {
      timeout,
      retries: [running],
      payload: TaskInput.fromObject({ phase: 'database', state: JsonPath.entirePayload }),
      resultPath: '$.step',
    });
    upkeep.addCatch(
      new Pass(this, 'Left out', { parameters: { 'key.$': '$.key', 'error.$': '$.failure.Error' } }),
      { errors: [Errors.ALL], resultPath: '$.failure' },
    );
    upkeep.next(
      new Choice(this, 'Upkeep: done?')
        .when(Condition.booleanEquals('$.step.done', false), upkeep)
        .otherwise(new Pass(this, 'Done')),
    );
    const databases = new MapState(this, 'Each database', {
      itemsPath: '$.list.databases',
      maxConcurrency: CONCURRENCY,
      resultPath: '$.results',
    }).itemProcessor(upkeep);

    const report = taskState(this, 'Report', task, {
      timeout,
      payload: TaskInput.fromObject({ phase: 'report', results: JsonPath.objectAt('$.results') }),
      resultPath: '$.report',
    });
    const definition = phases(
      list,
      databases,
      report,
      new Choice(this, 'Complete?')
        .when(Condition.booleanEquals('$.report.complete', true), new Succeed(this, 'Succeeded'))
        .otherwise(
          new Fail(this, 'Incomplete', {
            error: UpkeepIncomplete.name,
            causePath: '$.report.cause',
          }),
        ),
    );
    this.stateMachine = new StateMachine(this, 'StateMachine', {
      stateMachineName: STATE_MACHINES.partitionUpkeep,
      definitionBody: DefinitionBody.fromChainable(definition),
      queryLanguage: QueryLanguage.JSON_PATH,
      // Before the next day's execution begins.
      timeout: Duration.hours(20),
      tracingEnabled: true,
      logs: { destination: logGroup, level: LogLevel.ALL, includeExecutionData: false },
    });
  }
}
