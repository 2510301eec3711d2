import { ArnFormat, Duration, RemovalPolicy, Stack } from 'aws-cdk-lib';
import type { IMetric } from 'aws-cdk-lib/aws-cloudwatch';
import { Rule } from 'aws-cdk-lib/aws-events';
import { LambdaFunction as InvokeFunction } from 'aws-cdk-lib/aws-events-targets';
import { Grant } from 'aws-cdk-lib/aws-iam';
import { Key, KeySpec, KeyUsage } from 'aws-cdk-lib/aws-kms';
import { FilterPattern, LogGroup, MetricFilter } from 'aws-cdk-lib/aws-logs';
import type { StateMachine } from 'aws-cdk-lib/aws-stepfunctions';
import { Construct } from 'constructs';
import { ALERTS, certificateKeyAlias, STATE_MACHINES } from '../../functions/contracts/names.ts';
import type { Retention } from '../../functions/contracts/offboarding-policy.ts';
import { OFFBOARDING_TIMEOUTS, TenantOffboarding } from '../../workflows/tenant-offboarding.ts';
import type { RegionConfig } from '../config.ts';
import { acknowledgePattern, acknowledgeWorkflow } from './acknowledge-finding.ts';
import { raiseWorkflowAlarm, serviceMetric } from './alarms.ts';
import { type BackupBucket, grantEraseCopies } from './backup-bucket.ts';
import type { DedicatedDatabases } from './dedicated-databases.ts';
import { grantDeleteTenantKeys } from './field-keys.ts';
import type { Identity } from './identity.ts';
import type { NoticeTopic } from './notice-topic.ts';
import { type DataDatabases, OwnerTask } from './owner-task.ts';
import type { RegionGrants } from './region-grants.ts';
import { backupCopiesBucketName } from './region-names.ts';
import type { Registry } from './registry.ts';
import { type FunctionSettings, StrataFunction } from './strata-function.ts';
import { TaskSchedule } from './task-schedule.ts';

export interface OffboardingProps extends DataDatabases {
  readonly settings: FunctionSettings;
  readonly region: RegionConfig;
  readonly registry: Registry;
  readonly identity: Identity;
  readonly dedicated: DedicatedDatabases;
  readonly bucket: BackupBucket;
  /** Of notices about subscriptions. */
  readonly topic: NoticeTopic;
  readonly elsewhere: RegionGrants;
}

/** In UTC, in the working day of most customers: a suspension is noticed. */
const DAILY = 'cron(0 9 * * ? *)';
const ANY_TENANT =
  'The task erases whichever tenant the execution names, so what it has is known by pattern only.';

/**
 * The workflow that erases tenants, one function for each privilege, and the key that signs certificates. The function that
 * signs in to databases reaches no other service; the one that deletes objects, secrets and keys can read none of them.
 */
export class Offboarding extends Construct {
  readonly stateMachine: StateMachine;
  readonly #props: OffboardingProps;

