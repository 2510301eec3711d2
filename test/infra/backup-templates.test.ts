/** What the templates say about backups, also what the local S3 lacks: versions, Object Lock and replication. */
import { beforeAll, describe, expect, test } from 'vitest';
import { BACKUP_POLICY, tierPrefix } from '../../functions/contracts/backup-policy.ts';
import type { Tier } from '../../functions/contracts/tenant.ts';
import { allowStatements, listOf, text } from './iam-statements.ts';
import { type Assembly, type Resource, sharedAssembly } from './synthesized-app.ts';

let plain: Assembly;
let guarded: Assembly;
beforeAll(async () => {
  [plain, guarded] = [await sharedAssembly('default'), await sharedAssembly('guardedBackups')];
});

type Placed = Resource & { readonly stack: string; readonly logicalId: string };

const ofType = (assembly: Assembly, type: string) => assembly.resources.filter(({ Type }) => Type === type);

function bucketOf(assembly: Assembly, stack = 'Strata-us-backups'): Placed {
  const [bucket, ...others] = ofType(assembly, 'AWS::S3::Bucket').filter(
    (one) => one.stack === stack && !/AccessLogs/.test(one.logicalId),
  );
  expect(others).toEqual([]);
  return bucket as Placed;
}

function functionOf(assembly: Assembly, entry: string): Placed {
  return ofType(assembly, 'AWS::Lambda::Function').find(
    ({ Properties }) => Properties.Handler === `${entry}.handler`,
  ) as Placed;
}

/** `action resource` of all that the role may do; the resource without its account and region. */
function rightsOf(assembly: Assembly, role: unknown): string[] {
  return allowStatements(assembly.resources)
    .filter(({ roles }) => roles.some((one) => text(role) === `<${one}.Arn>`))
    .flatMap(({ statement }) =>
      listOf(statement.Action).flatMap((action) =>
        listOf(statement.Resource).map((resource) => `${text(action)} ${text(resource)}`),
      ),
    );
}

const rulesOf = (bucket: Placed) =>
  (bucket.Properties.LifecycleConfiguration as { Rules: Record<string, unknown>[] }).Rules;

const expirations = (Object.entries(BACKUP_POLICY) as [Tier, { retentionDays: number }][]).map(
  ([tier, { retentionDays }]) => ({
    Prefix: tierPrefix(tier),
    ExpirationInDays: retentionDays,
    Status: 'Enabled',
  }),
);

test('one lifecycle rule for each tier deletes its folder’s objects when the days of the policy are over', () => {
  const rules = rulesOf(bucketOf(plain));
  const exports = { Prefix: 'tenant-exports/', ExpirationInDays: 7, Status: 'Enabled' };
  const seals = { Prefix: 'audit-seals/', ExpirationInDays: 2_600, Status: 'Enabled' };
  expect(rules.filter(({ Prefix }) => Prefix !== undefined)).toEqual(
    [...expirations, exports, seals].map((rule) => expect.objectContaining(rule)),
  );
  expect(expirations.map(({ ExpirationInDays }) => ExpirationInDays)).toEqual([7, 14, 35]);
  const others = rules.filter(({ Prefix }) => Prefix === undefined);
  expect(others).toMatchObject([{ AbortIncompleteMultipartUpload: { DaysAfterInitiation: 2 } }]);
});

test('the bucket is encrypted with the region’s key, closed to the public, retained, and says who read it', () => {
  const bucket = bucketOf(plain);
  const { Properties, DeletionPolicy, UpdateReplacePolicy } = bucket;
  expect([DeletionPolicy, UpdateReplacePolicy]).toEqual(['Retain', 'Retain']);
  expect(Properties).toMatchObject({
    PublicAccessBlockConfiguration: {
      BlockPublicAcls: true,
      BlockPublicPolicy: true,
      IgnorePublicAcls: true,
      RestrictPublicBuckets: true,
    },
    LoggingConfiguration: { DestinationBucketName: expect.anything() },
  });
  const [{ ServerSideEncryptionByDefault: encryption, BucketKeyEnabled }] = (
    Properties.BucketEncryption as {
      ServerSideEncryptionConfiguration: [
        { ServerSideEncryptionByDefault: Record<string, unknown>; BucketKeyEnabled: boolean },
      ];
    }
  ).ServerSideEncryptionConfiguration;
  expect([encryption.SSEAlgorithm, BucketKeyEnabled]).toEqual(['aws:kms', true]);
  expect(text(encryption.KMSMasterKeyID)).toMatch(/Strata-us-network.*Key.*Arn/);
  const policy = ofType(plain, 'AWS::S3::BucketPolicy').find(
    ({ stack, Properties: { Bucket } }) => stack === bucket.stack && text(Bucket) === `<${bucket.logicalId}>`,
  );
  expect(JSON.stringify(policy?.Properties)).toContain('"aws:SecureTransport":"false"');
});

