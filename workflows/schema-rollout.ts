/**
 * `schema-rollout`: brings every database and tenant schema of a region to the version of the deployed code.
 *
 * Input: { except?: [id or slug] }. First one target of each isolation model, then all others in waves: cells at once,
 * and in each a few targets at once. A target that fails stops its wave. The registry says what is done, so an execution
 * that was stopped, or has failed, is resumed by starting another.
 *
 * State: { executionArn, input, rollout: { rolloutId, groups } }.
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
  JitterType,
  JsonPath,
  LogLevel,
  Map as MapState,
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
import { STATE_MACHINES } from '../functions/contracts/names.ts';
import { RolloutInProgress } from '../functions/rollouts/errors.ts';
import { phases, taskState } from './task-states.ts';

export interface SchemaRolloutProps {
  /** The entry `schema-rollout`, which dispatches on `phase`. */
  task: IFunction;
  /** Of the task: one change of a large table may take ten minutes. */
  timeout: Duration;
  /** Cells whose waves run at once. */
  groupsAtOnce: number;
  /** Where the state machine logs; the caller decides retention and removal. */
  logGroup: ILogGroup;
}

/** A deployment may follow another one whose rollout goes on for hours. */
const anotherOne: RetryProps = {
  errors: [RolloutInProgress.name],
  interval: Duration.seconds(15),
  backoffRate: 1.2,
  maxAttempts: 300,
  maxDelay: Duration.minutes(2),
  jitterStrategy: JitterType.FULL,
};

export class SchemaRollout extends Construct {
  readonly stateMachine: StateMachine;
  readonly #props: SchemaRolloutProps;

  constructor(scope: Construct, id: string, props: SchemaRolloutProps) {
    super(scope, id);
    this.#props = props;
    const failed = this.#recordFailure();
    const rolloutId = JsonPath.stringAt('$.rollout.rolloutId');
    const step = (
      name: string,
      payload: Record<string, unknown>,
      resultPath?: string,
      retries?: RetryProps[],
    ) =>
      this.#task(name, payload, resultPath, retries).addCatch(failed, {
        errors: [Errors.ALL],
        resultPath: '$.failure',
      });

    const finish = phases(step('Finish', { phase: 'finish', rolloutId }), new Succeed(this, 'Up to date'));
    const waves = new MapState(this, 'Waves', {
      itemsPath: '$.rollout.groups',
      itemSelector: { group: JsonPath.stringAt('$$.Map.Item.Value'), rolloutId },
      maxConcurrency: props.groupsAtOnce,
      resultPath: JsonPath.DISCARD,
    });
    waves.itemProcessor(this.#wave());
    waves.addCatch(failed, { errors: [Errors.ALL], resultPath: '$.failure' });
    const canary = step('Canary', { phase: 'canary', rolloutId }, '$.canary');
    const definition = phases(
      new Pass(this, 'Start', { parameters: { 'input.$': '$', 'executionArn.$': '$$.Execution.Id' } }),
      step(
        'Begin',
        {
          phase: 'begin',
          executionArn: JsonPath.stringAt('$.executionArn'),
          input: JsonPath.objectAt('$.input'),
        },
        '$.rollout',
        [anotherOne],
      ),
      canary,
      new Choice(this, 'Canary: done?')
        .when(Condition.stringEquals('$.canary.next', 'again'), canary)
        .when(Condition.stringEquals('$.canary.next', 'failed'), finish)
        .otherwise(waves.next(finish)),
    );

    this.stateMachine = new StateMachine(this, 'StateMachine', {
      stateMachineName: STATE_MACHINES.rollout,
      definitionBody: DefinitionBody.fromChainable(definition),
      queryLanguage: QueryLanguage.JSON_PATH,
      // A backstop: it ends the execution without `Record failure`, which is left to the event of its end.
      timeout: Duration.days(1),
      tracingEnabled: true,
      logs: { destination: props.logGroup, level: LogLevel.ALL, includeExecutionData: false },
    });
  }

  /** One group: a call lasts about a minute; what a move keeps is tried again after a pause. */
  #wave(): LambdaInvoke {
    const wave = this.#task(
      'Wave',
      {
        phase: 'wave',
        rolloutId: JsonPath.stringAt('$.rolloutId'),
        group: JsonPath.stringAt('$.group'),
      },
      '$.wave',
    );
    wave.next(
      new Choice(this, 'Wave: done?')
        .when(Condition.stringEquals('$.wave.next', 'again'), wave)
        .when(
          Condition.stringEquals('$.wave.next', 'wait'),
          new Wait(this, 'Wait for moves', { time: WaitTime.duration(Duration.seconds(30)) }).next(wave),
        )
        .otherwise(new Pass(this, 'Wave over')),
    );
    return wave;
  }

  /** The execution ends with the name of the step's error; the rollout carries the reason. */
  #recordFailure(): LambdaInvoke {
    const record = this.#task(
      'Record failure',
      { phase: 'fail', executionArn: JsonPath.stringAt('$.executionArn') },
      '$.outcome',
    );
    const end = new Fail(this, 'Failed', {
      errorPath: '$.failure.Error',
      cause: 'The schema rollout failed. It lists the targets that did, each with its reason.',
    });
    record.addCatch(end, { errors: [Errors.ALL], resultPath: '$.outcome' });
    record.next(end);
    return record;
  }

  #task(
    name: string,
    payload: Record<string, unknown>,
    resultPath?: string,
    retries: readonly RetryProps[] = [],
  ): LambdaInvoke {
    const { task, timeout } = this.#props;
    return taskState(this, name, task, {
      timeout: Duration.seconds(timeout.toSeconds() + 10),
      payload: TaskInput.fromObject(payload),
      retries,
      ...(resultPath ? { resultPath } : {}),
    });
  }
}
