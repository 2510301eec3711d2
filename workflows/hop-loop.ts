/**
 * The states that take a tenant from place to place, hop by hop: what `tenant-move` and `tenant-restore` have in common.
 *
 * State: { executionArn, input, move: the result of the first phase and then of `Next hop`, step: the result of the last
 * phase }. A phase that is not done returns a cursor, which it finds in `step` at its next call; a finished one returns
 * none, so each phase begins without.
 *
 * Events: an execution may have 25,000. One call of a phase's loop has 7 and lasts up to 50 seconds inside the
 * function, so 25,000 are enough for two days of copying; a try of a postponed cut-over has 3 and is followed by
 * minutes of pause.
 */
import { Duration } from 'aws-cdk-lib';
import type { IFunction } from 'aws-cdk-lib/aws-lambda';
import {
  Chain,
  Choice,
  Condition,
  Errors,
  Fail,
  type IChainable,
  Pass,
  Succeed,
  type TaskStateBase,
  Wait,
  WaitTime,
} from 'aws-cdk-lib/aws-stepfunctions';
import type { LambdaInvoke } from 'aws-cdk-lib/aws-stepfunctions-tasks';
import type { Construct } from 'constructs';
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

/** A function that a phase belongs to, and how long its longest phase takes. */
export interface PhaseTask {
  readonly task: IFunction;
  readonly timeout: Duration;
}

export interface PhaseSettings extends Partial<TaskStateProps> {
  failed?: IChainable;
  failurePath?: string;
}

export interface HopLoopProps {
  readonly tasks: MoveTasks;
  /** What the workflow does, in the causes of its failures: a move, a restore. */
  readonly what: string;
}

export class HopLoop {
  readonly registry: PhaseTask;
  readonly data: PhaseTask;
  readonly #aws: PhaseTask;
  readonly #scope: Construct;
  readonly #failed: LambdaInvoke;

  constructor(scope: Construct, { tasks, what }: HopLoopProps) {
    this.#scope = scope;
    this.registry = { task: tasks.registry, timeout: MOVE_TIMEOUTS.registry };
    this.#aws = { task: tasks.aws, timeout: MOVE_TIMEOUTS.aws };
    this.data = { task: tasks.data, timeout: MOVE_TIMEOUTS.data };
    this.#failed = this.#rollBack(what);
  }

  /**
   * The states from the opening of the first hop to the end.
   * @param finish follows the last hop.
   * @param fill of the hops of a restore.
   */
  states(finish: IChainable, fill?: IChainable): Chain {
    const nextHop = this.phase('Next hop', this.registry, 'next-hop', { resultPath: '$.move' });
    const hop = phases(
      this.#onlyIf(
        'Needs a database?',
        '$.move.needsDatabase',
        this.untilDone('Launch', this.#aws, 'launch', { pause: Duration.seconds(20) }),
        this.phase('Bootstrap', this.data, 'bootstrap'),
      ),
      this.#onlyIf(
        'Needs a secret?',
        '$.move.needsSecret',
        this.phase('Create credentials', this.#aws, 'credentials'),
      ),
      // Before the proxy is told: it would remember a role that it could not sign in with.
      this.untilDone('Prepare', this.data, 'prepare'),
      // A choice at its end would not be found as the end of a branch.
      ...(fill
        ? [this.#onlyIf('Needs filling?', '$.move.needsFilling', fill, new Pass(this.#scope, 'Filled'))]
        : []),
      this.#onlyIf(
        'Needs the proxy?',
        '$.move.needsSecret',
        this.phase('Register with proxy', this.#aws, 'proxy', { retries: [proxyTaken, postponed] }),
      ),
      this.untilDone('Copy', this.data, 'copy'),
      this.untilDone('Build indexes', this.data, 'index'),
      this.untilDone('Catch up', this.data, 'catch-up', { retries: [notYetReachable, postponed] }),
      this.untilDone('Cut over', this.data, 'cut-over'),
      this.untilDone('Compare', this.data, 'compare'),
      this.phase('Settle', this.data, 'settle'),
    );
    return phases(
      nextHop,
      new Choice(this.#scope, 'All hops done?')
        .when(Condition.booleanEquals('$.move.finished', true), finish)
        .otherwise(hop.next(nextHop)),
    );
  }

  /** Follows a phase that failed, with its error in `$.failure`: rolls back, and fails the execution. */
  get failed(): IChainable {
    return this.#failed;
  }

  /**
   * @param settings `failed`: what follows if the phase fails, instead of the roll back, and `failurePath`: where it finds
   *   the error.
   */
  phase(
    name: string,
    task: PhaseTask,
    phase: string,
    { failed = this.#failed, failurePath = '$.failure', ...settings }: PhaseSettings = {},
  ): TaskStateBase {
    return this.#task(name, task, phase, settings).addCatch(failed, {
      errors: [Errors.ALL],
      resultPath: failurePath,
    });
  }

  /** Calls the phase with its own answer until it says that it is done. */
  untilDone(
    name: string,
    task: PhaseTask,
    phase: string,
    { pause, resultPath = '$.step', ...settings }: PhaseSettings & { pause?: Duration } = {},
  ): Chain {
    const state = this.phase(name, task, phase, { ...settings, resultPath });
    const again = pause
      ? new Wait(this.#scope, `Wait for ${name.toLowerCase()}`, { time: WaitTime.duration(pause) }).next(
          state,
        )
      : state;
    const done = new Choice(this.#scope, `${name}: done?`).when(
      Condition.booleanEquals(`${resultPath}.done`, false),
      again,
    );
    state.next(done);
    return Chain.custom(state, done.afterwards({ includeOtherwise: true }).endStates, done);
  }

  #task(
    name: string,
    { task, timeout }: PhaseTask,
    phase: string,
    settings: Partial<TaskStateProps>,
  ): LambdaInvoke {
    return taskState(this.#scope, name, task, {
      timeout: beyond(timeout),
      payload: phaseOf(phase),
      retries: [postponed],
      ...settings,
    });
  }

  /** These phases if the field is true, and in any case what follows. */
  #onlyIf(name: string, field: string, first: IChainable, ...rest: IChainable[]): Chain {
    return Chain.start(
      new Choice(this.#scope, name)
        .when(Condition.booleanEquals(field, true), phases(first, ...rest))
        .afterwards({ includeOtherwise: true }),
    );
  }

  /** The execution ends with the name of the step's error, and with a reason that may be shown. */
  #rollBack(what: string): LambdaInvoke {
    const scope = this.#scope;
    const rollBack = this.#task('Roll back', this.data, 'roll-back', {
      lastRetry: insistent,
      resultPath: '$.outcome',
    });
    rollBack.addCatch(
      new Fail(scope, 'Failed without roll back', {
        errorPath: '$.failure.Error',
        cause: `The ${what} failed and could not be rolled back; its recovery will be tried again and again.`,
      }),
      { errors: [Errors.ALL], resultPath: '$.outcome' },
    );
    rollBack.next(
      new Choice(scope, 'Outcome?')
        .when(
          Condition.stringEquals('$.outcome.outcome', 'aborted'),
          new Fail(scope, 'Aborted', { error: MoveAborted.name, causePath: '$.outcome.reason' }),
        )
        // Only the answer of the last step was lost.
        .when(
          Condition.stringEquals('$.outcome.outcome', 'succeeded'),
          new Succeed(scope, 'Finished already'),
        )
        .otherwise(
          new Fail(scope, 'Failed', { errorPath: '$.failure.Error', causePath: '$.outcome.reason' }),
        ),
    );
    return rollBack;
  }
}