test('without an option it has no versions: what is deleted is gone', () => {
  expect(bucketOf(plain).Properties).not.toHaveProperty('VersioningConfiguration');
  expect(bucketOf(plain).Properties).not.toHaveProperty('ObjectLockEnabled');
  expect(bucketOf(plain).Properties).not.toHaveProperty('ReplicationConfiguration');
  expect(functionOf(plain, 'tasks/backup-data').Properties.Environment).toMatchObject({
    Variables: { BACKUP_OBJECT_LOCK: '' },
  });
});

test('the task that copies writes below the folders of backups and of seals, deletes no seal, signs in as owners, and starts nothing', () => {
  const rights = rightsOf(plain, functionOf(plain, 'tasks/backup-data').Properties.Role);
  const onBucket = rights.filter((right) => right.startsWith('s3:'));
  const folder = (right: string) =>
    right.replace(/ .*\/([\w-]+)\/\*$/, ' $1').replace(/^(s3:ListBucket) .*/, '$1');
  expect(onBucket.map(folder).sort()).toEqual([
    's3:AbortMultipartUpload tenant-backups',
    's3:DeleteObject tenant-backups',
    's3:GetObject audit-seals',
    's3:GetObject tenant-backups',
    's3:ListBucket',
    's3:ListBucket',
    's3:PutObject audit-seals',
    's3:PutObject tenant-backups',
  ]);
  const secrets = rights.filter((right) => right.startsWith('secretsmanager:GetSecretValue')).join('\n');
  expect(secrets).toMatch(/owner/);
  expect(secrets).toMatch(/strata\/dedicated/);
  expect(secrets).not.toMatch(/starter|master|strata\/tenant/i);
  expect(rights.filter((right) => /^(states|lambda|rds|cloudformation):/.test(right))).toEqual([]);
});

test('the task that records and expires can read no backup and sign in to no tenant’s database', () => {
  const { Role, VpcConfig } = functionOf(plain, 'tasks/backup-registry').Properties;
  expect(VpcConfig).toBeUndefined();
  const rights = rightsOf(plain, Role);
  expect(rights.filter((right) => right.startsWith('s3:')).map((right) => right.split(' ')[0])).toEqual([
    's3:DeleteObject',
    's3:DeleteObject',
    's3:ListBucket',
  ]);
  const secrets = rights.filter((right) => right.startsWith('secretsmanager:'));
  expect(secrets.every((right) => /Writer/.test(right))).toBe(true);
  expect(rights.filter((right) => right.startsWith('states:'))).toEqual([
    expect.stringMatching(/^states:DescribeExecution .*:execution:tenant-backup:\*$/),
    expect.stringMatching(/^states:DescribeExecution .*:execution:tenant-export:\*$/),
    // They make backups of points in time.
    expect.stringMatching(/^states:DescribeExecution .*:execution:tenant-restore:\*$/),
  ]);
});

test('the task of exports reads backups, writes exports, starts backups, and signs in to no tenant’s database', () => {
  const { Role, VpcConfig } = functionOf(plain, 'tasks/export-data').Properties;
  expect(VpcConfig).toBeUndefined();
  const rights = rightsOf(plain, Role);
  const onObjects = rights.filter((right) => /^s3:\w+Object |^s3:Abort/.test(right));
  expect(onObjects.map((right) => right.replace(/ .*\/(tenant-\w+)\/\*$/, ' $1')).sort()).toEqual([
    's3:AbortMultipartUpload tenant-exports',
    's3:DeleteObject tenant-exports',
    's3:GetObject tenant-backups',
    's3:GetObject tenant-exports',
    's3:PutObject tenant-exports',
  ]);
  expect(
    rights.filter((right) => /^secretsmanager:/.test(right)).every((right) => /Writer/.test(right)),
  ).toBe(true);
  const started = rights.filter((right) => right.startsWith('states:StartExecution'));
  expect(started).toHaveLength(1);
  const backup = ofType(plain, 'AWS::StepFunctions::StateMachine').find(
    ({ Properties }) => Properties.StateMachineName === 'tenant-backup',
  );
  expect(started[0]).toBe(`states:StartExecution <${backup?.logicalId}>`);
});

