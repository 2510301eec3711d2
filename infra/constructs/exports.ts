import { ArnFormat, RemovalPolicy, Stack } from 'aws-cdk-lib';
import { Grant } from 'aws-cdk-lib/aws-iam';
import { LogGroup } from 'aws-cdk-lib/aws-logs';
import type { StateMachine } from 'aws-cdk-lib/aws-stepfunctions';
import { Construct } from 'constructs';
import { STATE_MACHINES } from '../../functions/contracts/names.ts';
import { EXPORT_TIMEOUT, TenantExport } from '../../workflows/tenant-export.ts';
import type { RegionConfig } from '../config.ts';
import { acknowledgePattern, acknowledgeWorkflow } from './acknowledge-finding.ts';
import { raiseWorkflowAlarm } from './alarms.ts';
import type { Backups } from './backups.ts';
import type { Registry } from './registry.ts';
import { type FunctionSettings, StrataFunction } from './strata-function.ts';

export interface ExportsProps {
  readonly settings: FunctionSettings;
  readonly region: RegionConfig;
  readonly registry: Registry;
  readonly backups: Backups;
}

/** MiB; it gives the function one vCPU, because it converts and compresses rows all the time. */
const BUSY_MEMORY = 1769;

/**
 * Exports of a region's tenants for the customer. An export is made from a backup and stored in the backups' bucket.
 * The daily run of backups deletes expired exports, and the recovery of backups recovers exports, too.
 */
export class Exports extends Construct {
  readonly stateMachine: StateMachine;

  constructor(scope: Construct, id: string, props: ExportsProps) {
    super(scope, id);
    const { settings } = props;
    const task = this.#task(props);
    this.stateMachine = new TenantExport(this, 'Workflow', {
      task,
      logGroup: new LogGroup(this, 'Logs', {
        retention: settings.config.logRetentionDays,
        removalPolicy: RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
      }),
    }).stateMachine;
    acknowledgeWorkflow(this.stateMachine.role, [task]);
    raiseWorkflowAlarm(this, 'Failures', {
      stateMachines: [this.stateMachine],
      functions: [task],
      description:
        'tenant-export: an execution failed or timed out, so a customer’s export was not made; or a task was throttled. The reason is in the export; search the log of export-data for level ERROR.',
      topicArn: settings.alarmTopicArn,
    });
  }

  /** It reads backups, writes exports and requests backups. It signs in to no data database, so it needs no network. */
  #task({ settings, region, registry, backups }: ExportsProps): StrataFunction {
    const task = new StrataFunction(this, 'data', {
      ...settings,
      entry: 'tasks/export-data',
      description: 'Export: Makes archives for customers from backups',
      timeout: EXPORT_TIMEOUT,
      memorySize: BUSY_MEMORY,
      watchedByWorkflow: true,
      environment: {
        ...registry.writerEnvironment,
        REGION_KEY: region.key,
        BACKUP_BUCKET: backups.bucket.bucket.bucketName,
        BACKUP_STATE_MACHINE_ARN: backups.stateMachine.stateMachineArn,
      },
    });
    registry.grantWrite(task);
    backups.bucket.grantExport(task);
    backups.stateMachine.grantStartExecution(task);
    // By name: the function is created before its own workflow.
    const executions = [STATE_MACHINES.backup, STATE_MACHINES.export].map((name) =>
      Stack.of(this).formatArn({
        service: 'states',
        resource: 'execution',
        resourceName: `${name}:*`,
        arnFormat: ArnFormat.COLON_RESOURCE_NAME,
      }),
    );
    for (const pattern of executions) {
      acknowledgePattern(
        task,
        pattern,
        'Executions are named at run time; the pattern covers one state machine only.',
      );
    }
    Grant.addToPrincipal({
      grantee: task,
      actions: ['states:DescribeExecution'],
      resourceArns: executions,
    });
    return task;
  }
}
