/**
 * `credential-rotation`: replaces the password of a database role while requests use it.
 *
 * Input: { rotationId } from the API and the schedule, or one of { tenantId: id or slug, role?: login|owner },
 * { cellId, role?: starter|owner } and { registry: true }, each with { now: true } for a leaked password.
 *
 * Three routes. The role of requests (`stand-in`): a second login role with the same rights serves in between, so that
 * requests always have a login that their proxy accepts. An owner (`owner`): it signs in anew for each piece of work and tries
 * both passwords. The registry's roles (`registry`): as the first, in one secret for each role.
 *
 * `overlap` is how long both logins work after a switch: longer than anything keeps a secret, or the place of a tenant. With
 * `now` the first overlap is left out, and the old password's sessions are ended.
 *
 * Every phase may run any number of times. A rotation that fails before requests depend on it is taken back; one that fails
 * later stays `running`, and the schedule starts the next attempt, from the first phase.
 *
 * State: { executionArn, input, rotation: { rotationId, route, isImmediate } }. Never a password: those are in secrets only.
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
  JsonPath,
  LogLevel,
  Pass,
  QueryLanguage,
  type RetryProps,
  StateMachine,
  Wait,
  WaitTime,
} from 'aws-cdk-lib/aws-stepfunctions';
import type { LambdaInvoke } from 'aws-cdk-lib/aws-stepfunctions-tasks';
import { Construct } from 'constructs';
import { STATE_MACHINES } from '../functions/contracts/names.ts';
import { RoleInUse } from '../functions/credentials/errors.ts';
import { TenantUnreachable } from '../functions/places/errors.ts';
import { beyond, notYetReachable, phaseOf, proxyTaken, taskState } from './task-states.ts';

export interface CredentialTasks {
  readonly registry: IFunction;
  readonly aws: IFunction;
  readonly data: IFunction;
}

export interface CredentialRotationProps {
  tasks: CredentialTasks;
  /** How long both logins work after a switch. */
  overlap: Duration;
  logGroup: ILogGroup;
}

export const CREDENTIAL_TIMEOUTS: Readonly<Record<keyof CredentialTasks, Duration>> = {
  registry: Duration.minutes(2),
  aws: Duration.minutes(2),
  data: Duration.minutes(2),
};

/** A proxy keeps the password that a secret had: for how long is not documented. An hour. */
const proxyLearns: RetryProps = {
  errors: [TenantUnreachable.name],
  interval: Duration.seconds(3),
  backoffRate: 1.5,
  maxAttempts: 65,
  maxDelay: Duration.minutes(1),
};

/** Requests leave the stand-in. Ten minutes. */
const left: RetryProps = {
  errors: [RoleInUse.name],
  interval: Duration.seconds(10),
  backoffRate: 1.2,
  maxAttempts: 20,
  maxDelay: Duration.seconds(60),
};

export class CredentialRotation extends Construct {
  readonly stateMachine: StateMachine;
  readonly #tasks: CredentialTasks;
  readonly #failed: IChainable;

  constructor(scope: Construct, id: string, { tasks, overlap, logGroup }: CredentialRotationProps) {
    super(scope, id);
    this.#tasks = tasks;
    this.#failed = this.#afterFailure();
    const succeeded = this.#phase('End', 'registry', 'end').next(
      new Pass(this, 'Result', { parameters: { 'rotationId.$': '$.rotation.rotationId' } }),
    );
    const wait = (name: string): Wait => new Wait(this, name, { time: WaitTime.duration(overlap) });
    /** Waits, unless the old password must end at once. */
    const waitUnlessNow = (name: string, then: IChainable): Choice =>
      new Choice(this, `${name}?`)
        .when(Condition.booleanEquals('$.rotation.isImmediate', true), then)
        .otherwise(wait(name).next(then));