test('the operators’ API can read exports of this account’s buckets, and no backup', () => {
  const rights = rightsOf(plain, functionOf(plain, 'api/tenants/handler').Properties.Role);
  expect(rights.filter((right) => right.startsWith('s3:'))).toEqual([
    expect.stringMatching(/^s3:GetObject arn:.*:s3:::strata-us-backups-\*\/tenant-exports\/\*$/),
  ]);
});

test('the task of side clusters deletes and changes nothing but them, and is in no network', () => {
  const { Role, VpcConfig } = functionOf(plain, 'tasks/restore-side').Properties;
  expect(VpcConfig).toBeUndefined();
  const rights = allowStatements(plain.resources).filter(({ roles }) =>
    roles.some((one) => text(Role) === `<${one}.Arn>`),
  );
  const changing = rights.filter(({ statement }) =>
    listOf(statement.Action).some((action) => /^rds:(Delete|Modify|Create)/.test(text(action))),
  );
  expect(changing.length).toBeGreaterThan(0);
  for (const { statement } of changing) {
    for (const resource of listOf(statement.Resource).map(text)) {
      expect(resource).toMatch(/:(cluster|db|cluster-snapshot):strata-side-\*$|:(og|pg):default\*$/);
      if (/:(cluster|db):/.test(resource)) {
        expect(JSON.stringify(statement.Condition)).toMatch(/strata:component":"side-cluster"/);
      }
    }
  }
});

test('the fleet’s role starts tenant-backup and its own groups, and no other workflow', () => {
  const fleet = ofType(plain, 'AWS::StepFunctions::StateMachine').find(
    ({ Properties }) => Properties.StateMachineName === 'fleet-backup',
  ) as Placed;
  const started = rightsOf(plain, fleet.Properties.RoleArn)
    .filter((right) => right.startsWith('states:StartExecution'))
    .map((right) => right.split(' ')[1]);
  const machines = new Map(
    ofType(plain, 'AWS::StepFunctions::StateMachine').map(({ logicalId, Properties }) => [
      `<${logicalId}>`,
      Properties.StateMachineName,
    ]),
  );
  expect(started.map((arn) => machines.get(arn as string)).sort()).toEqual(['fleet-backup', 'tenant-backup']);
});

test('the daily schedule starts the fleet’s run; recovery hears of each execution that ended badly, and looks', () => {
  const schedule = (name: string) =>
    ofType(plain, 'AWS::Scheduler::Schedule').find(({ Properties }) => Properties.Name === name)!.Properties;
  const daily = schedule('strata-us-fleet-backup');
  expect(daily.ScheduleExpression).toBe('cron(0 0 * * ? *)');
  expect(text((daily.Target as { Arn: unknown }).Arn)).toMatch(/Fleet/);
  const registry = `<${functionOf(plain, 'tasks/backup-registry').logicalId}.Arn>`;
  const recovery = schedule('strata-us-backup-recovery');
  expect(recovery.ScheduleExpression).toBe('rate(5 minutes)');
  expect(text((recovery.Target as { Arn: unknown }).Arn)).toBe(registry);
  const rule = ofType(plain, 'AWS::Events::Rule').find(({ stack }) => stack === 'Strata-us-backups')!;
  expect(rule.Properties).toMatchObject({
    EventPattern: { source: ['aws.states'], detail: { status: ['ABORTED', 'TIMED_OUT', 'FAILED'] } },
  });
  const [target] = rule.Properties.Targets as [{ Arn: unknown }];
  expect(text(target.Arn)).toBe(registry);
});

test('a tenant without a backup, an incomplete run and a recovery that fails each raise an alarm', () => {
  const alarms = ofType(plain, 'AWS::CloudWatch::Alarm').filter(({ stack }) => stack === 'Strata-us-backups');
  const metricsOf = ({ Properties }: Placed) =>
    (Properties.Metrics as { MetricStat?: { Metric: { MetricName: string; Dimensions?: unknown[] } } }[])
      .flatMap(({ MetricStat }) => (MetricStat ? [MetricStat.Metric] : []))
      .map(({ MetricName, Dimensions }) => `${MetricName} ${JSON.stringify(Dimensions ?? [])}`)
      .join('\n');
  const [backup, fleet] = ['tenant-backup:', 'fleet-backup:'].map((name) =>
    alarms.find(({ Properties }) => String(Properties.AlarmDescription).startsWith(name)),
  ) as [Placed, Placed];
  expect(metricsOf(backup)).toMatch(/ExecutionsFailed .*Workflow/);
  expect(metricsOf(backup)).toMatch(/ExecutionsTimedOut .*Workflow/);
  expect(metricsOf(backup)).toMatch(/BackupRecoveryAlerts/);
  expect(metricsOf(fleet)).toMatch(/ExecutionsFailed .*Fleet/);
  expect(metricsOf(fleet)).toMatch(/ExecutionsTimedOut .*Fleet/);
  for (const { Properties } of [backup, fleet]) expect(Properties.AlarmActions).toHaveLength(1);
  const [filter] = ofType(plain, 'AWS::Logs::MetricFilter').filter(
    ({ stack }) => stack === 'Strata-us-backups',
  );
  expect(filter?.Properties.FilterPattern).toContain('BackupRecoveryAlert');
  const { LogGroup } = functionOf(plain, 'tasks/backup-registry').Properties.LoggingConfig as {
    LogGroup: unknown;
  };
  expect(filter?.Properties.LogGroupName).toEqual(LogGroup);
});

describe('with Object Lock and a second region', () => {
  test('the bucket locks objects, each until its own date, and keeps versions for a week', () => {
    const { Properties } = bucketOf(guarded);
    expect(Properties).toMatchObject({
      ObjectLockEnabled: true,
      VersioningConfiguration: { Status: 'Enabled' },
    });
    // A default would lock what was not completed, too.
    expect(Properties).not.toHaveProperty('ObjectLockConfiguration');
    expect(rulesOf(bucketOf(guarded))).toContainEqual(
      expect.objectContaining({
        NoncurrentVersionExpiration: { NoncurrentDays: 7 },
        ExpiredObjectDeleteMarker: true,
      }),
    );
    const task = functionOf(guarded, 'tasks/backup-data').Properties;
    expect(task.Environment).toMatchObject({ Variables: { BACKUP_OBJECT_LOCK: 'COMPLIANCE' } });
    expect(rightsOf(guarded, task.Role)).toContainEqual(
      expect.stringMatching(/^s3:PutObjectRetention .*\/tenant-backups\/\*$/),
    );
    expect(rightsOf(plain, functionOf(plain, 'tasks/backup-data').Properties.Role).join()).not.toContain(
      'PutObjectRetention',
    );
  });

  test('Enterprise and Business backups are copied to a bucket there, encrypted with a key of that region', () => {
    const { Role: role, Rules } = bucketOf(guarded).Properties.ReplicationConfiguration as {
      Role: unknown;
      Rules: Record<string, unknown>[];
    };
    expect(Rules.map(({ Filter }) => Filter)).toEqual([
      { Prefix: 'tenant-backups/business/' },
      { Prefix: 'tenant-backups/enterprise/' },
    ]);
    for (const rule of Rules) {
      expect(rule).toMatchObject({
        Status: 'Enabled',
        DeleteMarkerReplication: { Status: 'Disabled' },
        SourceSelectionCriteria: { SseKmsEncryptedObjects: { Status: 'Enabled' } },
      });
      const { Bucket, EncryptionConfiguration } = rule.Destination as {
        Bucket: unknown;
        EncryptionConfiguration: { ReplicaKmsKeyID: unknown };
      };
      expect(text(Bucket)).toMatch(/:s3:::strata-us-backup-copies-/);
      expect(text(EncryptionConfiguration.ReplicaKmsKeyID)).toMatch(
        /:kms:us-west-2:.*:alias\/strata-us-backup-copies$/,
      );
    }
    expect(new Set(Rules.map(({ Priority }) => Priority)).size).toBe(2);
    const rights = rightsOf(guarded, role);
    expect(rights.filter((right) => right.startsWith('s3:ReplicateObject'))).toEqual([
      expect.stringMatching(/backup-copies-.*\/tenant-backups\/business\/\*$/),
      expect.stringMatching(/backup-copies-.*\/tenant-backups\/enterprise\/\*$/),
    ]);
    expect(rights.filter((right) => /Delete/.test(right))).toEqual([]);
  });

  test('the second bucket exists first, with the same lock, versions and expiry', () => {
    expect(guarded.dependencies('Strata-us-backups')).toContain('Strata-us-backup-copies');
    const copies = bucketOf(guarded, 'Strata-us-backup-copies');
    expect(text(copies.Properties.BucketName)).toBe('strata-us-backup-copies-<AWS::AccountId>');
    expect(copies.Properties).toMatchObject({
      ObjectLockEnabled: true,
      VersioningConfiguration: { Status: 'Enabled' },
    });
    expect(rulesOf(copies)).toEqual(rulesOf(bucketOf(guarded)));
    const [alias] = ofType(guarded, 'AWS::KMS::Alias').filter(({ stack }) => stack === copies.stack);
    expect(alias?.Properties.AliasName).toBe('alias/strata-us-backup-copies');
  });
});

describe('snapshots of clusters by AWS Backup', () => {
  test('are off unless the configuration wants them', () => {
    expect(plain.resources.filter(({ Type }) => Type.startsWith('AWS::Backup::'))).toEqual([]);
  });

  test('are kept in a locked vault that is encrypted with our key and outlives its stack', () => {
    const [vault] = ofType(guarded, 'AWS::Backup::BackupVault') as Placed[];
    expect(vault).toMatchObject({
      stack: 'Strata-us-fleet',
      DeletionPolicy: 'RetainExceptOnCreate',
      Properties: { BackupVaultName: 'strata-us-clusters', LockConfiguration: { MinRetentionDays: 35 } },
    });
    expect(text(vault?.Properties.EncryptionKeyArn)).toMatch(/Key/);
  });

  test('are taken by schedule of the cells and of whatever dedicated database has its tag, and copied', () => {
    const [plan] = ofType(guarded, 'AWS::Backup::BackupPlan') as Placed[];
    const { BackupPlanRule } = plan!.Properties.BackupPlan as { BackupPlanRule: Record<string, unknown>[] };
    expect(BackupPlanRule).toHaveLength(1);
    expect(BackupPlanRule[0]).toMatchObject({
      ScheduleExpression: 'cron(0 3 * * ? *)',
      Lifecycle: { DeleteAfterDays: 35 },
      CopyActions: [{ Lifecycle: { DeleteAfterDays: 35 } }],
    });
    expect(
      text(
        (BackupPlanRule[0]!.CopyActions as { DestinationBackupVaultArn: unknown }[])[0]!
          .DestinationBackupVaultArn,
      ),
    ).toMatch(/:backup:us-west-2:.*:backup-vault:strata-us-clusters$/);
    const selections = ofType(guarded, 'AWS::Backup::BackupSelection').map(
      ({ Properties }) => Properties.BackupSelection as Record<string, unknown>,
    );
    expect(selections).toHaveLength(2);
    const [dedicated, cells] = selections;
    expect(listOf(dedicated?.Resources).map(text)).toEqual([
      expect.stringMatching(/:cluster:strata-tenant-\*$/),
    ]);
    expect(dedicated?.Conditions).toEqual({
      StringEquals: [
        { ConditionKey: 'aws:ResourceTag/strata:component', ConditionValue: 'dedicated-database' },
      ],
    });
    expect(listOf(cells?.Resources)).toHaveLength(1);
  });

  test('are taken with rights on our clusters, and on AWS Backup’s own snapshots', () => {
    const [role] = ofType(guarded, 'AWS::IAM::Role').filter(
      ({ Properties }) => Properties.Description === 'AWS Backup: takes and copies snapshots of clusters',
    );
    const { Statement } = (
      role!.Properties.Policies as { PolicyDocument: { Statement: Record<string, unknown>[] } }[]
    )[0]!.PolicyDocument;
    const deleting = Statement.filter(({ Action }) => listOf(Action).includes('rds:DeleteDBClusterSnapshot'));
    expect(deleting.flatMap(({ Resource }) => listOf(Resource).map(text))).toEqual([
      expect.stringMatching(/:cluster-snapshot:awsbackup:\*$/),
    ]);
    expect(
      Statement.flatMap(({ Action }) => listOf(Action)).filter((action) =>
        /Restore|DeleteDBCluster$/.test(String(action)),
      ),
    ).toEqual([]);
  });
});

describe('keys of encrypted fields, where backups are copied to a second region', () => {
  const worker = (assembly: Assembly) => functionOf(assembly, 'tasks/rotate-fields').Properties;
  const variables = (assembly: Assembly) =>
    (worker(assembly).Environment as { Variables: Record<string, unknown> }).Variables;
  const statementsWith = (assembly: Assembly, action: string) =>
    allowStatements(assembly.resources).filter(({ statement }) =>
      listOf(statement.Action).map(text).includes(action),
    );

  test('the region has a multi-Region key, and its key of before decrypts only what it has encrypted', () => {
    const keys = (assembly: Assembly) =>
      ofType(assembly, 'AWS::KMS::Key').filter(({ Properties }) =>
        /encrypted fields/.test(String(Properties.Description)),
      );
    expect(keys(plain).map(({ Properties }) => Properties.MultiRegion)).toEqual([undefined]);
    expect(keys(guarded).map(({ Properties }) => Properties.MultiRegion)).toEqual([undefined, true]);
    // A changed logical id would replace the key.
    expect(keys(guarded)[0]?.logicalId).toBe(keys(plain)[0]?.logicalId);
    const aliases = ofType(guarded, 'AWS::KMS::Alias').filter(({ Properties }) =>
      text(Properties.TargetKeyId).includes(String(keys(guarded)[1]?.logicalId)),
    );
    expect(aliases.map(({ Properties }) => Properties.AliasName)).toEqual([
      'alias/strata-us-fields-multi-region',
    ]);
    expect(text(variables(guarded).FIELD_KEY_ARN)).toContain(String(keys(guarded)[1]?.logicalId));
  });

  test('the worker alone copies keys, of the region and of tenants, to that region only', () => {
    expect([variables(plain).KEY_COPIES_REGION, variables(guarded).KEY_COPIES_REGION]).toEqual([
      undefined,
      'us-west-2',
    ]);
    expect(statementsWith(plain, 'kms:ReplicateKey')).toEqual([]);
    const copying = statementsWith(guarded, 'kms:ReplicateKey');
    const there = { 'kms:ReplicaRegion': 'us-west-2' };
    expect(copying.map(({ statement }) => statement.Condition)).toEqual([
      { StringEquals: there },
      { StringEquals: { ...there, 'aws:ResourceTag/strata:component': 'tenant-field-key' } },
    ]);
    for (const { roles } of copying)
      expect(roles.map((role) => `<${role}.Arn>`)).toEqual([text(worker(guarded).Role)]);
  });

  test('functions that open fields decrypt with copies that are in their region, for a tenant only', () => {
    const tag = { 'aws:ResourceTag/strata:component': 'field-key-copy' };
    const opening = statementsWith(plain, 'kms:Decrypt').filter(({ statement }) =>
      JSON.stringify(statement.Condition ?? {}).includes('field-key-copy'),
    );
    expect(opening.map(({ roles }) => roles.join().replace(/[0-9A-F]{8}.*/, '')).sort()).toEqual([
      'FieldRotationTaskRole',
      'PeopleRole',
      'RestoresdataRole',
    ]);
    for (const { statement } of opening) {
      expect([listOf(statement.Action), statement.Condition]).toEqual([
        ['kms:Decrypt'],
        { Null: { 'kms:EncryptionContext:tenantId': 'false' }, StringEquals: tag },
      ]);
    }
  });

  test('offboarding deletes copies of tenants’ keys, never that of the region’s; also in a former second region', () => {
    const deleting = statementsWith(plain, 'kms:ScheduleKeyDeletion').filter(({ statement }) =>
      listOf(statement.Resource).some((one) => text(one).startsWith('arn:aws:kms:*:')),
    );
    expect(deleting.map(({ statement }) => statement.Condition)).toEqual([
      {
        StringEquals: { 'aws:ResourceTag/strata:component': 'field-key-copy' },
        Null: { 'aws:ResourceTag/strata:tenant-id': 'false' },
      },
    ]);
  });
});
