import { Stack } from 'aws-cdk-lib';
import type { Construct } from 'constructs';
import { Alerts } from '../constructs/alerts.ts';
import { ClusterBackups } from '../constructs/cluster-backups.ts';
import { CredentialRotation } from '../constructs/credential-rotation.ts';
import { Events } from '../constructs/events.ts';
import { Offboarding } from '../constructs/offboarding.ts';
import { PartitionUpkeep } from '../constructs/partition-upkeep.ts';
import { Promotion } from '../constructs/promotion.ts';
import { RegionDashboard } from '../constructs/region-dashboard.ts';
import { RegionGrants } from '../constructs/region-grants.ts';
import { regionalStackName } from '../constructs/region-names.ts';
import { UsageAggregation } from '../constructs/usage-aggregation.ts';
import type { ApiStack, RegionalStackProps } from './api-stack.ts';
import type { BackupsStack } from './backups-stack.ts';
import type { OperationsStack } from './operations-stack.ts';
import { stackProps, tagStack } from './stack-props.ts';

export interface FleetStackProps extends RegionalStackProps {
  readonly backups: BackupsStack;
  readonly operations: OperationsStack;
  readonly api: ApiStack;
}

/** What looks after all tenants of a region by schedule, and what an operations team reads about them. */
export class FleetStack extends Stack {
  constructor(scope: Construct, props: FleetStackProps) {
    const { config, region } = props;
    const description = `Strata: care of the fleet of region ${region.key}`;
    super(scope, regionalStackName(region.key, 'fleet'), stackProps(region, description, config));
    tagStack(this, 'data-plane', region, config);
    // Schedules and state machines have fixed names; a stack that had them before lets go of them first.
    this.addStackDependency(props.operations);
    const { key, network, secrets } = props.network;
    const { registry, alarmTopicArn } = props.controlPlane;
    const settings = { config, bundle: props.bundle, alarmTopicArn };
    const cells = props.cells.map(({ cell }) => cell);
    const tasks = { settings, region, registry, network, cells, secrets };
    new UsageAggregation(this, 'Usage', { settings, region, registry, logGroups: props.api.logGroups });
    const { topic } = new Promotion(this, 'Promotion', { ...tasks, key });
    new PartitionUpkeep(this, 'Upkeep', tasks);
    new Offboarding(this, 'Offboarding', {
      ...tasks,
      identity: props.controlPlane.identity,
      dedicated: props.operations.dedicated,
      bucket: props.backups.backups.bucket,
      topic,
      elsewhere: new RegionGrants(this, config, region),
    });
    new CredentialRotation(this, 'Credentials', tasks);
    const { awsBackup } = config.backups;
    if (awsBackup)
      new ClusterBackups(this, 'ClusterBackups', { ...awsBackup, region, cells, keyArn: key.keyArn });
    new Events(this, 'Events', { settings, region, registry, key });
    new Alerts(this, 'Alerts', { ...tasks, key });
    new RegionDashboard(this, 'Dashboard', { region });
  }
}
