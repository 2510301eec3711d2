/**
 * `tenant-move`: takes a tenant to another isolation model, cell or region, hop by hop, while its requests are served.
 *
 * Every phase is one of a function in functions/tasks/ and may run any number of times: the registry and the databases
 * record what is done. A stopped execution does not continue; phase `recover` of `move-data` settles what it had
 * committed and rolls back the rest, and the same input then moves the tenant from its current place.
 */

import { Duration } from 'aws-cdk-lib';
import type { ILogGroup } from 'aws-cdk-lib/aws-logs';
import { Pass, type StateMachine } from 'aws-cdk-lib/aws-stepfunctions';
import { Construct } from 'constructs';
import { STATE_MACHINES } from '../functions/contracts/names.ts';
import { HopLoop, type MoveTasks } from './hop-loop.ts';
import { phases } from './task-states.ts';
import { WorkflowStateMachine } from './workflow-state-machine.ts';

export interface TenantMoveProps {
  /** The task functions, one for each privilege, which dispatch on `phase`. */
  tasks: MoveTasks;
  /** Log group of the state machine; the caller decides retention and removal. */
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
    this.stateMachine = new WorkflowStateMachine(this, 'StateMachine', {
      name: STATE_MACHINES.move,
      definition,
      // A backstop, longer than the events last: it ends the execution without `Roll back`, which recovery does then.
      timeout: Duration.days(3),
      logGroup,
    });
  }
}
