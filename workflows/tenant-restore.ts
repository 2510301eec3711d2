/**
 * `tenant-restore`: puts a tenant's rows back as a backup has them, or as they were before an earlier restore, while the
 * tenant goes on working until the swap.
 *
 * Input: { tenantId: id or slug, backupId } or { slug, backupId }; the API adds the record that it has made. A restore is a
 * move to a place that phase `fill` fills: all other phases are those of `tenant-move`, and what is said there of stopped
 * executions holds here. Two phases are its own besides: `plan`, which waits for the new tenant of a clone, and `discards`,
 * which tells which writes the swap has set aside.
 */

import { Duration } from 'aws-cdk-lib';
import type { IFunction } from 'aws-cdk-lib/aws-lambda';
import type { ILogGroup } from 'aws-cdk-lib/aws-logs';
import { DefinitionBody, LogLevel, Pass, QueryLanguage, StateMachine } from 'aws-cdk-lib/aws-stepfunctions';
import { Construct } from 'constructs';
import { STATE_MACHINES } from '../functions/contracts/names.ts';
import { HopLoop, type MoveTasks, type PhaseTask } from './hop-loop.ts';
import { phases } from './task-states.ts';

/** Lambda's limit. A fill goes on in the next call. */
export const RESTORE_TIMEOUT = Duration.minutes(15);

export interface TenantRestoreProps {
  /** Those of `tenant-move`. */
  tasks: MoveTasks;
  /** The entry `restore-data`: phases that read backups and fill schemas with them. */
  data: IFunction;
  /** Where the state machine logs; the caller decides retention and removal. */
  logGroup: ILogGroup;
}

export class TenantRestore extends Construct {
  readonly stateMachine: StateMachine;

  constructor(scope: Construct, id: string, { tasks, data, logGroup }: TenantRestoreProps) {
    super(scope, id);
    const restore: PhaseTask = { task: data, timeout: RESTORE_TIMEOUT };
    const loop = new HopLoop(this, { tasks, what: 'restore' });
    const finish = phases(
      loop.phase('Note discarded writes', restore, 'discards'),
      loop.phase('Finish', loop.registry, 'finish', { resultPath: '$' }),
    );
    const definition = phases(
      new Pass(this, 'Start', { parameters: { 'input.$': '$', 'executionArn.$': '$$.Execution.Id' } }),
      loop.phase('Begin', restore, 'begin', { resultPath: '$.move' }),
      loop.untilDone('Plan', restore, 'plan', { pause: Duration.seconds(10) }),
      loop.states(finish, loop.untilDone('Fill', restore, 'fill')),
    );
    this.stateMachine = new StateMachine(this, 'StateMachine', {
      stateMachineName: STATE_MACHINES.restore,
      definitionBody: DefinitionBody.fromChainable(definition),
      queryLanguage: QueryLanguage.JSON_PATH,
      // As of tenant-move.
      timeout: Duration.days(3),
      tracingEnabled: true,
      logs: { destination: logGroup, level: LogLevel.ALL, includeExecutionData: false },
    });
  }
}
