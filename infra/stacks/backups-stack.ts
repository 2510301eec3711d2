import { CfnOutput, Stack } from 'aws-cdk-lib';
import type { Construct } from 'constructs';
import { AuditChain } from '../constructs/audit-chain.ts';
import { Backups } from '../constructs/backups.ts';
import { Exports } from '../constructs/exports.ts';
import { regionalStackName } from '../constructs/region-names.ts';
import type { RegionalStackProps } from './api-stack.ts';
import { stackProps, tagStack } from './stack-props.ts';

/** Backups and exports of a region's tenants: the bucket, and the workflows that write and delete its objects. */
export class BackupsStack extends Stack {
  readonly backups: Backups;

  constructor(scope: Construct, props: RegionalStackProps) {
    const { config, region } = props;
    const description = `Strata: backups of region ${region.key}`;
    super(scope, regionalStackName(region.key, 'backups'), stackProps(region, description, config));
    tagStack(this, 'data-plane', region, config);
    const { key, network, secrets } = props.network;
    const { registry, alarmTopicArn } = props.controlPlane;
    for (const cell of props.cells) this.addStackDependency(cell);
    const settings = { config, bundle: props.bundle, alarmTopicArn };
    this.backups = new Backups(this, 'Backups', {
      settings,
      region,
      registry,
      network,
      cells: props.cells.map(({ cell }) => cell),
      secrets,
      key,
    });
    new AuditChain(this, 'AuditChain', { settings, region, task: this.backups.data });
    const exports = new Exports(this, 'Exports', { settings, region, registry, backups: this.backups });
    new CfnOutput(this, 'BackupBucketName', { value: this.backups.bucket.bucket.bucketName });
    new CfnOutput(this, 'BackupStateMachineArn', { value: this.backups.stateMachine.stateMachineArn });
    new CfnOutput(this, 'ExportStateMachineArn', { value: exports.stateMachine.stateMachineArn });
    new CfnOutput(this, 'FleetBackupStateMachineArn', { value: this.backups.fleet.stateMachineArn });
  }
}
