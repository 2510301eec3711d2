/**
 * `partition-upkeep`: once a day, in every data database of the region, makes the month partitions of the shared tables
 * for the months to come, empties their default partitions, removes rows beyond their retention, and computes all skills
 * summaries. Input: none. With `{ "work": "summaries" }`, every hour, it only refreshes the summaries that have changed.
 *
 * State: { list: { databases: [{ key, work }] } }, then { results: the result of each database, report: the sums }. The
 * phases of a database are called until they are done, and find their last results in `step` and `summaries`. Errors of
 * one phase and database are caught (their names are in `failure` and `summariesFailure`): the others get their upkeep, and
 * the execution fails at the end, which raises an alarm.
 *
 * Events: an execution may have 25,000. A call has 8 and works for five minutes unless it is done earlier, which is
 * enough for thousands of databases and days of deletions.
 */

import { Duration } from 'aws-cdk-lib';
import type { IFunction } from 'aws-cdk-lib/aws-lambda';
import type { ILogGroup } from 'aws-cdk-lib/aws-logs';
import {
  Choice,
  Condition,
  Errors,
  JsonPath,
  Map as MapState,
  Pass,
  type RetryProps,
  type StateMachine,
  TaskInput,
} from 'aws-cdk-lib/aws-stepfunctions';
import { Construct } from 'constructs';
import { STATE_MACHINES } from '../functions/contracts/names.ts';
import { UpkeepIncomplete, UpkeepRunning } from '../functions/upkeep/errors.ts';
import { beyond, completeOrFail, phaseOf, phases, taskState } from './task-states.ts';
import { WorkflowStateMachine } from './workflow-state-machine.ts';

export interface PartitionUpkeepProps {
  /** The entry `partition-upkeep`. */
  task: IFunction;
  /** Log group of the state machine; the caller decides retention and removal. */
  logGroup: ILogGroup;
}

/** Of the task function; a call begins no new work after five minutes. */
export const UPKEEP_TIMEOUT = Duration.minutes(15);
/** Concurrent databases. */
const CONCURRENCY = 4;

/** The previous run still works on the database, or its session has not ended yet. */
const running: RetryProps = {
  errors: [UpkeepRunning.name],
  interval: Duration.seconds(15),
  backoffRate: 2,
  maxAttempts: 8,
  maxDelay: Duration.minutes(5),
};

/** Keeps the name of a caught error, without its cause. */
const leftOut = (scope: Construct, name: string, path: string): Pass =>
  new Pass(scope, name, { inputPath: `${path}.Error`, resultPath: path });

export class PartitionUpkeep extends Construct {
  readonly stateMachine: StateMachine;

  constructor(scope: Construct, id: string, { task, logGroup }: PartitionUpkeepProps) {
    super(scope, id);
    const timeout = beyond(UPKEEP_TIMEOUT);
    const list = taskState(this, 'List databases', task, {
      timeout,
      payload: phaseOf('list'),
      resultPath: '$.list',
    });

    const summaries = taskState(this, 'Summaries', task, {
      timeout,
      payload: phaseOf('summaries'),
      resultPath: '$.summaries',
    });
    summaries.addCatch(leftOut(this, 'Summaries left out', '$.summariesFailure'), {
      errors: [Errors.ALL],
      resultPath: '$.summariesFailure',
    });
    summaries.next(
      new Choice(this, 'Summaries: done?')
        .when(Condition.booleanEquals('$.summaries.done', false), summaries)
        .otherwise(new Pass(this, 'Done')),
    );

    const upkeep = taskState(this, 'Upkeep', task, {
      timeout,
      retries: [running],
      payload: phaseOf('database'),
      resultPath: '$.step',
    });
    upkeep.addCatch(leftOut(this, 'Upkeep left out', '$.failure').next(summaries), {
      errors: [Errors.ALL],
      resultPath: '$.failure',
    });
    upkeep.next(
      new Choice(this, 'Upkeep: done?')
        .when(Condition.booleanEquals('$.step.done', false), upkeep)
        .otherwise(summaries),
    );
    const databases = new MapState(this, 'Each database', {
      itemsPath: '$.list.databases',
      maxConcurrency: CONCURRENCY,
      resultPath: '$.results',
    }).itemProcessor(
      new Choice(this, 'Summaries only?')
        .when(Condition.stringEquals('$.work', 'summaries'), summaries)
        .otherwise(upkeep),
    );

    const report = taskState(this, 'Report', task, {
      timeout,
      payload: TaskInput.fromObject({ phase: 'report', results: JsonPath.objectAt('$.results') }),
      resultPath: '$.report',
    });
    const definition = phases(list, databases, report, completeOrFail(this, UpkeepIncomplete.name));
    this.stateMachine = new WorkflowStateMachine(this, 'StateMachine', {
      name: STATE_MACHINES.partitionUpkeep,
      definition,
      // Before the next day's execution begins.
      timeout: Duration.hours(20),
      logGroup,
    });
  }
}
