import { Duration, RemovalPolicy } from 'aws-cdk-lib';
import type { IKey } from 'aws-cdk-lib/aws-kms';
import {
  BlockPublicAccess,
  Bucket,
  BucketEncryption,
  type IBucket,
  ObjectOwnership,
} from 'aws-cdk-lib/aws-s3';
import { Construct } from 'constructs';
import { acknowledgeFinding } from './acknowledge-finding.ts';

/** Tenants' backups of one region, encrypted with the region's key, with a record of who read them. */
export class BackupBucket extends Construct {
  readonly bucket: Bucket;

  constructor(
    scope: Construct,
    id: string,
    props: { readonly key: IKey; readonly logRetentionDays: number },
  ) {
    super(scope, id);
    const guarded = {
      blockPublicAccess: BlockPublicAccess.BLOCK_ALL,
      enforceSSL: true,
      minimumTLSVersion: 1.2,
      objectOwnership: ObjectOwnership.BUCKET_OWNER_ENFORCED,
      removalPolicy: RemovalPolicy.RETAIN,
    };
    const accessLogs = new Bucket(this, 'AccessLogs', {
      ...guarded,
      // The S3 log service cannot write to a bucket that a customer-managed key encrypts.
      encryption: BucketEncryption.S3_MANAGED,
      lifecycleRules: [{ expiration: Duration.days(props.logRetentionDays) }],
    });
    this.bucket = new Bucket(this, 'Backups', {
      ...guarded,
      encryption: BucketEncryption.KMS,
      encryptionKey: props.key,
      bucketKeyEnabled: true,
      versioned: true,
      serverAccessLogsBucket: accessLogs as IBucket,
      lifecycleRules: [
        { abortIncompleteMultipartUploadAfter: Duration.days(2) },
        // An overwritten or deleted object stays recoverable for a week, no longer: a tenant that left must be gone.
        { noncurrentVersionExpiration: Duration.days(7) },
      ],
    });
    acknowledgeFinding(
      accessLogs,
      'S1',
      'It is itself the target of the access logs; logging its own writes would never end.',
    );
  }
}
