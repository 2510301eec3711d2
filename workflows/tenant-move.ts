/**
 * `tenant-move`: takes a tenant to another isolation model, cell or region, hop by hop, while it goes on working.
 *
 * Every phase is one function in functions/tasks/ and may run any number of times: the registry and the databases say
 * what is done. An execution that was stopped does not go on; `move-recover` settles what it had committed and rolls
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
import { MoveAborted } from '../functions/move/errors.ts';
import { beyond, MOVE_TIMEOUTS } from './move-timeouts.ts';
import { insistent, notYetReachable, postponed, proxyTaken } from './retry-policies.ts';
import { phases, type TaskStateProps, taskState } from './task-state.ts';

export interface TenantMoveProps {
  /** The task functions; key `x` is the entry `move-x` in kebab-case. */
  tasks: {
    begin: IFunction;
    nextHop: IFunction;
    launch: IFunction;
    bootstrap: IFunction;
    credentials: IFunction;
    prepare: IFunction;
    proxy: IFunction;
    copy: IFunction;
    index: IFunction;
    catchUp: IFunction;
    cutOver: IFunction;
    compare: IFunction;
    settle: IFunction;
    finish: IFunction;
    rollBack: IFunction;
  };
  /** Where the state machine logs; the caller decides retention and removal. */
  logGroup: ILogGroup;
}

const within = (timeout: Duration): TaskStateProps => ({ timeout: beyond(timeout), retries: [postponed] });
const short = within(MOVE_TIMEOUTS.short);
const medium = within(MOVE_TIMEOUTS.medium);
const long = within(MOVE_TIMEOUTS.long);
const longest = within(MOVE_TIMEOUTS.longest);

export class TenantMove extends Construct {
  readonly stateMachine: StateMachine;
  readonly #failed: LambdaInvoke;

  constructor(scope: Construct, id: string, { tasks, logGroup }: TenantMoveProps) {
    super(scope, id);
    this.#failed = this.#rollBack(tasks.rollBack);

    const nextHop = this.#step('Next hop', tasks.nextHop, { ...short, resultPath: '$.move' });
    const hop = phases(
      this.#onlyIf(
        'Needs a database?',
        '$.move.needsDatabase',
        this.#untilDone('Launch', tasks.launch, medium, Duration.seconds(20)),
        this.#step('Bootstrap', tasks.bootstrap, medium),
      ),
      this.#onlyIf(
        'Needs a secret?',
        '$.move.needsSecret',
        this.#step('Create credentials', tasks.credentials, short),
      ),
      // Before the proxy is told: it would remember a role that it could not sign in with.
      this.#untilDone('Prepare', tasks.prepare, longest),
      this.#onlyIf(
        'Needs the proxy?',
        '$.move.needsSecret',
        this.#step('Register with proxy', tasks.proxy, { ...medium, retries: [proxyTaken, postponed] }),
      ),
      this.#untilDone('Copy', tasks.copy, longest),
      this.#untilDone('Build indexes', tasks.index, longest),
      this.#untilDone('Catch up', tasks.catchUp, { ...longest, retries: [notYetReachable, postponed] }),
      this.#untilDone('Cut over', tasks.cutOver, long),
      this.#untilDone('Compare', tasks.compare, long),
      this.#step('Settle', tasks.settle, medium),
    );
    const definition = phases(
      new Pass(this, 'Start', { parameters: { 'input.$': '$', 'executionArn.$': '$$.Execution.Id' } }),
      this.#step('Begin', tasks.begin, { ...longest, resultPath: '$.move' }),
      nextHop,
      new Choice(this, 'All hops done?')
        .when(
          Condition.booleanEquals('$.move.finished', true),
          this.#step('Finish', tasks.finish, { ...short, resultPath: '$' }),
        )
        .otherwise(hop.next(nextHop)),
    );

    this.stateMachine = new StateMachine(this, 'StateMachine', {
      stateMachineName: 'tenant-move',
      definitionBody: DefinitionBody.fromChainable(definition),
      queryLanguage: QueryLanguage.JSON_PATH,
      // A backstop, longer than the events last: it ends the execution without `Roll back`, which is left to recovery.
      timeout: Duration.days(3),
      tracingEnabled: true,
      // The execution's data says who is moved and where to, so only its course is logged.
      logs: { destination: logGroup, level: LogLevel.ALL, includeExecutionData: false },
    });
  }

  #step(name: string, task: IFunction, settings: TaskStateProps): TaskStateBase {
    return taskState(this, name, task, settings).addCatch(this.#failed, {
      errors: [Errors.ALL],
      resultPath: '$.failure',
    });
  }

  /** Calls the phase with its own answer until it says that it is done. */
  #untilDone(name: string, task: IFunction, settings: TaskStateProps, pause?: Duration): Chain {
    const phase = this.#step(name, task, { ...settings, resultPath: '$.step' });
    const again = pause
      ? new Wait(this, `Wait for ${name.toLowerCase()}`, { time: WaitTime.duration(pause) }).next(phase)
      : phase;
    const done = new Choice(this, `${name}: done?`).when(
      Condition.booleanEquals('$.step.done', false),
      again,
    );
    phase.next(done);
    return Chain.custom(phase, done.afterwards({ includeOtherwise: true }).endStates, done);
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
  #rollBack(task: IFunction): LambdaInvoke {
    const rollBack = taskState(this, 'Roll back', task, {
      ...longest,
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
