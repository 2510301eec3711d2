/**
 * `audit-chain`: seals the audit logs of the region's tenants and copies the seals to the backup bucket, or verifies
 * them. Input: `{ task: 'seal' | 'verify' }`, from a schedule for each.
 *
 * State: { task, list: { databases: [{ key }] } }, then { results: the result of each database, report: the sums }. The
 * phase of a database is called until it is done, and finds its last result in `step`. Errors of one database are
 * caught: the others are worked on, and the execution fails at the end, which raises an alarm. A broken chain raises an
 * alarm of its own.
 *
 * Two executions may run at the same time: a seal is appended under a unique key, a copy is written once.
 */
import { Duration } from 'aws-cdk-lib';
import type { IFunction } from 'aws-cdk-lib/aws-lambda';
import type { ILogGroup } from 'aws-cdk-lib/aws-logs';
import {
  Choice,
  Condition,
  Errors,
  JsonPath,
  Map as MapState,
  Pass,
  type StateMachine,
  TaskInput,
} from 'aws-cdk-lib/aws-stepfunctions';
import { Construct } from 'constructs';
import { STATE_MACHINES } from '../functions/contracts/names.ts';
import { ChainsIncomplete } from '../functions/upkeep/errors.ts';
import { beyond, completeOrFail, phases, taskState } from './task-states.ts';
import { BACKUP_TIMEOUTS } from './tenant-backup.ts';
import { WorkflowStateMachine } from './workflow-state-machine.ts';

export interface AuditChainProps {
  /** The entry `backup-data`. */
  task: IFunction;
  /** Where the state machine logs; the caller decides retention and removal. */
  logGroup: ILogGroup;
}

/** Concurrent databases. */
const CONCURRENCY = 4;

export class AuditChain extends Construct {
  readonly stateMachine: StateMachine;

  constructor(scope: Construct, id: string, { task, logGroup }: AuditChainProps) {
    super(scope, id);
    const timeout = beyond(BACKUP_TIMEOUTS.data);
    const list = taskState(this, 'List databases', task, {
      timeout,
      payload: TaskInput.fromObject({ phase: 'audit-list', state: {} }),
      resultPath: '$.list',
    });

    const chains = taskState(this, 'Chains', task, {
      timeout,
      payload: TaskInput.fromObject({ phase: 'audit-database', state: JsonPath.entirePayload }),
      resultPath: '$.step',
    });
    chains.addCatch(
      new Pass(this, 'Left out', { parameters: { 'key.$': '$.key', 'error.$': '$.failure.Error' } }),
      { errors: [Errors.ALL], resultPath: '$.failure' },
    );
    chains.next(
      new Choice(this, 'Chains: done?')
        .when(Condition.booleanEquals('$.step.done', false), chains)
        .otherwise(new Pass(this, 'Done')),
    );
    const databases = new MapState(this, 'Each database', {
      itemsPath: '$.list.databases',
      itemSelector: { 'key.$': '$$.Map.Item.Value.key', 'task.$': '$.task' },
      maxConcurrency: CONCURRENCY,
      resultPath: '$.results',
    }).itemProcessor(chains);

    const report = taskState(this, 'Report', task, {
      timeout,
      payload: TaskInput.fromObject({ phase: 'audit-report', state: JsonPath.objectAt('$.results') }),
      resultPath: '$.report',
    });
    const definition = phases(list, databases, report, completeOrFail(this, ChainsIncomplete.name));
    this.stateMachine = new WorkflowStateMachine(this, 'StateMachine', {
      name: STATE_MACHINES.auditChain,
      definition,
      // Before the next day's verification begins.
      timeout: Duration.hours(20),
      logGroup,
    });
  }
}
