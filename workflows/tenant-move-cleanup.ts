/**
 * `tenant-move-cleanup`: some time after a hop was committed, drops what the tenant left at the place that it moved
 * away from. Input: { moveId, hopIndex }. Started by the hop's last phase, and by nobody else.
 *
 * The grace period keeps the old rows for a person to look at, and lets requests that entered before the commit end.
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
  LogLevel,
  Pass,
  QueryLanguage,
  StateMachine,
  Succeed,
  Wait,
  WaitTime,
} from 'aws-cdk-lib/aws-stepfunctions';
import { Construct } from 'constructs';
import { beyond, MOVE_TIMEOUTS } from './move-timeouts.ts';
import { patient } from './retry-policies.ts';
import { phases, taskState } from './task-state.ts';

export interface TenantMoveCleanupProps {
  /** The entry `move-clean-up`. */
  cleanUp: IFunction;
  /** What the old place is kept for at least. */
  grace: Duration;
  /** Where the state machine logs; the caller decides retention and removal. */
  logGroup: ILogGroup;
}

export class TenantMoveCleanup extends Construct {
  readonly stateMachine: StateMachine;

  constructor(scope: Construct, id: string, { cleanUp, grace, logGroup }: TenantMoveCleanupProps) {
    super(scope, id);
    const cleanUpState = taskState(this, 'Clean up', cleanUp, {
      timeout: beyond(MOVE_TIMEOUTS.longest),
      // Nobody waits for it, and an old transaction may keep it from beginning for hours.
      lastRetry: patient,
      resultPath: '$.step',
    });
    cleanUpState.addCatch(
      new Fail(this, 'Not cleaned up', {
        errorPath: '$.failure.Error',
        cause:
          'What the tenant left at its old place is still there. move-recover starts it again within five minutes.',
      }),
      { errors: [Errors.ALL], resultPath: '$.failure' },
    );
    const definition = phases(
      new Pass(this, 'Start', { parameters: { 'move.$': '$', 'executionArn.$': '$$.Execution.Id' } }),
      new Wait(this, 'Grace period', { time: WaitTime.duration(grace) }),
      cleanUpState,
      new Choice(this, 'Clean?')
        .when(Condition.booleanEquals('$.step.done', true), new Succeed(this, 'Cleaned up'))
        .otherwise(
          new Wait(this, 'Wait', { time: WaitTime.duration(Duration.seconds(30)) }).next(cleanUpState),
        ),
    );
    this.stateMachine = new StateMachine(this, 'StateMachine', {
      stateMachineName: 'tenant-move-cleanup',
      definitionBody: DefinitionBody.fromChainable(definition),
      queryLanguage: QueryLanguage.JSON_PATH,
      // The 25,000 events of an execution last for two days of turns, each of which has 9 and takes a minute or so.
      timeout: Duration.days(3),
      tracingEnabled: true,
      logs: { destination: logGroup, level: LogLevel.ALL, includeExecutionData: false },
    });
  }
}
