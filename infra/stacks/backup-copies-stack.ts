import { Stack } from 'aws-cdk-lib';
import type { Construct } from 'constructs';
import type { RegionConfig } from '../config.ts';
import { BackupBucket } from '../constructs/backup-bucket.ts';
import { DataKey } from '../constructs/data-key.ts';
import {
  backupCopiesBucketName,
  backupCopiesKeyAlias,
  regionalStackName,
} from '../constructs/region-names.ts';
import { type SharedSettings, stackProps, tagStack } from './stack-props.ts';

/**
 * The bucket for copies of a region's backups, in another AWS region. S3 replicates backups into it as the policy says.
 * The source bucket refers to this bucket by name, so this stack must be deployed first.
 */
export class BackupCopiesStack extends Stack {
  /** @param awsRegion the region of the copies, such as `us-west-2`. */
  constructor(scope: Construct, region: RegionConfig, awsRegion: string, { config }: SharedSettings) {
    const description = `Strata: copies of the backups of region ${region.key}`;
    const there = { ...region, awsRegion };
    super(scope, regionalStackName(region.key, 'backup-copies'), stackProps(there, description, config));
    tagStack(this, 'data-plane', region, config);
    const key = new DataKey(this, 'Key', { description: `Strata ${region.key}: copies of backups` });
    key.addAlias(backupCopiesKeyAlias(region.key));
    new BackupBucket(this, 'Copies', {
      key,
      logRetentionDays: config.logRetentionDays,
      bucketName: backupCopiesBucketName(region.key, this.account),
      versioned: true,
      ...(config.backups.objectLock ? { objectLock: config.backups.objectLock } : {}),
    });
  }
}