    // The role of requests.
    const discard = this.#phase('Discard stand-in', 'aws', 'discard', [proxyTaken]);
    discard.next(succeeded);
    const dropAnyway = this.#phase('Drop stand-in anyway', 'data', 'dropAnyway').next(discard);
    const drop = this.#phase('Drop stand-in', 'data', 'drop', [left], (state) =>
      state.addCatch(dropAnyway, { errors: [RoleInUse.name], resultPath: '$.step' }),
    );
    const renewed = this.#phase('Renew', 'data', 'renew')
      .next(this.#phase('Verify', 'data', 'verify', [proxyLearns]))
      .next(this.#phase('Switch back', 'registry', 'switchBack'))
      .next(wait('Overlap after the switch back'))
      .next(drop)
      .next(discard);
    const renewSecret = this.#phase('Renew secret', 'data', 'renewSecret').next(renewed);
    const standIn = this.#phase('Prepare stand-in', 'aws', 'prepare')
      .next(this.#phase('Create stand-in', 'data', 'create'))
      .next(this.#phase('Register stand-in', 'aws', 'register', [proxyTaken]))
      .next(this.#phase('Verify stand-in', 'data', 'verifyOther', [notYetReachable]))
      .next(this.#phase('Switch', 'registry', 'switchOver'))
      .next(waitUnlessNow('Overlap after the switch', renewSecret));

    const owner = this.#phase('Renew secret of owner', 'data', 'renewSecret')
      .next(this.#phase('Renew owner', 'data', 'renew'))
      .next(this.#phase('Verify owner', 'data', 'verify', [notYetReachable]))
      .next(succeeded);

    const renewRoles = this.#phase('Renew registry roles', 'registry', 'renewRoles')
      .next(wait('Overlap after the renewal'))
      .next(this.#phase('End stand-ins of registry', 'registry', 'endStandIns'))
      .next(succeeded);
    const registry = this.#phase('Lend registry roles', 'registry', 'lendRoles').next(
      waitUnlessNow('Overlap after the loan', renewRoles),
    );

    const begin = taskState(this, 'Begin', tasks.registry, {
      timeout: beyond(CREDENTIAL_TIMEOUTS.registry),
      payload: phaseOf('begin'),
      resultPath: '$.rotation',
    });
    begin.addCatch(
      new Fail(this, 'Not begun', { errorPath: '$.failure.Error', causePath: '$.failure.Cause' }),
      { errors: [Errors.ALL], resultPath: '$.failure' },
    );
    begin.next(
      new Choice(this, 'Route?')
        .when(Condition.stringEquals('$.rotation.route', 'owner'), owner)
        .when(Condition.stringEquals('$.rotation.route', 'registry'), registry)
        .otherwise(standIn),
    );
    const start = new Pass(this, 'Start', {
      parameters: { 'input.$': '$', 'executionArn.$': '$$.Execution.Id' },
    });
    this.stateMachine = new StateMachine(this, 'StateMachine', {
      stateMachineName: STATE_MACHINES.credentials,
      definitionBody: DefinitionBody.fromChainable(start.next(begin)),
      queryLanguage: QueryLanguage.JSON_PATH,
      timeout: Duration.hours(12),
      tracingEnabled: true,
      logs: { destination: logGroup, level: LogLevel.ALL, includeExecutionData: false },
    });
  }

  #phase(
    name: string,
    task: keyof CredentialTasks,
    phase: string,
    retries: readonly RetryProps[] = [],
    before: (state: LambdaInvoke) => void = () => {},
  ): LambdaInvoke {
    const state = taskState(this, name, this.#tasks[task], {
      timeout: beyond(CREDENTIAL_TIMEOUTS[task]),
      payload: phaseOf(phase),
      retries,
    });
    before(state);
    state.addCatch(this.#failed, { errors: [Errors.ALL], resultPath: '$.failure' });
    return state;
  }

  /** Takes a rotation back that no request depends on; leaves any other to the schedule. */
  #afterFailure(): IChainable {
    const step = (
      name: string,
      task: keyof CredentialTasks,
      phase: string,
      resultPath: string,
    ): LambdaInvoke => {
      const state = taskState(this, name, this.#tasks[task], {
        timeout: beyond(CREDENTIAL_TIMEOUTS[task]),
        payload: phaseOf(phase),
        retries: [proxyTaken],
        resultPath,
      });
      state.addCatch(stays, { errors: [Errors.ALL], resultPath: JsonPath.DISCARD });
      return state;
    };
    const stays = new Fail(this, 'To be continued', {
      errorPath: '$.failure.Error',
      cause:
        'The rotation stays running, and both logins work as far as it came. The schedule credential-rotation starts its next attempt.',
    });
    const failed = new Fail(this, 'Failed', { errorPath: '$.failure.Error', causePath: '$.outcome.reason' });
    const takeBack = step('Drop unused stand-in', 'data', 'takeBack', '$.step')
      .next(step('Discard unused stand-in', 'aws', 'takeBack', '$.step'))
      .next(step('Record failure', 'registry', 'fail', '$.outcome'))
      .next(failed);
    return step('Judge failure', 'registry', 'judge', '$.judged').next(
      new Choice(this, 'Take back?')
        .when(Condition.booleanEquals('$.judged.takesBack', true), takeBack)
        .otherwise(stays),
    );
  }
}
