/**
 * `summary-refresh`: refreshes the skills summaries in every data database of the region. Input: `{}`, or
 * `{ "always": true }` to recompute also those whose rows seem unchanged.
 *
 * State: { list: { databases: [{ key, always }] } }, then { results: the result of each database, report: the sums }. The
 * phase of a database is called until it is done, and finds its last result in `step`. Errors of one database are caught:
 * the others are refreshed, and the execution fails at the end, which raises an alarm.
 *
 * Events: an execution may have 25,000. A call has 8 and works for five minutes unless it is done earlier.
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
  StateMachine,
  Succeed,
  TaskInput,
} from 'aws-cdk-lib/aws-stepfunctions';
import { Construct } from 'constructs';
import { STATE_MACHINES } from '../functions/contracts/names.ts';
import { UpkeepIncomplete } from '../functions/upkeep/errors.ts';
import { UPKEEP_TIMEOUT } from './partition-upkeep.ts';
import { beyond, phaseOf, phases, taskState } from './task-states.ts';

export interface SummaryRefreshProps {
  /** The entry `partition-upkeep`, which has the rights that are needed here. */
  task: IFunction;
  /** Log group of the state machine; the caller decides retention and removal. */
  logGroup: ILogGroup;
}

/** Concurrent databases. */
const CONCURRENCY = 4;

export class SummaryRefresh extends Construct {
  readonly stateMachine: StateMachine;

  constructor(scope: Construct, id: string, { task, logGroup }: SummaryRefreshProps) {
    super(scope, id);
    const timeout = beyond(UPKEEP_TIMEOUT);
    const list = taskState(this, 'List databases', task, {
      timeout,
      payload: phaseOf('list-summaries'),
      resultPath: '$.list',
    });

    const refresh = taskState(this, 'Refresh', task, {
      timeout,
      payload: phaseOf('summaries'),
      resultPath: '$.step',
    });
    refresh.addCatch(
      new Pass(this, 'Left out', { parameters: { 'key.$': '$.key', 'error.$': '$.failure.Error' } }),
      { errors: [Errors.ALL], resultPath: '$.failure' },
    );
    refresh.next(
      new Choice(this, 'Refresh: done?')
        .when(Condition.booleanEquals('$.step.done', false), refresh)
        .otherwise(new Pass(this, 'Done')),
    );
    const databases = new MapState(this, 'Each database', {
      itemsPath: '$.list.databases',
      maxConcurrency: CONCURRENCY,
      resultPath: '$.results',
    }).itemProcessor(refresh);

    const report = taskState(this, 'Report', task, {
      timeout,
      payload: TaskInput.fromObject({ phase: 'report-summaries', results: JsonPath.objectAt('$.results') }),
      resultPath: '$.report',
    });
    const definition = phases(
      list,
      databases,
      report,
      new Choice(this, 'Complete?')
        .when(Condition.booleanEquals('$.report.complete', true), new Succeed(this, 'Succeeded'))
        .otherwise(
          new Fail(this, 'Incomplete', { error: UpkeepIncomplete.name, causePath: '$.report.cause' }),
        ),
    );
    this.stateMachine = new StateMachine(this, 'StateMachine', {
      stateMachineName: STATE_MACHINES.summaryRefresh,
      definitionBody: DefinitionBody.fromChainable(definition),
      queryLanguage: QueryLanguage.JSON_PATH,
      // Two executions at once only find each other's targets busy.
      timeout: Duration.hours(2),
      tracingEnabled: true,
      logs: { destination: logGroup, level: LogLevel.ALL, includeExecutionData: false },
    });
  }
}
