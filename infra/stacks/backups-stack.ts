import { CfnOutput, Stack } from 'aws-cdk-lib';
import type { Construct } from 'constructs';
import { Backups } from '../constructs/backups.ts';
import { regionalStackName } from '../constructs/region-names.ts';
import type { RegionalStackProps } from './api-stack.ts';
import { stackProps, tagStack } from './stack-props.ts';

/** The backups of a region's tenants: their bucket, and the workflows that fill and empty it. */
export class BackupsStack extends Stack {
  constructor(scope: Construct, props: RegionalStackProps) {
    const { config, region } = props;
    const description = `Strata: backups of region ${region.key}`;
    super(scope, regionalStackName(region.key, 'backups'), stackProps(region, description, config));
    tagStack(this, 'data-plane', region, config);
    const { key, network, secrets } = props.network;
    const { registry, alarmTopicArn } = props.controlPlane;
    for (const cell of props.cells) this.addStackDependency(cell);
    const backups = new Backups(this, 'Backups', {
      settings: { config, bundle: props.bundle, alarmTopicArn },
      region,
      registry,
      network,
      cells: props.cells.map(({ cell }) => cell),
      secrets,
      key,
    });
    new CfnOutput(this, 'BackupBucketName', { value: backups.bucket.bucket.bucketName });
    new CfnOutput(this, 'BackupStateMachineArn', { value: backups.stateMachine.stateMachineArn });
    new CfnOutput(this, 'FleetBackupStateMachineArn', { value: backups.fleet.stateMachineArn });
  }
}
