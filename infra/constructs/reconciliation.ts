import type { StateMachine } from 'aws-cdk-lib/aws-stepfunctions';
import { Construct } from 'constructs';
import { RECONCILE_TIMEOUT, RegistryReconcile } from '../../workflows/registry-reconcile.ts';
import { acknowledgeWorkflow } from './acknowledge-finding.ts';
import { raiseWorkflowAlarm } from './alarms.ts';
import type { BackupBucket } from './backup-bucket.ts';
import type { MoveFunctionsProps } from './move-functions.ts';
import type { Moves } from './moves.ts';
import { OwnerTask } from './owner-task.ts';

export interface ReconciliationProps extends MoveFunctionsProps {
  readonly moves: Moves;
  readonly bucket: BackupBucket;
}

const WHY = 'Every tenant of the region is compared; only a pattern of their secrets’ names is known.';

/** The workflow that compares a restored registry with the databases and the backups. An operator starts it. */
export class Reconciliation extends Construct {
  readonly stateMachine: StateMachine;

  constructor(scope: Construct, id: string, props: ReconciliationProps) {
    super(scope, id);
    const { settings, moves, dedicated } = props;
    const task = this.#task(props);
    const { aws } = moves.tasks;
    dedicated.grantList(aws);
    this.stateMachine = new RegistryReconcile(this, 'Workflow', {
      aws,
      task,
      // State machine and function share a log group: both logs are read together, and the stack's resources are
      // limited.
      logGroup: task.logGroup,
    }).stateMachine;
    acknowledgeWorkflow(this.stateMachine.role, [aws, task]);
    raiseWorkflowAlarm(this, 'Failures', {
      stateMachines: [this.stateMachine],
      functions: [task],
      description:
        'registry-reconcile: an execution failed or timed out, or its task was throttled. Search the log of registry-reconcile for level ERROR, and start it again: mended tenants stay mended.',
      topicArn: settings.alarmTopicArn,
    });
  }

  /**
   * It reads manifests, and placements as the owner of any data database of the region. It writes to the registry only.
   */
  #task(props: ReconciliationProps): OwnerTask {
    const { settings, registry, secrets, bucket, elsewhere } = props;
    const task = new OwnerTask(this, 'Task', {
      ...settings,
      databases: props,
      why: WHY,
      entry: 'tasks/registry-reconcile',
      description: 'Compares the registry with databases and backups, and mends it on request',
      timeout: RECONCILE_TIMEOUT,
      environment: {
        ...registry.writerEnvironment,
        ...elsewhere.environment,
        BACKUP_BUCKET: bucket.bucket.bucketName,
      },
    });
    registry.grantWrite(task);
    // A tenant that another region has by now is not registered from its former backups here.
    elsewhere.grantRegistries(task);
    bucket.grantRead(task);
    secrets.grantFindTenant(task, WHY);
    return task;
  }
}
