/**
 * `tenant-onboarding`: from an operator's input to a tenant that serves requests.
 *
 * Every phase is one of a function in functions/tasks/, and may run any number of times: the registry, and the
 * resources themselves, record what is done. Start another execution with the same input to resume a stopped one.
 *
 * There is one function for each privilege:
 *
 * | entry               | in the network | phases                          | rights besides changing the registry         |
 * |---------------------|----------------|---------------------------------|----------------------------------------------|
 * | onboarding-registry | no             | register, activate, fail, recover | the other regions' registries; read and start executions of this state machine |
 * | onboarding-aws      | no             | credentials, launch, proxy      | create tenants' secrets; launch dedicated databases; change the cells' proxies |
 * | onboarding-data     | yes            | bootstrap, schema, place, verify | read the secrets of cells' owners and Starter roles, of dedicated databases and of tenants |
 *
 * The owner and master secrets of a dedicated database are named strata/dedicated/<tenantId>/{owner,master}, outside of
 * strata/tenant/*, which the request path may read. DedicatedDatabaseStack takes these names as parameters
 * (OwnerSecretName, MasterSecretName; SecretName is strata/tenant/<tenantId>/<roleName>). Its resources must allow a
 * rollback of the creation to delete them (RETAIN_ON_UPDATE_OR_DELETE, i.e. RetainExceptOnCreate): a failed stack is
 * deleted and launched again under the same names.
 */

import { Duration } from 'aws-cdk-lib';
import type { IFunction } from 'aws-cdk-lib/aws-lambda';
import type { ILogGroup } from 'aws-cdk-lib/aws-logs';
import {
  Choice,
  Condition,
  Errors,
  Fail,
  type IChainable,
  Pass,
  type StateMachine,
  type TaskStateBase,
  Wait,
  WaitTime,
} from 'aws-cdk-lib/aws-stepfunctions';
import type { LambdaInvoke } from 'aws-cdk-lib/aws-stepfunctions-tasks';
import { Construct } from 'constructs';
import { STATE_MACHINES } from '../functions/contracts/names.ts';
import {
  beyond,
  notYetReachable,
  phaseOf,
  phases,
  proxyTaken,
  type TaskStateProps,
  taskState,
} from './task-states.ts';
import { WorkflowStateMachine } from './workflow-state-machine.ts';

export interface OnboardingTasks {
  /** The entry `onboarding-registry`. */
  registry: IFunction;
  /** The entry `onboarding-aws`. */
  aws: IFunction;
  /** The entry `onboarding-data`. */
  data: IFunction;
}

export interface TenantOnboardingProps {
  /** The task functions, one for each privilege, which dispatch on `phase`. */
  tasks: OnboardingTasks;
  /** Log group of the state machine; the caller decides retention and removal. */
  logGroup: ILogGroup;
}

/** Timeouts of the functions: each as long as its longest phase. */
export const ONBOARDING_TIMEOUTS = {
  registry: Duration.seconds(30),
  aws: Duration.minutes(2),
  data: Duration.minutes(1),
} as const;

export class TenantOnboarding extends Construct {
  readonly stateMachine: StateMachine;
  readonly #tasks: OnboardingTasks;

  constructor(scope: Construct, id: string, { tasks, logGroup }: TenantOnboardingProps) {
    super(scope, id);
    this.#tasks = tasks;
    const failed = this.#recordFailure();
    const phase = (
      name: string,
      task: keyof OnboardingTasks,
      phaseName: string,
      settings: Partial<TaskStateProps> = {},
    ) =>
      this.#task(name, task, phaseName, settings).addCatch(failed, {
        errors: [Errors.ALL],
        resultPath: '$.failure',
      });

    const finish = phases(
      phase('Place', 'data', 'place'),
      phase('Verify', 'data', 'verify', { retries: [notYetReachable] }),
      phase('Activate', 'registry', 'activate', { resultPath: '$' }),
    );
    const business = phases(
      phase('Create credentials', 'aws', 'credentials'),
      phase('Create schema', 'data', 'schema'),
      phase('Register with proxy', 'aws', 'proxy', { retries: [proxyTaken] }),
      finish,
    );
    const enterprise = this.#untilReady(
      phase('Launch dedicated database', 'aws', 'launch', { resultPath: '$.stack' }),
      phases(
        phase('Bootstrap dedicated database', 'data', 'bootstrap'),
        phase('Create dedicated schema', 'data', 'schema'),
        finish,
      ),
    );
    const definition = phases(
      new Pass(this, 'Start', { parameters: { 'input.$': '$', 'executionArn.$': '$$.Execution.Id' } }),
      phase('Register', 'registry', 'register', { resultPath: '$.tenant' }),
      new Choice(this, 'Tier?')
        .when(Condition.stringEquals('$.tenant.tier', 'business'), business)
        .when(Condition.stringEquals('$.tenant.tier', 'enterprise'), enterprise)
        .otherwise(finish),
    );

    this.stateMachine = new WorkflowStateMachine(this, 'StateMachine', {
      name: STATE_MACHINES.onboarding,
      definition,
      // A backstop: it ends the execution without `Record failure`, so the tenant stays provisioning, and can be
      // resumed.
      timeout: Duration.hours(6),
      logGroup,
    });
  }

  /** Repeats the launch, which takes the next step and reports whether the database is ready. */
  #untilReady(launch: TaskStateBase, then: IChainable): IChainable {
    const wait = new Wait(this, 'Wait for dedicated database', {
      time: WaitTime.duration(Duration.seconds(20)),
    });
    launch.next(
      new Choice(this, 'Dedicated database ready?')
        .when(Condition.booleanEquals('$.stack.ready', true), then)
        .otherwise(wait.next(launch)),
    );
    return launch;
  }

  /** The execution ends with the name of the phase's error, and with a reason that may be shown. */
  #recordFailure(): LambdaInvoke {
    const record = this.#task('Record failure', 'registry', 'fail', { resultPath: '$.outcome' });
    record.addCatch(
      new Fail(this, 'Failed without record', {
        errorPath: '$.failure.Error',
        cause: 'Onboarding failed, and the failure could not be recorded in the registry.',
      }),
      { errors: [Errors.ALL], resultPath: '$.outcome' },
    );
    record.next(new Fail(this, 'Failed', { errorPath: '$.failure.Error', causePath: '$.outcome.reason' }));
    return record;
  }

  #task(
    name: string,
    task: keyof OnboardingTasks,
    phase: string,
    settings: Partial<TaskStateProps>,
  ): LambdaInvoke {
    return taskState(this, name, this.#tasks[task], {
      timeout: beyond(ONBOARDING_TIMEOUTS[task]),
      payload: phaseOf(phase),
      ...settings,
    });
  }
}
