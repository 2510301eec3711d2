/**
 * `tenant-onboarding`: from an operator's input to a tenant that serves requests.
 *
 * Every task is one function in functions/tasks/, and may run any number of times: the registry, and the resources
 * themselves, say what is done. An execution that was stopped is resumed by starting another with the same input.
 *
 * What each task function needs. All: REGISTRY_CLUSTER_ARN, REGISTRY_SECRET_ARN (writer), REGISTRY_DATABASE;
 * rds-data:{ExecuteStatement,BeginTransaction,CommitTransaction,RollbackTransaction} on the registry cluster,
 * secretsmanager:GetSecretValue on the writer secret, kms:Decrypt on its key.
 *
 * | task entry                       | VPC | timeout | environment besides          | IAM besides |
 * |----------------------------------|-----|---------|------------------------------|-------------|
 * | onboarding-register              | no  | 30 s    |                              |             |
 * | onboarding-credentials           | no  | 30 s    | SECRETS_KMS_KEY_ARN          | secretsmanager:{CreateSecret,TagResource,DescribeSecret,GetSecretValue,RestoreSecret} on strata/tenant/*; kms:{GenerateDataKey,Decrypt} |
 * | onboarding-dedicated-stack       | no  | 30 s    | DEDICATED_TEMPLATE_URL, DEDICATED_PARAMETERS (JSON object: every template parameter that is not the tenant's own), CLOUDFORMATION_ROLE_ARN, DELETION_PROTECTION | cloudformation:{CreateStack,DescribeStacks,DescribeStackEvents,DescribeStackResources,DeleteStack,TagResource} on stack/strata-tenant-*; rds:{DescribeDBClusters,ModifyDBCluster,DeleteDBCluster} on cluster:strata-tenant-*, rds:DeleteDBInstance on db:strata-tenant-*, rds:{DescribeDBProxies,DeleteDBProxy} on the proxies with the tag of dedicated databases, secretsmanager:DeleteSecret on strata/dedicated/* and strata/tenant/*, to protect the cluster and to clear a failed launch; rds:DescribeAccountAttributes and servicequotas:{GetServiceQuota,GetAWSDefaultServiceQuota}; iam:PassRole on that role (iam:PassedToService cloudformation.amazonaws.com); s3:GetObject on the template asset |
 * | onboarding-bootstrap-dedicated   | yes | 60 s    |                              | secretsmanager:GetSecretValue on strata/dedicated/*; kms:Decrypt |
 * | onboarding-schema                | yes | 60 s    |                              | secretsmanager:GetSecretValue on strata/<cell>/owner, strata/dedicated/*, strata/tenant/*; kms:Decrypt |
 * | onboarding-proxy-auth            | no  | 120 s   |                              | rds:{DescribeDBProxies,ModifyDBProxy} on the cells' proxies |
 * | onboarding-place                 | yes | 30 s    |                              | secretsmanager:GetSecretValue on strata/<cell>/owner, strata/dedicated/*; kms:Decrypt |
 * | onboarding-verify                | yes | 30 s    |                              | secretsmanager:GetSecretValue on strata/<cell>/starter, strata/tenant/*; kms:Decrypt |
 * | onboarding-activate              | no  | 30 s    |                              |             |
 * | onboarding-fail                  | no  | 30 s    |                              |             |
 * | reconcile-proxy-auth (no step: Custom::StrataProxyAuth, and a schedule, 15 min) | no | 300 s | | rds:{DescribeDBProxies,ModifyDBProxy} on the cells' proxies |
 *
 * The owner and master secrets of a dedicated database are named strata/dedicated/<tenantId>/{owner,master}, outside
 * of strata/tenant/*, which the request path may read. DedicatedDatabaseStack takes these names as parameters
 * (OwnerSecretName, MasterSecretName; SecretName is strata/tenant/<tenantId>/<roleName>). Its resources must not keep
 * a create-time rollback from deleting them (RETAIN_ON_UPDATE_OR_DELETE, i.e. RetainExceptOnCreate): a failed stack is
 * deleted and launched again under the same names.
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
  type IChainable,
  LogLevel,
  Pass,
  QueryLanguage,
  StateMachine,
  type TaskStateBase,
  Wait,
  WaitTime,
} from 'aws-cdk-lib/aws-stepfunctions';
import type { LambdaInvoke } from 'aws-cdk-lib/aws-stepfunctions-tasks';
import { Construct } from 'constructs';
import { notYetReachable, proxyTaken } from './retry-policies.ts';
import { phases, type TaskStateProps, taskState } from './task-state.ts';

export interface TenantOnboardingProps {
  /** The task functions; key `x` is the entry `onboarding-x` in kebab-case. */
  tasks: {
    register: IFunction;
    credentials: IFunction;
    dedicatedStack: IFunction;
    bootstrapDedicated: IFunction;
    schema: IFunction;
    proxyAuth: IFunction;
    place: IFunction;
    verify: IFunction;
    activate: IFunction;
    fail: IFunction;
  };
  /** Where the state machine logs; the caller decides retention and removal. */
  logGroup: ILogGroup;
}

