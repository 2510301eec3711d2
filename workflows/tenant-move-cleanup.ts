/**
 * `tenant-move-cleanup`: some time after the commit of a hop, drops what the tenant left at its source, and deletes a
 * dedicated database as a whole. Input: { moveId, hopIndex }. Started by the hop's last phase, and by recovery when an
 * execution ended early.
 *
 * The grace period keeps the old rows for operators, and lets requests that entered before the commit end. `Clean up`
 * runs inside the network, at the database; `Delete database` outside of it, with the AWS APIs.
 */

import { Duration } from 'aws-cdk-lib';
import type { IFunction } from 'aws-cdk-lib/aws-lambda';
import type { ILogGroup } from 'aws-cdk-lib/aws-logs';
import {
  Choice,
  Condition,
  Errors,
  Fail,
  Pass,
  type StateMachine,
  Succeed,
  Wait,
  WaitTime,
} from 'aws-cdk-lib/aws-stepfunctions';
import { Construct } from 'constructs';
import { STATE_MACHINES } from '../functions/contracts/names.ts';
import { beyond, MOVE_TIMEOUTS, patient, phaseOf, phases, taskState } from './task-states.ts';
import { WorkflowStateMachine } from './workflow-state-machine.ts';

export interface TenantMoveCleanupProps {
  tasks: {
    /** The entry `move-aws`. */
    aws: IFunction;
    /** The entry `move-data`. */
    data: IFunction;
  };
  /** How long the source is kept at least. */
  grace: Duration;
  /** How long a dedicated database is kept beyond that. */
  keepDedicated: Duration;
  /** For which what a restore has replaced is kept. */
  keepReplaced: Duration;
  /** Log group of the state machine; the caller decides retention and removal. */
  logGroup: ILogGroup;
}

export class TenantMoveCleanup extends Construct {
  readonly stateMachine: StateMachine;

  constructor(scope: Construct, id: string, props: TenantMoveCleanupProps) {
    super(scope, id);
    const { tasks, grace, keepDedicated, keepReplaced, logGroup } = props;
    const cleanUpState = taskState(this, 'Clean up', tasks.data, {
      timeout: beyond(MOVE_TIMEOUTS.data),
      payload: phaseOf('clean-up'),
      // No user waits for it, and an old transaction may delay its start for hours.
      lastRetry: patient,
      resultPath: '$.step',
    });
    cleanUpState.addCatch(
      new Fail(this, 'Not cleaned up', {
        errorPath: '$.failure.Error',
        cause:
          'What the tenant left at its old place is still there. Recovery starts the clean-up again within five minutes.',
      }),
      { errors: [Errors.ALL], resultPath: '$.failure' },
    );
    const deleteState = taskState(this, 'Delete database', tasks.aws, {
      timeout: beyond(MOVE_TIMEOUTS.aws),
      payload: phaseOf('delete-database'),
      lastRetry: patient,
      resultPath: '$.step',
    });
    deleteState.addCatch(
      new Fail(this, 'Database not deleted', {
        errorPath: '$.failure.Error',
        cause:
          'The dedicated database that the tenant left is still there. Recovery starts its deletion again within five minutes.',
      }),
      { errors: [Errors.ALL], resultPath: '$.failure' },
    );
    const isTrue = (field: string) => Condition.booleanEquals(`$.step.${field}`, true);
    const deletion = phases(
      new Wait(this, 'Keep database', { time: WaitTime.timestampPath('$.step.keepUntil') }),
      deleteState,
      new Choice(this, 'Database deleted?')
        .when(isTrue('done'), new Succeed(this, 'Done with database'))
        .otherwise(
          // It also waits for moves to the database, which take hours: 12 events each time.
          new Wait(this, 'Wait for deletion', { time: WaitTime.duration(Duration.minutes(2)) }).next(
            deleteState,
          ),
        ),
    );
    const definition = phases(
      new Pass(this, 'Start', { parameters: { 'move.$': '$', 'executionArn.$': '$$.Execution.Id' } }),
      new Wait(this, 'Grace period', { time: WaitTime.duration(grace) }),
      cleanUpState,
      new Choice(this, 'Clean?')
        .when(Condition.and(isTrue('done'), isTrue('database')), deletion)
        .when(isTrue('done'), new Succeed(this, 'Cleaned up'))
        .otherwise(
          new Wait(this, 'Wait', { time: WaitTime.timestampPath('$.step.keepUntil') }).next(cleanUpState),
        ),
    );
    this.stateMachine = new WorkflowStateMachine(this, 'StateMachine', {
      name: STATE_MACHINES.moveCleanup,
      definition,
      // The 25,000 events of an execution last for two days of calls, each of which has 9 events and takes about a
      // minute.
      timeout: Duration.hours(72 + keepDedicated.toHours() + keepReplaced.toHours()),
      logGroup,
    });
  }
}
