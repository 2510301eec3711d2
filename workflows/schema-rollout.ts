/**
 * `schema-rollout`: brings every database and tenant schema of a region to the version of the deployed code.
 *
 * Input: { except?: [id or slug] }. First one target of each isolation model, then all others in waves: cells
 * concurrently, and in each a few targets concurrently. A failed target stops its wave. The registry records what is
 * done: start another execution to resume one that was stopped or has failed.
 *
 * State: { executionArn, input, rollout: { rolloutId, groups } }.
 */

import { Duration } from 'aws-cdk-lib';
import type { IFunction } from 'aws-cdk-lib/aws-lambda';
import type { ILogGroup } from 'aws-cdk-lib/aws-logs';
import {
  Choice,
  Condition,
  Errors,
  Fail,
  JitterType,
  JsonPath,
  Map as MapState,
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
import { STATE_MACHINES } from '../functions/contracts/names.ts';
import { RolloutInProgress } from '../functions/rollouts/errors.ts';
import { phases, taskState } from './task-states.ts';
import { WorkflowStateMachine } from './workflow-state-machine.ts';

export interface SchemaRolloutProps {
  /** The entry `schema-rollout`, which dispatches on `phase`. */
  task: IFunction;
  /** Timeout of the task: one change of a large table may take ten minutes. */
  timeout: Duration;
  /** Cells whose waves run concurrently. */
  groupsAtOnce: number;
  /** Log group of the state machine; the caller decides retention and removal. */
  logGroup: ILogGroup;
}

/** The rollout of an earlier deployment may run for hours. */
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

    this.stateMachine = new WorkflowStateMachine(this, 'StateMachine', {
      name: STATE_MACHINES.rollout,
      definition,
      // A backstop: it ends the execution without `Record failure`; the event of the execution's end records it then.
      timeout: Duration.days(1),
      logGroup: props.logGroup,
    });
  }

  /** One group: a call lasts about a minute; targets that moves keep are tried again after a pause. */
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

  /** The execution ends with the name of the phase's error; the rollout has the reason. */
  #recordFailure(): LambdaInvoke {
    const record = this.#task(
      'Record failure',
      { phase: 'fail', executionArn: JsonPath.stringAt('$.executionArn') },
      '$.outcome',
    );
    const end = new Fail(this, 'Failed', {
      errorPath: '$.failure.Error',
      cause: 'The schema rollout failed. The rollout lists each failed target with its reason.',
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