  constructor(scope: Construct, id: string, props: OffboardingProps) {
    super(scope, id);
    this.#props = props;
    const { settings, region } = props;
    const tasks = { registry: this.#registryTask(), data: this.#dataTask(), aws: this.#awsTask() };
    this.stateMachine = new TenantOffboarding(this, 'Workflow', {
      tasks,
      graceMinutes: settings.config.offboarding.graceMinutes,
      logGroup: new LogGroup(this, 'Logs', {
        retention: settings.config.logRetentionDays,
        removalPolicy: RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
      }),
    }).stateMachine;
    acknowledgeWorkflow(this.stateMachine.role, Object.values(tasks));
    new Rule(this, 'Ended', {
      description: 'Executions of offboardings that ended without success',
      eventPattern: {
        source: ['aws.states'],
        detailType: ['Step Functions Execution Status Change'],
        detail: {
          stateMachineArn: [this.stateMachine.stateMachineArn],
          status: ['ABORTED', 'TIMED_OUT', 'FAILED'],
        },
      },
      targets: [new InvokeFunction(tasks.registry, { retryAttempts: 4, maxEventAge: Duration.hours(1) })],
    });
    new TaskSchedule(this, 'Recovery', {
      name: `strata-${region.key}-offboarding-recovery`,
      description: 'Continues offboardings whose executions have ended',
      expression: 'rate(5 minutes)',
      punctual: true,
      task: tasks.registry,
    });
    new TaskSchedule(this, 'Subscriptions', {
      name: `strata-${region.key}-subscriptions`,
      description: 'Announces ends of subscriptions, suspends and offboards tenants',
      expression: DAILY,
      task: tasks.registry,
      input: { phase: 'subscriptions', state: 'daily' },
    });
    raiseWorkflowAlarm(this, 'Failures', {
      stateMachines: [this.stateMachine],
      functions: Object.values(tasks),
      others: [this.#countRecoveryAlerts(tasks.registry)],
      description:
        'tenant-offboarding: an execution failed or timed out, or could not be continued, or the daily run over subscriptions failed. In the erasure nothing is lost: recovery continues it, and no certificate is issued until all is erased. Search the logs of offboarding-registry, offboarding-data and offboarding-aws for level ERROR.',
      topicArn: settings.alarmTopicArn,
    });
  }

  /** It changes registries, starts exports, signs certificates and publishes notices. */
  #registryTask(): StrataFunction {
    const { settings, region, registry, topic, elsewhere } = this.#props;
    const { offboarding, logRetentionDays, events, backups } = settings.config;
    const retention: Retention = {
      logRetentionDays,
      ...(events.archiveDays === undefined ? {} : { eventArchiveDays: events.archiveDays }),
      ...(backups.awsBackup ? { vaultDays: backups.awsBackup.retentionDays } : {}),
    };
    const signing = new Key(this, 'CertificateKey', {
      description: `Strata ${region.key}: signs certificates of erasure`,
      keySpec: KeySpec.RSA_2048,
      keyUsage: KeyUsage.SIGN_VERIFY,
      // Certificates are verified for years.
      removalPolicy: RemovalPolicy.RETAIN,
    });
    signing.addAlias(certificateKeyAlias(region.key));
    const [exports, own] = [STATE_MACHINES.export, STATE_MACHINES.offboarding].map((name) =>
      this.#states('stateMachine', name),
    ) as [string, string];
    const task = new StrataFunction(this, 'registry', {
      ...settings,
      entry: 'tasks/offboarding-registry',
      description:
        'Offboarding: Records offboardings, erases registry rows, issues certificates, ends subscriptions',
      timeout: OFFBOARDING_TIMEOUTS.registry,
      watchedByWorkflow: true,
      environment: {
        ...registry.writerEnvironment,
        ...elsewhere.environment,
        OFFBOARDING_POLICY: JSON.stringify(offboarding),
        RETENTION: JSON.stringify(retention),
        EXPORT_STATE_MACHINE_ARN: exports,
        OFFBOARDING_STATE_MACHINE_ARN: own,
        CERTIFICATE_KEY_ARN: signing.keyArn,
        NOTIFICATION_TOPIC_ARN: topic.topicArn,
      },
    });
    registry.grantWrite(task);
    elsewhere.grantRegistries(task);
    elsewhere.grantStart(task, STATE_MACHINES.offboarding);
    const may = (actions: string[], resourceArns: string[]) =>
      Grant.addToPrincipal({ grantee: task, actions, resourceArns });
    may(['states:StartExecution'], [exports, own]);
    const executions = [STATE_MACHINES.export, STATE_MACHINES.offboarding].map((name) =>
      this.#states('execution', `${name}:*`),
    );
    for (const pattern of executions) {
      acknowledgePattern(
        task,
        pattern,
        'Executions are named at run time; the pattern covers one state machine only.',
      );
    }
    may(['states:DescribeExecution'], executions);
    may(['kms:Sign', 'kms:GetPublicKey'], [signing.keyArn]);
    topic.grantNotices(task);
    return task;
  }

  /** It signs in as the owner of any data database of the region. */
  #dataTask(): StrataFunction {
    const { settings, region, registry } = this.#props;
    const task = new OwnerTask(this, 'data', {
      ...settings,
      databases: this.#props,
      why: ANY_TENANT,
      entry: 'tasks/offboarding-data',
      description: 'Offboarding: Erases rows, schemas and roles of tenants',
      timeout: OFFBOARDING_TIMEOUTS.data,
      environment: { ...registry.writerEnvironment, REGION_KEY: region.key },
    });
    registry.grantWrite(task);
    return task;
  }

  /** It deletes secrets, dedicated databases, objects, keys and accounts, and changes proxies. It is outside of the network. */
  #awsTask(): StrataFunction {
    const { settings, region, registry, identity, cells, secrets, dedicated, bucket } = this.#props;
    const second = settings.config.backups.secondRegions?.[region.key];
    const { account } = Stack.of(this);
    const copies = second ? [{ bucket: backupCopiesBucketName(region.key, account), awsRegion: second }] : [];
    const task = new StrataFunction(this, 'aws', {
      ...settings,
      entry: 'tasks/offboarding-aws',
      description: 'Offboarding: Deletes secrets, dedicated databases, objects, keys and accounts of tenants',
      timeout: OFFBOARDING_TIMEOUTS.aws,
      watchedByWorkflow: true,
      environment: {
        ...registry.writerEnvironment,
        REGION_KEY: region.key,
        USER_POOL_ID: identity.userPoolId,
        BACKUP_BUCKET: bucket.bucket.bucketName,
        BACKUP_COPIES: Stack.of(this).toJsonString(copies),
      },
    });
    registry.grantWrite(task);
    for (const cell of cells) cell.grantProxyAuth(task);
    dedicated.grantDelete(task);
    dedicated.grantDeleteSnapshots(task);
    secrets.grantList(task);
    bucket.grantErase(task);
    for (const copy of copies) grantEraseCopies(task, copy.bucket);
    grantDeleteTenantKeys(task, Stack.of(this));
    identity.grantRemove(task);
    return task;
  }

  /** Counts failures of recovery. It is tried again. */
  #countRecoveryAlerts({ logGroup }: StrataFunction): IMetric {
    const metricName = `${ALERTS.offboardingRecovery}s`;
    new MetricFilter(this, metricName, {
      logGroup,
      filterPattern: FilterPattern.stringValue('$.message', '=', ALERTS.offboardingRecovery),
      metricNamespace: 'Strata',
      metricName,
      metricValue: '1',
    });
    return serviceMetric('Strata', metricName, {}, 'Sum');
  }

  /** By name: the state machine depends on its functions, so the functions cannot refer to it. */
  #states(resource: 'stateMachine' | 'execution', resourceName: string): string {
    return Stack.of(this).formatArn({
      service: 'states',
      resource,
      resourceName,
      arnFormat: ArnFormat.COLON_RESOURCE_NAME,
    });
  }
}
