/**
 * `tenant-move`: takes a tenant to another isolation model, cell or region, hop by hop, while it goes on working.
 *
 * Every phase is one of a function in functions/tasks/ and may run any number of times: the registry and the databases
 * say what is done. An execution that was stopped does not go on; phase `recover` of `move-data` settles what it had committed and rolls
 * the rest back, and the same input moves the tenant from where it is then.
 *
 * State: { executionArn, input, move: what `Begin` and then `Next hop` answered, step: what the last phase answered }.
 * A phase that is not done answers a cursor, which it finds in `step` when it is called again; one that is done answers
 * none, so each phase begins without.
 *
 * Events: an execution may have 25,000. A turn of a phase's loop has 7 and lasts up to 50 seconds inside the function,
 * so 25,000 are two days of copying; a try of a postponed cut-over has 3 and is followed by minutes of rest.
 */

import { Duration } from 'aws-cdk-lib';
import type { IFunction } from 'aws-cdk-lib/aws-lambda';
import type { ILogGroup } from 'aws-cdk-lib/aws-logs';
import {
  Chain,
  Choice,
  Condition,
  DefinitionBody,
  Errors,
  Fail,
  type IChainable,
  LogLevel,
  Pass,
  QueryLanguage,
  StateMachine,
  Succeed,
  type TaskStateBase,
  Wait,
  WaitTime,
} from 'aws-cdk-lib/aws-stepfunctions';
import type { LambdaInvoke } from 'aws-cdk-lib/aws-stepfunctions-tasks';
import { Construct } from 'constructs';
import { STATE_MACHINES } from '../functions/contracts/names.ts';
import { MoveAborted } from '../functions/moves/errors.ts';
import {
  beyond,
  insistent,
  MOVE_TIMEOUTS,
  notYetReachable,
  phaseOf,
  phases,
  postponed,
  proxyTaken,
  type TaskStateProps,
  taskState,
} from './task-states.ts';

export interface MoveTasks {
  /** The entry `move-registry`: phases that need the registries only. */
  registry: IFunction;
  /** The entry `move-aws`: phases that work with AWS's APIs and reach no database. */
  aws: IFunction;
  /** The entry `move-data`: phases that sign in to databases. */
  data: IFunction;
}

export interface TenantMoveProps {
  /** The task functions, one for each privilege, which dispatch on `phase`. */
  tasks: MoveTasks;
  /** Where the state machine logs; the caller decides retention and removal. */
  logGroup: ILogGroup;
}

export class TenantMove extends Construct {
  readonly stateMachine: StateMachine;
  readonly #tasks: MoveTasks;
  readonly #failed: LambdaInvoke;

