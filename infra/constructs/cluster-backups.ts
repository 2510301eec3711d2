import { ArnFormat, RemovalPolicy, Stack } from 'aws-cdk-lib';
import { CfnBackupPlan, CfnBackupSelection, CfnBackupVault } from 'aws-cdk-lib/aws-backup';
import { PolicyDocument, PolicyStatement, Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { Construct } from 'constructs';
import { DEDICATED_NAMES } from '../../functions/contracts/names.ts';
import type { AwsBackupConfig, RegionConfig } from '../config.ts';
import { acknowledgePattern } from './acknowledge-finding.ts';
import type { Cell } from './cell.ts';
import { COMPONENT } from './dedicated-service-role.ts';

export interface ClusterBackupsProps extends AwsBackupConfig {
  readonly region: RegionConfig;
  readonly cells: readonly Cell[];
  /** Key that encrypts the vault, and the clusters. */
  readonly keyArn: string;
}

/** Days after its creation until a lock in compliance mode cannot be removed any more, the least that AWS takes. */
const COOLING_OFF_DAYS = 3;

/** The vault of a region, and of the same name in the region that it is copied to. */
export const vaultName = (regionKey: string): string => `strata-${regionKey}-clusters`;

/**
 * Snapshots of whole clusters by AWS Backup, in a vault of its own: an option, beside the continuous backup that every
 * cluster has and the backups of tenants. Dedicated databases are selected by their tag, so that those of later tenants, and
 * those that exist already, are included.
 */
export class ClusterBackups extends Construct {
  constructor(scope: Construct, id: string, props: ClusterBackupsProps) {
    super(scope, id);
    const { region, cells, keyArn, schedule, retentionDays, copyToRegion, vaultLock } = props;
    const vault = new CfnBackupVault(this, 'Vault', {
      backupVaultName: vaultName(region.key),
      encryptionKeyArn: keyArn,
      ...(vaultLock
        ? {
            lockConfiguration: {
              minRetentionDays: retentionDays,
              ...(vaultLock === 'compliance' ? { changeableForDays: COOLING_OFF_DAYS } : {}),
            },
          }
        : {}),
    });
    vault.applyRemovalPolicy(RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE);
    const copyTo = copyToRegion?.[region.key];
    const stack = Stack.of(this);
    const plan = new CfnBackupPlan(this, 'Plan', {
      backupPlan: {
        backupPlanName: vaultName(region.key),
        backupPlanRule: [
          {
            ruleName: 'clusters',
            targetBackupVault: vault.ref,
            scheduleExpression: schedule,
            // Minutes.
            startWindowMinutes: 60,
            completionWindowMinutes: 720,
            lifecycle: { deleteAfterDays: retentionDays },
            ...(copyTo
              ? {
                  copyActions: [
                    {
                      destinationBackupVaultArn: stack.formatArn({
                        service: 'backup',
                        region: copyTo,
                        resource: 'backup-vault',
                        resourceName: vaultName(region.key),
                        arnFormat: ArnFormat.COLON_RESOURCE_NAME,
                      }),
                      lifecycle: { deleteAfterDays: retentionDays },
                    },
                  ],
                }
              : {}),
          },
        ],
      },
    });
    const role = this.#role(keyArn, copyTo);
    new CfnBackupSelection(this, 'Dedicated', {
      backupPlanId: plan.ref,
      backupSelection: {
        selectionName: 'dedicated-databases',
        iamRoleArn: role.roleArn,
        resources: [this.#rds('cluster', `${DEDICATED_NAMES}*`)],
        conditions: {
          StringEquals: [{ ConditionKey: 'aws:ResourceTag/strata:component', ConditionValue: COMPONENT }],
        },
      },
    });
    new CfnBackupSelection(this, 'Cells', {
      backupPlanId: plan.ref,
      backupSelection: {
        selectionName: 'cells',
        iamRoleArn: role.roleArn,
        resources: cells.map(({ cluster }) => cluster.clusterArn),
      },
    });
  }

  /** What AWS's own policy for AWS Backup allows, for Aurora only. */
  #role(keyArn: string, copyTo: string | undefined): Role {
    const stack = Stack.of(this);
    const vaults = (region: string) =>
      stack.formatArn({
        service: 'backup',
        region,
        resource: 'backup-vault',
        resourceName: '*',
        arnFormat: ArnFormat.COLON_RESOURCE_NAME,
      });
    const clusters = this.#rds('cluster', 'strata-*');
    const snapshots = this.#rds('cluster-snapshot', 'awsbackup:*');
    const vaultPatterns = [vaults(stack.region), ...(copyTo ? [vaults(copyTo)] : [])];
    const role = new Role(this, 'Role', {
      assumedBy: new ServicePrincipal('backup.amazonaws.com', {
        conditions: { StringEquals: { 'aws:SourceAccount': stack.account } },
      }),
      description: 'AWS Backup: takes and copies snapshots of clusters',
      inlinePolicies: {
        Snapshots: new PolicyDocument({
          statements: [
            new PolicyStatement({
              actions: [
                'rds:CreateDBClusterSnapshot',
                'rds:CopyDBClusterSnapshot',
                'rds:DescribeDBClusters',
                'rds:DescribeDBClusterSnapshots',
                'rds:AddTagsToResource',
                'rds:ListTagsForResource',
              ],
              resources: [clusters, snapshots],
            }),
            new PolicyStatement({
              actions: ['rds:DeleteDBClusterSnapshot', 'rds:ModifyDBClusterSnapshotAttribute'],
              resources: [snapshots],
            }),
            new PolicyStatement({
              actions: ['backup:DescribeBackupVault', 'backup:CopyIntoBackupVault'],
              resources: vaultPatterns,
            }),
            new PolicyStatement({ actions: ['tag:GetResources'], resources: ['*'] }),
            new PolicyStatement({
              actions: [
                'kms:DescribeKey',
                'kms:Decrypt',
                'kms:GenerateDataKey',
                'kms:ReEncryptFrom',
                'kms:ReEncryptTo',
              ],
              resources: [keyArn],
            }),
            new PolicyStatement({
              actions: ['kms:CreateGrant'],
              resources: [keyArn],
              conditions: { Bool: { 'kms:GrantIsForAWSResource': 'true' } },
            }),
          ],
        }),
      },
    });
    for (const pattern of [clusters, snapshots]) {
      acknowledgePattern(role, pattern, 'Dedicated databases and snapshots are named at run time.');
    }
    for (const pattern of vaultPatterns) {
      acknowledgePattern(
        role,
        pattern,
        'AWS Backup describes the vaults of the account before it copies into one.',
      );
    }
    acknowledgePattern(
      role,
      '*',
      'Resources are looked up by their tags: that is not authorized on single resources.',
    );
    return role;
  }

  #rds(resource: string, resourceName: string): string {
    return Stack.of(this).formatArn({
      service: 'rds',
      resource,
      resourceName,
      arnFormat: ArnFormat.COLON_RESOURCE_NAME,
    });
  }
}
