import { ArnFormat, Duration, RemovalPolicy, Stack } from 'aws-cdk-lib';
import { Effect, Grant, type IGrantable, PolicyStatement, Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import type { IKey } from 'aws-cdk-lib/aws-kms';
import {
  BlockPublicAccess,
  Bucket,
  BucketEncryption,
  type CfnBucket,
  type IBucket,
  type LifecycleRule,
  ObjectOwnership,
} from 'aws-cdk-lib/aws-s3';
import { Construct } from 'constructs';
import { SEAL_COPIES_ROOT, SEAL_COPY_DAYS } from '../../functions/contracts/audit-copies.ts';
import {
  BACKUP_POLICY,
  BACKUP_ROOT,
  EXPORT_POLICY,
  EXPORT_ROOT,
  FORMER_VERSION_DAYS,
  TIERS,
  tierPrefix,
} from '../../functions/contracts/backup-policy.ts';
import type { Tier } from '../../functions/contracts/tenant.ts';
import type { BackupConfig } from '../config.ts';
import { acknowledgeFinding, acknowledgePattern } from './acknowledge-finding.ts';
import { backupCopiesBucketName, backupCopiesKeyAlias } from './region-names.ts';

export interface BackupBucketProps {
  readonly key: IKey;
  readonly logRetentionDays: number;
  /** Physical name, for a bucket that another stack refers to by name. */
  readonly bucketName?: string;
  readonly objectLock?: BackupConfig['objectLock'];
  /** S3 replication requires versions in both buckets. */
  readonly versioned: boolean;
}

const LIST = ['s3:ListBucket'];
/** What an offboarding erases, and with which rights. */
const ERASED_ROOTS = [BACKUP_ROOT, EXPORT_ROOT, SEAL_COPIES_ROOT];
const ERASE_OBJECTS = ['s3:DeleteObject', 's3:DeleteObjectVersion', 's3:GetObjectRetention'];
/** Longer than an execution of `tenant-backup`, which takes a day at most. */
const INCOMPLETE_UPLOAD_DAYS = 2;

/**
 * One rule for each tier and not for each tenant, because S3 allows 1,000 rules. A backup is in the folder of the tier
 * that the tenant had at the time of the backup.
 */
function lifecycleRules(versioned: boolean): LifecycleRule[] {
  return [
    ...TIERS.map((tier) => ({
      id: tier,
      prefix: tierPrefix(tier),
      expiration: Duration.days(BACKUP_POLICY[tier].retentionDays),
    })),
    { id: 'exports', prefix: EXPORT_ROOT, expiration: Duration.days(EXPORT_POLICY.retentionDays) },
    { id: 'audit-seals', prefix: SEAL_COPIES_ROOT, expiration: Duration.days(SEAL_COPY_DAYS) },
    {
      id: 'incomplete-uploads',
      abortIncompleteMultipartUploadAfter: Duration.days(INCOMPLETE_UPLOAD_DAYS),
    },
    ...(versioned
      ? [
          {
            id: 'former-versions',
            noncurrentVersionExpiration: Duration.days(FORMER_VERSION_DAYS),
            expiredObjectDeleteMarker: true,
          },
        ]
      : []),
  ];
}

/**
 * The bucket of one region's backups and exports, or of their copies in a second region. It is encrypted with a
 * customer-managed key, its objects expire by the policy of their tier, and every access is logged.
 */
export class BackupBucket extends Construct {
  readonly bucket: Bucket;
  readonly #props: BackupBucketProps;

  constructor(scope: Construct, id: string, props: BackupBucketProps) {
    super(scope, id);
    this.#props = props;
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
    const versioned = props.versioned || props.objectLock !== undefined;
    this.bucket = new Bucket(this, 'Backups', {
      ...guarded,
      ...(props.bucketName ? { bucketName: props.bucketName } : {}),
      encryption: BucketEncryption.KMS,
      encryptionKey: props.key,
      bucketKeyEnabled: true,
      versioned,
      // No default retention: each upload sets the time until which its object is locked.
      ...(props.objectLock ? { objectLockEnabled: true } : {}),
      serverAccessLogsBucket: accessLogs as IBucket,
      lifecycleRules: lifecycleRules(versioned),
    });
    acknowledgeFinding(
      accessLogs,
      'S1',
      'It is the target of the access logs; if it logged its own writes, that would never end.',
    );
  }

  /** May write, read and delete backups. */
  grantWrite(grantee: IGrantable): void {
    const { objectLock } = this.#props;
    this.#grantObjects(grantee, BACKUP_ROOT, [
      's3:PutObject',
      's3:GetObject',
      's3:AbortMultipartUpload',
      's3:DeleteObject',
      ...(objectLock ? ['s3:PutObjectRetention'] : []),
    ]);
    this.#grantList(grantee, LIST, BACKUP_ROOT);
    this.#grantKey(grantee, ['kms:GenerateDataKey', 'kms:Decrypt']);
  }

  /** May write copies of audit seals and read them back. It cannot delete them. */
  grantSealCopies(grantee: IGrantable): void {
    const { objectLock } = this.#props;
    this.#grantObjects(grantee, SEAL_COPIES_ROOT, [
      's3:PutObject',
      's3:GetObject',
      ...(objectLock ? ['s3:PutObjectRetention'] : []),
    ]);
    this.#grantList(grantee, LIST, SEAL_COPIES_ROOT);
    this.#grantKey(grantee, ['kms:GenerateDataKey', 'kms:Decrypt']);
  }

  /** May read backups. */
  grantRead(grantee: IGrantable): void {
    this.#grantObjects(grantee, BACKUP_ROOT, ['s3:GetObject']);
    this.#grantList(grantee, LIST, BACKUP_ROOT);
    this.#grantKey(grantee, ['kms:Decrypt']);
  }

  /** May read backups, and write, read and delete exports. */
  grantExport(grantee: IGrantable): void {
    this.#grantObjects(grantee, BACKUP_ROOT, ['s3:GetObject']);
    this.#grantObjects(grantee, EXPORT_ROOT, [
      's3:PutObject',
      's3:GetObject',
      's3:AbortMultipartUpload',
      's3:DeleteObject',
    ]);
    this.#grantList(grantee, LIST, EXPORT_ROOT);
    this.#grantKey(grantee, ['kms:GenerateDataKey', 'kms:Decrypt']);
  }

  /** May list and delete backups and exports, but not read them. */
  grantExpire(grantee: IGrantable): void {
    for (const root of [BACKUP_ROOT, EXPORT_ROOT]) this.#grantObjects(grantee, root, ['s3:DeleteObject']);
    this.#grantList(grantee, LIST, BACKUP_ROOT, EXPORT_ROOT);
  }

  /**
   * May list and delete all versions of backups, exports and copies of seals, and look up until when they are locked. It
   * can read none, and override no lock.
   */
  grantErase(grantee: IGrantable): void {
    for (const root of ERASED_ROOTS) this.#grantObjects(grantee, root, ERASE_OBJECTS);
    this.#grantList(grantee, ['s3:ListBucketVersions'], ...ERASED_ROOTS);
  }

  /** Replicates new objects of these tiers to the copies' bucket in the second region. */
  replicate(regionKey: string, awsRegion: string, tiers: readonly Tier[]): void {
    const stack = Stack.of(this);
    const target = `arn:${stack.partition}:s3:::${backupCopiesBucketName(regionKey, stack.account)}`;
    const targetKey = stack.formatArn({
      service: 'kms',
      region: awsRegion,
      resource: backupCopiesKeyAlias(regionKey),
      arnFormat: ArnFormat.NO_RESOURCE_NAME,
    });
    const role = new Role(this, 'Replication', {
      assumedBy: new ServicePrincipal('s3.amazonaws.com', {
        conditions: { StringEquals: { 'aws:SourceAccount': stack.account } },
      }),
      description: `Copies backups of region ${regionKey} to ${awsRegion}`,
    });
    const allow = (actions: string[], resources: string[], conditions?: Record<string, unknown>) =>
      role.addToPolicy(
        new PolicyStatement({
          effect: Effect.ALLOW,
          actions,
          resources,
          ...(conditions ? { conditions } : {}),
        }),
      );
    const source = this.bucket.bucketArn;
    allow(['s3:GetReplicationConfiguration', 's3:ListBucket'], [source]);
    const sources = tiers.map((tier) => `${source}/${tierPrefix(tier)}*`);
    const targets = tiers.map((tier) => `${target}/${tierPrefix(tier)}*`);
    allow(
      [
        's3:GetObjectVersionForReplication',
        's3:GetObjectVersionAcl',
        's3:GetObjectVersionTagging',
        's3:GetObjectRetention',
        's3:GetObjectLegalHold',
      ],
      sources,
    );
    allow(['s3:ReplicateObject', 's3:ReplicateTags'], targets);
    allow(['kms:Decrypt'], [this.#props.key.keyArn], {
      StringEquals: { 'kms:ViaService': `s3.${stack.region}.amazonaws.com` },
    });
    const anyKeyThere = stack.formatArn({
      service: 'kms',
      region: awsRegion,
      resource: 'key',
      resourceName: '*',
    });
    // The id of a key in another region is not known here, but its alias is.
    allow(['kms:Encrypt'], [anyKeyThere], {
      StringEquals: { 'kms:ViaService': `s3.${awsRegion}.amazonaws.com` },
      'ForAnyValue:StringEquals': { 'kms:ResourceAliases': backupCopiesKeyAlias(regionKey) },
    });
    for (const pattern of [...sources, ...targets]) {
      acknowledgePattern(role, pattern, 'Replication copies every backup below the folder of these tiers.');
    }
    acknowledgePattern(
      role,
      anyKeyThere,
      'Only the alias of the second region’s key is known; a condition restricts the statement to that alias.',
    );
    (this.bucket.node.defaultChild as CfnBucket).replicationConfiguration = {
      role: role.roleArn,
      rules: tiers.map((tier, priority) => ({
        id: `${tier}-to-second-region`,
        status: 'Enabled',
        priority,
        filter: { prefix: tierPrefix(tier) },
        // Both buckets expire their objects by the same rules. A deletion in this bucket must not delete the copy.
        deleteMarkerReplication: { status: 'Disabled' },
        sourceSelectionCriteria: { sseKmsEncryptedObjects: { status: 'Enabled' } },
        destination: {
          bucket: target,
          encryptionConfiguration: { replicaKmsKeyId: targetKey },
        },
      })),
    };
  }

  /** @param root BACKUP_ROOT, EXPORT_ROOT or SEAL_COPIES_ROOT */
  #grantObjects(grantee: IGrantable, root: string, actions: string[]): void {
    const { bucketArn } = this.bucket;
    const isHere = Construct.isConstruct(grantee) && Stack.of(grantee) === Stack.of(this);
    // For a grantee in another stack, a finding names the stack export, which CDK creates only after the
    // acknowledgement.
    const objects = `${isHere ? bucketArn : Stack.of(this).exportValue(bucketArn)}/${root}*`;
    acknowledgePattern(
      grantee,
      objects,
      'Objects are named at run time, after tenant and backup, export or seal; the pattern covers one folder only.',
    );
    Grant.addToPrincipal({ grantee, actions, resourceArns: [objects] });
  }

  #grantList(grantee: IGrantable, actions: string[], ...roots: string[]): void {
    Grant.addToPrincipal({
      grantee,
      actions,
      resourceArns: [this.bucket.bucketArn],
      conditions: { StringLike: { 's3:prefix': roots.map((root) => `${root}*`) } },
    });
  }

  #grantKey(grantee: IGrantable, actions: string[]): void {
    Grant.addToPrincipal({
      grantee,
      actions,
      resourceArns: [this.#props.key.keyArn],
      conditions: { StringEquals: { 'kms:ViaService': `s3.${Stack.of(this).region}.amazonaws.com` } },
    });
  }
}

/** The same as `grantErase`, for the bucket of copies in a second region: by its name, because it is in another stack there. */
export function grantEraseCopies(grantee: IGrantable & Construct, bucketName: string): void {
  const bucket = `arn:${Stack.of(grantee).partition}:s3:::${bucketName}`;
  const objects = ERASED_ROOTS.map((root) => `${bucket}/${root}*`);
  for (const pattern of objects) {
    acknowledgePattern(
      grantee,
      pattern,
      'Objects are named at run time, after tenant and backup; the pattern covers one folder only.',
    );
  }
  Grant.addToPrincipal({ grantee, actions: ERASE_OBJECTS, resourceArns: objects });
  Grant.addToPrincipal({
    grantee,
    actions: ['s3:ListBucketVersions'],
    resourceArns: [bucket],
    conditions: { StringLike: { 's3:prefix': ERASED_ROOTS.map((root) => `${root}*`) } },
  });
}
