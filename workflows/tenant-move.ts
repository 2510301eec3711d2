/**
 * `tenant-move`: takes a tenant to another isolation model, cell or region, hop by hop, while it goes on working.
 *
 * Every phase is one of a function in functions/tasks/ and may run any number of times: the registry and the databases
 * say what is done. An execution that was stopped does not go on; phase `recover` of `move-data` settles what it had committed and rolls
 * the rest back, and the same input moves the tenant from where it is then.
 */

import { Duration } from 'aws-cdk-lib';
import type { ILogGroup } from 'aws-cdk-lib/aws-logs';
import { DefinitionBody, LogLevel, Pass, QueryLanguage, StateMachine } from 'aws-cdk-lib/aws-stepfunctions';
import { Construct } from 'constructs';
import { STATE_MACHINES } from '../functions/contracts/names.ts';
import { HopLoop, type MoveTasks } from './hop-loop.ts';
import { phases } from './task-states.ts';

export interface TenantMoveProps {
  /** The task functions, one for each privilege, which dispatch on `phase`. */
  tasks: MoveTasks;
  /** Where the state machine logs; the caller decides retention and removal. */
  logGroup: ILogGroup;
}

export class TenantMove extends Construct {
  readonly stateMachine: StateMachine;

  constructor(scope: Construct, id: string, { tasks, logGroup }: TenantMoveProps) {
    super(scope, id);
    const loop = new HopLoop(this, { tasks, what: 'move' });
    const definition = phases(
      new Pass(this, 'Start', { parameters: { 'input.$': '$', 'executionArn.$': '$$.Execution.Id' } }),
      loop.phase('Begin', loop.data, 'begin', { resultPath: '$.move' }),
      loop.states(loop.phase('Finish', loop.registry, 'finish', { resultPath: '$' })),
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
}
