/**
 * `registry-reconcile`: compares the registry of a region with its databases and its backup bucket. With `apply`, it
 * changes the registry to match them. For a registry that was lost and restored to an earlier time: see
 * docs/backups.md.
 *
 * Input: { apply: false, registerLost: false }. Output: { compared, total, mended, differences: the first 200 }; the log
 * of registry-reconcile has all differences. No database and no object is ever changed. A stopped run can be started
 * again: tenants that it has mended have no difference any more.
 *
 * State: { input, dedicated: the next dedicated databases, page: { done, after, found } }.
 */
import { Duration } from 'aws-cdk-lib';
import type { IFunction } from 'aws-cdk-lib/aws-lambda';
import type { ILogGroup } from 'aws-cdk-lib/aws-logs';
import {
  Choice,
  Condition,
  JsonPath,
  Pass,
  type StateMachine,
  TaskInput,
} from 'aws-cdk-lib/aws-stepfunctions';
import { Construct } from 'constructs';
import { STATE_MACHINES } from '../functions/contracts/names.ts';
import { beyond, MOVE_TIMEOUTS, phases, taskState } from './task-states.ts';
import { WorkflowStateMachine } from './workflow-state-machine.ts';

export interface RegistryReconcileProps {
  /** The entry `move-aws`, which lists dedicated databases from CloudFormation. */
  aws: IFunction;
  /** The entry `registry-reconcile`. */
  task: IFunction;
  /** Log group of the state machine; the caller decides retention and removal. */
  logGroup: ILogGroup;
}

/**
 * Timeout of the task function. A call begins no tenant after 50 seconds, but one with many backups may take minutes.
 */
export const RECONCILE_TIMEOUT = Duration.minutes(5);

export class RegistryReconcile extends Construct {
  readonly stateMachine: StateMachine;

  constructor(scope: Construct, id: string, { aws, task, logGroup }: RegistryReconcileProps) {
    super(scope, id);
    const list = taskState(this, 'List dedicated databases', aws, {
      timeout: beyond(MOVE_TIMEOUTS.aws),
      payload: TaskInput.fromObject({
        phase: 'list-dedicated',
        state: { page: JsonPath.objectAt('$.page') },
      }),
      resultPath: '$.dedicated',
    });
    const compare = taskState(this, 'Compare', task, {
      timeout: beyond(RECONCILE_TIMEOUT),
      payload: TaskInput.fromObject({ phase: 'compare', state: JsonPath.entirePayload }),
      resultPath: '$.page',
    });
    const definition = phases(
      new Pass(this, 'Start', { parameters: { 'input.$': '$', page: {} } }),
      list,
      compare,
      new Choice(this, 'All compared?')
        .when(Condition.booleanEquals('$.page.done', false), list)
        .otherwise(new Pass(this, 'Report', { inputPath: '$.page.found' })),
    );
    this.stateMachine = new WorkflowStateMachine(this, 'StateMachine', {
      name: STATE_MACHINES.reconcile,
      definition,
      timeout: Duration.hours(20),
      logGroup,
    });
  }
}
