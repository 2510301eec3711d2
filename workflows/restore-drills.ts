/**
 * `restore-drills`: once a day, proves for some tenants that their latest backup can be restored, by restoring it into
 * a scratch schema. Every tenant has a drill at least monthly. Input: none.
 *
 * A failed drill is recorded with its backup and its tenant. It does not stop the other drills; the run fails at its
 * end, which raises an alarm.
 *
 * State of the run: { due: { drills: [{ tenantId, backupId }] }, results, report }; of one drill: { tenantId, backupId,
 * step }.
 */
import { Duration } from 'aws-cdk-lib';
import type { IFunction } from 'aws-cdk-lib/aws-lambda';
import type { ILogGroup } from 'aws-cdk-lib/aws-logs';
import {
  Choice,
  Condition,
  DistributedMap,
  Errors,
  Fail,
  JsonPath,
  Pass,
  type StateMachine,
  Succeed,
  TaskInput,
} from 'aws-cdk-lib/aws-stepfunctions';
import type { LambdaInvoke } from 'aws-cdk-lib/aws-stepfunctions-tasks';
import { Construct } from 'constructs';
import { STATE_MACHINES } from '../functions/contracts/names.ts';
import { DrillsFailed } from '../functions/restores/errors.ts';
import { beyond, phases, taskState } from './task-states.ts';
import { RESTORE_TIMEOUT } from './tenant-restore.ts';
import { WorkflowStateMachine } from './workflow-state-machine.ts';

export interface RestoreDrillsProps {
  /** The entry `restore-data`. */
  task: IFunction;
  /** Log group of the state machine; the caller decides retention and removal. */
  logGroup: ILogGroup;
}

/** Drills at once: a drill loads a cell about as much as a backup does. */
const AT_ONCE = 2;

export class RestoreDrills extends Construct {
  readonly stateMachine: StateMachine;
  readonly #task: IFunction;

  constructor(scope: Construct, id: string, { task, logGroup }: RestoreDrillsProps) {
    super(scope, id);
    this.#task = task;
    const definition = phases(
      this.#state('List due drills', { phase: 'due-drills', state: {} }, '$.due'),
      new DistributedMap(this, 'Each backup', {
        itemsPath: '$.due.drills',
        maxConcurrency: AT_ONCE,
        resultPath: '$.results',
      }).itemProcessor(this.#drill()),
      this.#state(
        'Report',
        { phase: 'report-drills', state: { results: JsonPath.objectAt('$.results') } },
        '$.report',
      ),
      new Choice(this, 'All passed?')
        .when(Condition.booleanEquals('$.report.passed', true), new Succeed(this, 'Succeeded'))
        .otherwise(
          new Fail(this, 'Not all passed', { error: DrillsFailed.name, causePath: '$.report.cause' }),
        ),
    );
    this.stateMachine = new WorkflowStateMachine(this, 'StateMachine', {
      name: STATE_MACHINES.drills,
      definition,
      // Before the next day's run begins.
      timeout: Duration.hours(20),
      logGroup,
    });
  }

  #drill(): LambdaInvoke {
    const drilled = { tenantId: JsonPath.stringAt('$.tenantId'), backupId: JsonPath.stringAt('$.backupId') };
    const drill = this.#state('Drill', { phase: 'drill', state: drilled }, '$.step');
    const result = (outcome: string) =>
      new Pass(this, `Drill ${outcome}`, { parameters: { 'tenantId.$': '$.tenantId', outcome } });
    const failed = result('failed');
    const record = this.#state(
      'Record failure',
      { phase: 'fail-drill', state: { ...drilled, failure: JsonPath.objectAt('$.failure') } },
      '$.step',
    );
    record.addCatch(failed, { errors: [Errors.ALL], resultPath: '$.failure' });
    record.next(
      new Pass(this, 'Drill result', {
        parameters: { 'tenantId.$': '$.tenantId', 'outcome.$': '$.step.outcome' },
      }),
    );
    drill.addCatch(record, { errors: [Errors.ALL], resultPath: '$.failure' });
    drill.next(
      new Choice(this, 'Drilled?')
        .when(Condition.booleanEquals('$.step.done', false), drill)
        .otherwise(result('passed')),
    );
    return drill;
  }

  #state(name: string, payload: Record<string, unknown>, resultPath: string): LambdaInvoke {
    return taskState(this, name, this.#task, {
      timeout: beyond(RESTORE_TIMEOUT),
      payload: TaskInput.fromObject(payload),
      resultPath,
    });
  }
}