const quick: TaskStateProps = { timeout: Duration.seconds(40) };
const ddl: TaskStateProps = { timeout: Duration.seconds(70) };

export class TenantOnboarding extends Construct {
  readonly stateMachine: StateMachine;

  constructor(scope: Construct, id: string, { tasks, logGroup }: TenantOnboardingProps) {
    super(scope, id);
    const failed = this.#recordFailure(tasks.fail);
    const step = (name: string, task: IFunction, settings: TaskStateProps) =>
      taskState(this, name, task, settings).addCatch(failed, {
        errors: [Errors.ALL],
        resultPath: '$.failure',
      });

    const finish = phases(
      step('Place', tasks.place, quick),
      step('Verify', tasks.verify, { ...quick, retries: [notYetReachable] }),
      step('Activate', tasks.activate, { ...quick, resultPath: '$' }),
    );
    const business = phases(
      step('Create credentials', tasks.credentials, quick),
      step('Create schema', tasks.schema, ddl),
      step('Register with proxy', tasks.proxyAuth, { timeout: Duration.seconds(130), retries: [proxyTaken] }),
      finish,
    );
    const enterprise = this.#untilReady(
      step('Launch dedicated database', tasks.dedicatedStack, { ...quick, resultPath: '$.stack' }),
      phases(
        step('Bootstrap dedicated database', tasks.bootstrapDedicated, ddl),
        step('Create dedicated schema', tasks.schema, ddl),
        finish,
      ),
    );
    const definition = phases(
      new Pass(this, 'Start', { parameters: { 'input.$': '$', 'executionArn.$': '$$.Execution.Id' } }),
      step('Register', tasks.register, { ...quick, resultPath: '$.tenant' }),
      new Choice(this, 'Tier?')
        .when(Condition.stringEquals('$.tenant.tier', 'business'), business)
        .when(Condition.stringEquals('$.tenant.tier', 'enterprise'), enterprise)
        .otherwise(finish),
    );

    this.stateMachine = new StateMachine(this, 'StateMachine', {
      stateMachineName: 'tenant-onboarding',
      definitionBody: DefinitionBody.fromChainable(definition),
      queryLanguage: QueryLanguage.JSON_PATH,
      // A backstop: it ends the execution without `Record failure`, so the tenant stays provisioning, and resumable.
      timeout: Duration.hours(6),
      tracingEnabled: true,
      // The execution's data has people's addresses, so only its course is logged.
      logs: { destination: logGroup, level: LogLevel.ALL, includeExecutionData: false },
    });
  }

  /** Repeats the launch, which does what is due and says whether the database is ready. */
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

  /** The execution ends with the name of the step's error, and with a reason that may be shown. */
  #recordFailure(task: IFunction): LambdaInvoke {
    const record = taskState(this, 'Record failure', task, { ...quick, resultPath: '$.outcome' });
    record.addCatch(
      new Fail(this, 'Failed without record', {
        errorPath: '$.failure.Error',
        cause: 'Onboarding failed, and the registry could not be told.',
      }),
      { errors: [Errors.ALL], resultPath: '$.outcome' },
    );
    record.next(new Fail(this, 'Failed', { errorPath: '$.failure.Error', causePath: '$.outcome.reason' }));
    return record;
  }
}
