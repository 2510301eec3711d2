/**
 * `fleet-backup`: once a day, deletes expired backups, and backs up every tenant of the region that is due. Input:
 * none.
 *
 * Tenants are read in pages of 1,000 ids, grouped by cell, because a state is limited to 256 KiB. Each group is an
 * execution of its own, because the history of an execution is limited to 25,000 events. A group backs up a few tenants
 * at once, each by an execution of `tenant-backup`. A failed backup does not stop the other tenants' backups; the run
 * fails at its end, which raises an alarm. The registry has the result of every tenant; the state has only sums.
 *
 * State: { expiry, page: { groups: [{ group, tenants: [{ tenantId }] }], next, hasNext }, results, sums, report }.
 */

import { Duration } from 'aws-cdk-lib';
import type { IFunction } from 'aws-cdk-lib/aws-lambda';
import type { ILogGroup } from 'aws-cdk-lib/aws-logs';
import {
  Choice,
  Condition,
  DistributedMap,
  Errors,
  IntegrationPattern,
  type IStateMachine,
  JitterType,
  JsonPath,
  Map as MapState,
  Pass,
  Result,
  type StateMachine,
  TaskInput,
} from 'aws-cdk-lib/aws-stepfunctions';
import { type LambdaInvoke, StepFunctionsStartExecution } from 'aws-cdk-lib/aws-stepfunctions-tasks';
import { Construct } from 'constructs';
import { FleetIncomplete } from '../functions/backups/errors.ts';
import { STATE_MACHINES } from '../functions/contracts/names.ts';
import { beyond, completeOrFail, phases, taskState } from './task-states.ts';
import { BACKUP_TIMEOUTS } from './tenant-backup.ts';
import { WorkflowStateMachine } from './workflow-state-machine.ts';

export interface FleetBackupProps {
  /** The entry `backup-registry`. */
  task: IFunction;
  /** `tenant-backup`. */
  backup: IStateMachine;
  /** Log group of the state machine; the caller decides retention and removal. */
  logGroup: ILogGroup;
}

/** Groups (cells, or shares of the Enterprise tenants) at once. It bounds the number of concurrent functions. */
const GROUPS_AT_ONCE = 10;
/** Tenants of a group at once. It bounds the load on a cell, and so the effect on its requests. */
const TENANTS_AT_ONCE = 2;
/** The initial `FleetSums`. */
const NO_SUMS = { succeeded: 0, failed: 0, skipped: 0, failedTenants: [] };

export class FleetBackup extends Construct {
  readonly stateMachine: StateMachine;
  readonly #props: FleetBackupProps;

  constructor(scope: Construct, id: string, props: FleetBackupProps) {
    super(scope, id);
    this.#props = props;

    const due = this.#task(
      'List due tenants',
      { phase: 'due', state: { page: JsonPath.objectAt('$.page') } },
      '$.page',
    );
    const groups = new DistributedMap(this, 'Each group', {
      itemsPath: '$.page.groups',
      maxConcurrency: GROUPS_AT_ONCE,
      resultPath: '$.results',
    }).itemProcessor(this.#group());
    const report = phases(
      this.#task(
        'Report',
        {
          phase: 'report',
          state: { sums: JsonPath.objectAt('$.sums'), expiry: JsonPath.objectAt('$.expiry') },
        },
        '$.report',
      ),
      completeOrFail(this, FleetIncomplete.name),
    );
    const pages = phases(
      due,
      groups,
      this.#task(
        'Count',
        {
          phase: 'count',
          state: { results: JsonPath.objectAt('$.results'), sums: JsonPath.objectAt('$.sums') },
        },
        '$.sums',
      ),
      new Choice(this, 'More?').when(Condition.booleanEquals('$.page.hasNext', true), due).otherwise(report),
    );
    const definition = phases(
      new Pass(this, 'Start', {
        result: Result.fromObject({ page: {}, expiry: {}, sums: NO_SUMS }),
      }),
      this.#expire(pages),
    );

    this.stateMachine = new WorkflowStateMachine(this, 'StateMachine', {
      name: STATE_MACHINES.fleetBackup,
      definition,
      // Before the next day's run begins.
      timeout: Duration.hours(20),
      logGroup: props.logGroup,
    });
  }

  /** Calls `expire` until it is done. If it fails, the backups are made nevertheless. */
  #expire(then: ReturnType<typeof phases>): LambdaInvoke {
    const expire = this.#task(
      'Expire',
      { phase: 'expire', state: { expiry: JsonPath.objectAt('$.expiry') } },
      '$.expiry',
    );
    expire.addCatch(
      new Pass(this, 'Not expired', {
        result: Result.fromObject({ done: false }),
        resultPath: '$.expiry',
      }).next(then),
      { errors: [Errors.ALL], resultPath: '$.failure' },
    );
    expire.next(
      new Choice(this, 'Expired?')
        .when(Condition.booleanEquals('$.expiry.done', false), expire)
        .otherwise(then),
    );
    return expire;
  }

  /** Backs up the tenants of one group, a few at once. Its output has a result for each tenant. */
  #group(): MapState {
    const backUp = new StepFunctionsStartExecution(this, 'Back up', {
      stateMachine: this.#props.backup,
      integrationPattern: IntegrationPattern.RUN_JOB,
      input: TaskInput.fromObject({ tenantId: JsonPath.stringAt('$.tenantId'), startedBy: 'schedule' }),
      resultSelector: { 'status.$': '$.Status' },
      resultPath: '$.execution',
    });
    // Only for the account's limits of starts per second. Failures inside an execution have their own retries.
    backUp.addRetry({
      errors: ['StepFunctions.ExecutionLimitExceededException', 'StepFunctions.ThrottlingException'],
      interval: Duration.seconds(2),
      backoffRate: 2,
      maxAttempts: 6,
      maxDelay: Duration.minutes(1),
      jitterStrategy: JitterType.FULL,
    });
    const result = (outcome: string) => ({ 'tenantId.$': '$.tenantId', outcome });
    const classify = this.#task(
      'Classify failure',
      {
        phase: 'outcome',
        state: {
          tenantId: JsonPath.stringAt('$.tenantId'),
          failure: JsonPath.objectAt('$.failure'),
        },
      },
      '$',
    );
    classify.addCatch(new Pass(this, 'Failed', { parameters: result('failed') }), {
      errors: [Errors.ALL],
      resultPath: '$.failure',
    });
    backUp.addCatch(classify, { errors: [Errors.ALL], resultPath: '$.failure' });
    backUp.next(new Pass(this, 'Backed up', { parameters: result('succeeded') }));
    return new MapState(this, 'Each tenant', {
      itemsPath: '$.tenants',
      maxConcurrency: TENANTS_AT_ONCE,
    }).itemProcessor(backUp);
  }

  #task(name: string, payload: Record<string, unknown>, resultPath: string): LambdaInvoke {
    return taskState(this, name, this.#props.task, {
      timeout: beyond(BACKUP_TIMEOUTS.registry),
      payload: TaskInput.fromObject(payload),
      resultPath,
    });
  }
}