  constructor(scope: Construct, id: string, { tasks, logGroup }: TenantMoveProps) {
    super(scope, id);
    this.#tasks = tasks;
    this.#failed = this.#rollBack();

    const nextHop = this.#phase('Next hop', 'registry', 'next-hop', { resultPath: '$.move' });
    const hop = phases(
      this.#onlyIf(
        'Needs a database?',
        '$.move.needsDatabase',
        this.#untilDone('Launch', 'aws', 'launch', { pause: Duration.seconds(20) }),
        this.#phase('Bootstrap', 'data', 'bootstrap'),
      ),
      this.#onlyIf(
        'Needs a secret?',
        '$.move.needsSecret',
        this.#phase('Create credentials', 'aws', 'credentials'),
      ),
      // Before the proxy is told: it would remember a role that it could not sign in with.
      this.#untilDone('Prepare', 'data', 'prepare'),
      this.#onlyIf(
        'Needs the proxy?',
        '$.move.needsSecret',
        this.#phase('Register with proxy', 'aws', 'proxy', { retries: [proxyTaken, postponed] }),
      ),
      this.#untilDone('Copy', 'data', 'copy'),
      this.#untilDone('Build indexes', 'data', 'index'),
      this.#untilDone('Catch up', 'data', 'catch-up', { retries: [notYetReachable, postponed] }),
      this.#untilDone('Cut over', 'data', 'cut-over'),
      this.#untilDone('Compare', 'data', 'compare'),
      this.#phase('Settle', 'data', 'settle'),
    );
    const definition = phases(
      new Pass(this, 'Start', { parameters: { 'input.$': '$', 'executionArn.$': '$$.Execution.Id' } }),
      this.#phase('Begin', 'data', 'begin', { resultPath: '$.move' }),
      nextHop,
      new Choice(this, 'All hops done?')
        .when(
          Condition.booleanEquals('$.move.finished', true),
          this.#phase('Finish', 'registry', 'finish', { resultPath: '$' }),
        )
        .otherwise(hop.next(nextHop)),
    );

    this.stateMachine = new StateMachine(this, 'StateMachine', {
      stateMachineName: STATE_MACHINES.move,
      definitionBody: DefinitionBody.fromChainable(definition),
      queryLanguage: QueryLanguage.JSON_PATH,
      // A backstop, longer than the events last: it ends the execution without `Roll back`, which is left to recovery.
      timeout: Duration.days(3),
      tracingEnabled: true,
      // The execution's data says who is moved and where to, so only its course is logged.
      logs: { destination: logGroup, level: LogLevel.ALL, includeExecutionData: false },
    });
  }

  #phase(
    name: string,
    task: keyof MoveTasks,
    phase: string,
    settings: Partial<TaskStateProps> = {},
  ): TaskStateBase {
    return this.#task(name, task, phase, settings).addCatch(this.#failed, {
      errors: [Errors.ALL],
      resultPath: '$.failure',
    });
  }

  #task(name: string, task: keyof MoveTasks, phase: string, settings: Partial<TaskStateProps>): LambdaInvoke {
    return taskState(this, name, this.#tasks[task], {
      timeout: beyond(MOVE_TIMEOUTS[task]),
      payload: phaseOf(phase),
      retries: [postponed],
      ...settings,
    });
  }

  /** Calls the phase with its own answer until it says that it is done. */
  #untilDone(
    name: string,
    task: keyof MoveTasks,
    phase: string,
    { pause, ...settings }: Partial<TaskStateProps> & { pause?: Duration } = {},
  ): Chain {
    const state = this.#phase(name, task, phase, { ...settings, resultPath: '$.step' });
    const again = pause
      ? new Wait(this, `Wait for ${name.toLowerCase()}`, { time: WaitTime.duration(pause) }).next(state)
      : state;
    const done = new Choice(this, `${name}: done?`).when(
      Condition.booleanEquals('$.step.done', false),
      again,
    );
    state.next(done);
    return Chain.custom(state, done.afterwards({ includeOtherwise: true }).endStates, done);
  }

  /** These phases if the field is true, and in any case what follows. */
  #onlyIf(name: string, field: string, first: IChainable, ...rest: IChainable[]): Chain {
    return Chain.start(
      new Choice(this, name)
        .when(Condition.booleanEquals(field, true), phases(first, ...rest))
        .afterwards({ includeOtherwise: true }),
    );
  }

  /** The execution ends with the name of the step's error, and with a reason that may be shown. */
  #rollBack(): LambdaInvoke {
    const rollBack = this.#task('Roll back', 'data', 'roll-back', {
      lastRetry: insistent,
      resultPath: '$.outcome',
    });
    rollBack.addCatch(
      new Fail(this, 'Failed without roll back', {
        errorPath: '$.failure.Error',
        cause: 'The move failed and could not be rolled back; its recovery will be tried again and again.',
      }),
      { errors: [Errors.ALL], resultPath: '$.outcome' },
    );
    rollBack.next(
      new Choice(this, 'Outcome?')
        .when(
          Condition.stringEquals('$.outcome.outcome', 'aborted'),
          new Fail(this, 'Aborted', { error: MoveAborted.name, causePath: '$.outcome.reason' }),
        )
        // Only the answer of the last step was lost.
        .when(Condition.stringEquals('$.outcome.outcome', 'succeeded'), new Succeed(this, 'Finished already'))
        .otherwise(new Fail(this, 'Failed', { errorPath: '$.failure.Error', causePath: '$.outcome.reason' })),
    );
    return rollBack;
  }
}
