import { RemovalPolicy } from 'aws-cdk-lib';
import { FilterPattern, LogGroup, MetricFilter } from 'aws-cdk-lib/aws-logs';
import type { StateMachine } from 'aws-cdk-lib/aws-stepfunctions';
import { Construct } from 'constructs';
import { ALERTS } from '../../functions/contracts/names.ts';
import { AuditChain as Workflow } from '../../workflows/audit-chain.ts';
import type { RegionConfig } from '../config.ts';
import { acknowledgeWorkflow } from './acknowledge-finding.ts';
import { raiseAlarm, raiseWorkflowAlarm, serviceMetric } from './alarms.ts';
import type { FunctionSettings, StrataFunction } from './strata-function.ts';
import { TaskSchedule } from './task-schedule.ts';

export interface AuditChainProps {
  readonly settings: FunctionSettings;
  readonly region: RegionConfig;
  /** The entry `backup-data`, which signs in as the owner of each data database and writes the backup bucket. */
  readonly task: StrataFunction;
}

/** Bounds how long entries are unsealed. */
const SEALING = 'rate(10 minutes)';
/** After the upkeep (UTC), which deletes entries whose retention is over. */
const VERIFICATION = 'cron(45 6 * * ? *)';

/** The state machine that seals and verifies the audit logs of a region's tenants, its schedules and its alarms. */
export class AuditChain extends Construct {
  readonly stateMachine: StateMachine;

  constructor(scope: Construct, id: string, { settings, region, task }: AuditChainProps) {
    super(scope, id);
    const { alarmTopicArn: topicArn } = settings;
    this.stateMachine = new Workflow(this, 'Workflow', {
      task,
      logGroup: new LogGroup(this, 'Logs', {
        retention: settings.config.logRetentionDays,
        removalPolicy: RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
      }),
    }).stateMachine;
    acknowledgeWorkflow(this.stateMachine.role, [task]);
    new TaskSchedule(this, 'Sealing', {
      name: `strata-${region.key}-audit-sealing`,
      description: 'Seals audit entries and copies the seals',
      expression: SEALING,
      task: this.stateMachine,
      input: { task: 'seal' },
    });
    new TaskSchedule(this, 'Verification', {
      name: `strata-${region.key}-audit-verification`,
      description: 'Verifies the audit logs',
      expression: VERIFICATION,
      task: this.stateMachine,
      input: { task: 'verify' },
    });
    raiseWorkflowAlarm(this, 'Failures', {
      stateMachines: [this.stateMachine],
      functions: [],
      description:
        'audit-chain: some audit logs were not sealed or verified, or an execution timed out. Its cause names the databases; search the log of backup-data for "left out of the audit chain". Entries stay unsealed until it works again.',
      topicArn,
    });
    const metricName = `${ALERTS.auditChain}s`;
    new MetricFilter(this, metricName, {
      logGroup: task.logGroup,
      filterPattern: FilterPattern.stringValue('$.message', '=', ALERTS.auditChain),
      metricNamespace: 'Strata',
      metricName,
      metricValue: '1',
    });
    raiseAlarm(this, 'Broken', {
      metric: serviceMetric('Strata', metricName, {}, 'Sum'),
      threshold: 1,
      description:
        'An entry or a seal of a tenant’s audit log was altered, removed, added or reordered. Search the log of backup-data for AuditChainAlert: it names the tenant and the first broken link. docs/operations.md says what to do.',
      topicArn,
    });
  }
}
