/**
 * Resource types and condition keys of each action, from AWS's service authorization reference as of 2026-09-26
 * (https://docs.aws.amazon.com/service-authorization/latest/reference/). It has the actions that functions, state
 * machines and CloudFormation's service roles call here. A missing action is denied: add its row.
 *
 * - An action without a resource type is authorized on `*` only, so a statement that names an ARN does not grant it.
 * - A call needs the action on every type with a star, and on each of the other types that it names.
 * - A condition key that neither the action nor the type of the resource has is not in the request.
 */
import { matchesWildcard } from './policy-document.ts';

/** The file that a refusal refers to. */
export const AUTHORIZATION_TABLE = 'infra/local/aws/iam/service-authorization.ts';

/** ARN of a type, and the condition keys that come from the resource. `/` at the end stands for any tag key. */
interface ResourceType {
  readonly arn: string;
  readonly keys: readonly string[];
}

interface Row {
  /** In the reference's notation: a star marks the types that every call needs. */
  readonly takes: string;
  readonly keys?: readonly string[];
}

const TAGGED = ['aws:ResourceTag/'];
const REQUEST_TAGS = ['aws:RequestTag/', 'aws:TagKeys'];

const ofType = (service: string, resource: string, keys: readonly string[] = TAGGED): ResourceType => ({
  arn: `arn:*:${service}:*:*:${resource}`,
  keys,
});
const rdsType = (name: string, tagKey?: string) =>
  ofType('rds', `${name}:*`, tagKey === undefined ? TAGGED : [...TAGGED, `rds:${tagKey}/`]);

const TYPES: Readonly<Record<string, Readonly<Record<string, ResourceType>>>> = {
  rds: {
    cluster: rdsType('cluster', 'cluster-tag'),
    'cluster-pg': rdsType('cluster-pg', 'cluster-pg-tag'),
    'cluster-snapshot': rdsType('cluster-snapshot', 'cluster-snapshot-tag'),
    'cluster-auto-backup': rdsType('cluster-auto-backup'),
    db: rdsType('db', 'db-tag'),
    'global-cluster': rdsType('global-cluster'),
    og: rdsType('og', 'og-tag'),
    pg: rdsType('pg', 'pg-tag'),
    proxy: rdsType('db-proxy'),
    'proxy-endpoint': rdsType('db-proxy-endpoint'),
    secgrp: rdsType('secgrp', 'secgrp-tag'),
    snapshot: rdsType('snapshot', 'snapshot-tag'),
    subgrp: rdsType('subgrp', 'subgrp-tag'),
    'target-group': rdsType('target-group'),
  },
  'rds-data': { cluster: ofType('rds', 'cluster:*') },
  secretsmanager: {
    Secret: ofType('secretsmanager', 'secret:*', [...TAGGED, 'secretsmanager:ResourceTag/']),
  },
  kms: {
    key: ofType('kms', 'key/*', [
      ...TAGGED,
      'kms:KeySpec',
      'kms:KeyUsage',
      'kms:MultiRegion',
      'kms:MultiRegionKeyType',
      'kms:ResourceAliases',
    ]),
    alias: ofType('kms', 'alias/*', []),
  },
  logs: {
    'log-group': ofType('logs', 'log-group:*'),
    'log-stream': ofType('logs', 'log-group:*:log-stream:*'),
  },
  cloudwatch: { alarm: ofType('cloudwatch', 'alarm:*'), dataset: ofType('cloudwatch', 'dataset/*') },
  ec2: {
    vpc: ofType('ec2', 'vpc/*'),
    'network-interface': ofType('ec2', 'network-interface/*'),
    'security-group': ofType('ec2', 'security-group/*'),
    subnet: ofType('ec2', 'subnet/*'),
  },
  iam: { role: ofType('iam', 'role/*', [...TAGGED, 'iam:ResourceTag/']) },
  cloudformation: { stack: ofType('cloudformation', 'stack/*') },
  s3: { object: ofType('s3', '*/*'), bucket: ofType('s3', '*') },
  states: {
    statemachine: ofType('states', 'stateMachine:*'),
    execution: ofType('states', 'execution:*'),
  },
  'cognito-idp': { userpool: ofType('cognito-idp', 'userpool/*') },
  events: {
    // On the default bus and on others: `rule/NAME` and `rule/BUS/NAME`.
    rule: ofType('events', 'rule/*'),
    'event-bus': ofType('events', 'event-bus/*'),
  },
  lambda: { function: ofType('lambda', 'function:*') },
  scheduler: { schedule: ofType('scheduler', 'schedule/*', []) },
  servicequotas: { quota: ofType('servicequotas', '*', []) },
  sns: { topic: ofType('sns', '*') },
  sqs: { queue: ofType('sqs', '*') },
};

const ANYTHING: Row = { takes: '' };
const RDS_NEW = [...REQUEST_TAGS, 'rds:req-tag/'];
const TAGGABLE =
  'cluster cluster-auto-backup cluster-pg cluster-snapshot db global-cluster og pg proxy proxy-endpoint secgrp snapshot subgrp target-group';
const SECRET = ['secretsmanager:SecretId', 'secretsmanager:SecretPrimaryRegion'];
const secret = (...keys: string[]): Row => ({ takes: 'Secret*', keys: [...SECRET, ...keys] });
const CRYPTOGRAPHY: Row = {
  takes: 'key*',
  keys: [
    'kms:CallerAccount',
    'kms:EncryptionAlgorithm',
    'kms:EncryptionContext:',
    'kms:EncryptionContextKeys',
    'kms:RequestAlias',
    'kms:ViaService',
  ],
};
const SIGNATURE: Row = {
  takes: 'key*',
  keys: [
    'kms:CallerAccount',
    'kms:MessageType',
    'kms:RequestAlias',
    'kms:SigningAlgorithm',
    'kms:ViaService',
  ],
};
const KEY_CALL = ['kms:CallerAccount', 'kms:ViaService'];
const STACK_KEYS = ['cloudformation:ResourceTypes', 'cloudformation:RoleArn', 'cloudformation:TemplateUrl'];

const USER_POOL: Row = { takes: 'userpool*' };

const ACTIONS: Readonly<Record<string, Readonly<Record<string, Row>>>> = {
  'cognito-idp': {
    AdminAddUserToGroup: USER_POOL,
    AdminCreateUser: USER_POOL,
    AdminDeleteUser: USER_POOL,
    AdminDisableUser: USER_POOL,
    AdminEnableUser: USER_POOL,
    AdminGetUser: USER_POOL,
    AdminListGroupsForUser: USER_POOL,
    AdminRemoveUserFromGroup: USER_POOL,
    ListUsers: USER_POOL,
  },
  rds: {
    CreateDBCluster: {
      takes: 'cluster* cluster-pg* db global-cluster og* subgrp*',
      keys: [...RDS_NEW, 'rds:DatabaseEngine', 'rds:DatabaseName', 'rds:StorageEncrypted'],
    },
    ModifyDBCluster: { takes: 'cluster* cluster-pg og pg' },
    DeleteDBCluster: { takes: 'cluster* cluster-snapshot*' },
    CreateDBInstance: {
      takes: 'cluster db* og pg secgrp subgrp',
      keys: [...RDS_NEW, 'rds:PubliclyAccessible'],
    },
    ModifyDBInstance: { takes: 'db* og pg secgrp subgrp' },
    DeleteDBInstance: { takes: 'db*' },
    RebootDBInstance: { takes: 'db*' },
    CreateDBSubnetGroup: { takes: 'subgrp*', keys: RDS_NEW },
    ModifyDBSubnetGroup: { takes: 'subgrp*' },
    DeleteDBSubnetGroup: { takes: 'subgrp*' },
    CreateDBClusterParameterGroup: { takes: 'cluster-pg*', keys: RDS_NEW },
    ModifyDBClusterParameterGroup: { takes: 'cluster-pg*' },
    ResetDBClusterParameterGroup: { takes: 'cluster-pg*' },
    DeleteDBClusterParameterGroup: { takes: 'cluster-pg*' },
    DescribeDBClusterParameters: { takes: 'cluster-pg*' },
    DescribeEngineDefaultClusterParameters: ANYTHING,
    CreateDBProxy: { takes: '', keys: REQUEST_TAGS },
    ModifyDBProxy: { takes: 'proxy*' },
    DeleteDBProxy: { takes: 'proxy*' },
    CreateDBProxyEndpoint: { takes: 'proxy* proxy-endpoint*', keys: REQUEST_TAGS },
    ModifyDBProxyEndpoint: { takes: 'proxy-endpoint*' },
    DeleteDBProxyEndpoint: { takes: 'proxy-endpoint*' },
    ModifyDBProxyTargetGroup: { takes: 'target-group*' },
    RegisterDBProxyTargets: { takes: 'db target-group*' },
    DeregisterDBProxyTargets: { takes: 'cluster* db* proxy* target-group*' },
    AddTagsToResource: { takes: TAGGABLE, keys: [...RDS_NEW, 'rds:TagsFromRequest'] },
    RemoveTagsFromResource: { takes: TAGGABLE, keys: RDS_NEW },
    ListTagsForResource: { takes: TAGGABLE },
    CreateDBClusterSnapshot: { takes: 'cluster* cluster-snapshot*', keys: RDS_NEW },
    DeleteDBClusterSnapshot: { takes: 'cluster-snapshot*' },
    DescribeDBClusterSnapshots: { takes: 'cluster cluster-snapshot' },
    RestoreDBClusterToPointInTime: {
      takes: 'cluster* cluster-auto-backup cluster-pg* og* subgrp*',
      keys: RDS_NEW,
    },
    RestoreDBClusterFromSnapshot: {
      takes: 'cluster* cluster-pg* cluster-snapshot og* snapshot subgrp*',
      keys: RDS_NEW,
    },
    DescribeDBClusters: { takes: 'cluster' },
    DescribeDBInstances: { takes: 'db' },
    DescribeDBSubnetGroups: { takes: 'subgrp' },
    DescribeDBClusterParameterGroups: { takes: 'cluster-pg' },
    DescribeDBProxies: { takes: 'proxy' },
    DescribeDBProxyEndpoints: { takes: 'proxy* proxy-endpoint*' },
    DescribeDBProxyTargetGroups: { takes: 'proxy*' },
    DescribeDBProxyTargets: { takes: 'proxy* target-group*' },
    DescribeGlobalClusters: { takes: 'global-cluster' },
    DescribeEvents: ANYTHING,
    DescribeDBEngineVersions: ANYTHING,
    DescribeAccountAttributes: ANYTHING,
  },
  'rds-data': {
    ExecuteStatement: { takes: 'cluster*' },
    BatchExecuteStatement: { takes: 'cluster*' },
    BeginTransaction: { takes: 'cluster*' },
    CommitTransaction: { takes: 'cluster*' },
    RollbackTransaction: { takes: 'cluster*' },
  },
  secretsmanager: {
    CreateSecret: {
      takes: 'Secret*',
      keys: [
        ...REQUEST_TAGS,
        'secretsmanager:Description',
        'secretsmanager:KmsKeyArn',
        'secretsmanager:KmsKeyId',
        'secretsmanager:Name',
      ],
    },
    GetSecretValue: secret('secretsmanager:VersionId', 'secretsmanager:VersionStage'),
    PutSecretValue: secret(),
    UpdateSecret: secret('secretsmanager:Description', 'secretsmanager:KmsKeyArn', 'secretsmanager:KmsKeyId'),
    DescribeSecret: secret(),
    ListSecretVersionIds: secret(),
    UpdateSecretVersionStage: secret('secretsmanager:VersionStage'),
    DeleteSecret: secret('secretsmanager:ForceDeleteWithoutRecovery', 'secretsmanager:RecoveryWindowInDays'),
    RestoreSecret: secret(),
    TagResource: secret(...REQUEST_TAGS),
    UntagResource: secret('aws:TagKeys'),
    ListSecrets: ANYTHING,
    GetRandomPassword: ANYTHING,
  },
  kms: {
    Encrypt: CRYPTOGRAPHY,
    Decrypt: CRYPTOGRAPHY,
    GenerateDataKey: CRYPTOGRAPHY,
    GenerateDataKeyWithoutPlaintext: CRYPTOGRAPHY,
    ReEncryptFrom: CRYPTOGRAPHY,
    ReEncryptTo: CRYPTOGRAPHY,
    CreateKey: {
      takes: '',
      keys: [
        ...REQUEST_TAGS,
        ...KEY_CALL,
        'kms:BypassPolicyLockoutSafetyCheck',
        'kms:KeySpec',
        'kms:KeyUsage',
        'kms:MultiRegion',
        'kms:MultiRegionKeyType',
      ],
    },
    ReplicateKey: { takes: 'key*', keys: [...KEY_CALL, 'kms:PrimaryRegion', 'kms:ReplicaRegion'] },
    TagResource: { takes: 'key*', keys: [...REQUEST_TAGS, ...KEY_CALL] },
    CreateAlias: { takes: 'alias* key*', keys: KEY_CALL },
    DeleteAlias: { takes: 'alias* key*', keys: KEY_CALL },
    Sign: SIGNATURE,
    Verify: SIGNATURE,
    GetPublicKey: { takes: 'key*', keys: [...KEY_CALL, 'kms:RequestAlias'] },
    EnableKeyRotation: { takes: 'key*', keys: KEY_CALL },
    GetKeyRotationStatus: { takes: 'key*', keys: KEY_CALL },
    DisableKey: { takes: 'key*', keys: KEY_CALL },
    EnableKey: { takes: 'key*', keys: KEY_CALL },
    ScheduleKeyDeletion: {
      takes: 'key*',
      keys: [...KEY_CALL, 'kms:ScheduleKeyDeletionPendingWindowInDays'],
    },
    CancelKeyDeletion: { takes: 'key*', keys: KEY_CALL },
    ListResourceTags: { takes: 'key*', keys: KEY_CALL },
    CreateGrant: {
      takes: 'key*',
      keys: [
        'kms:CallerAccount',
        'kms:EncryptionContext:',
        'kms:EncryptionContextKeys',
        'kms:GrantIsForAWSResource',
        'kms:GrantOperations',
        'kms:GranteePrincipal',
        'kms:ViaService',
      ],
    },
    DescribeKey: { takes: 'key*', keys: ['kms:CallerAccount', 'kms:RequestAlias', 'kms:ViaService'] },
  },
  logs: {
    CreateLogGroup: { takes: 'log-group*', keys: REQUEST_TAGS },
    DeleteLogGroup: { takes: 'log-group*' },
    PutRetentionPolicy: { takes: 'log-group*' },
    DeleteRetentionPolicy: { takes: 'log-group*' },
    TagResource: { takes: 'log-group', keys: REQUEST_TAGS },
    UntagResource: { takes: 'log-group', keys: ['aws:TagKeys'] },
    ListTagsForResource: { takes: 'log-group' },
    DescribeLogGroups: ANYTHING,
    FilterLogEvents: { takes: 'log-group*' },
    StartQuery: { takes: 'log-group*' },
    GetQueryResults: ANYTHING,
    StopQuery: ANYTHING,
    DescribeLogStreams: { takes: 'log-group*' },
    CreateLogStream: { takes: 'log-stream*' },
    PutLogEvents: { takes: 'log-stream*' },
    // Step Functions calls these with a state machine's role.
    CreateLogDelivery: ANYTHING,
    GetLogDelivery: ANYTHING,
    UpdateLogDelivery: ANYTHING,
    DeleteLogDelivery: ANYTHING,
    ListLogDeliveries: ANYTHING,
    PutResourcePolicy: ANYTHING,
    DescribeResourcePolicies: ANYTHING,
  },
  cloudwatch: {
    PutMetricAlarm: { takes: 'alarm* dataset', keys: [...REQUEST_TAGS, 'cloudwatch:AlarmActions'] },
    DeleteAlarms: { takes: 'alarm*' },
    DescribeAlarms: { takes: 'alarm*' },
    TagResource: { takes: 'alarm dataset', keys: REQUEST_TAGS },
    UntagResource: { takes: 'alarm dataset', keys: ['aws:TagKeys'] },
    ListTagsForResource: { takes: 'alarm dataset' },
    PutMetricData: { takes: 'dataset', keys: ['cloudwatch:namespace'] },
  },
  ec2: {
    DescribeAvailabilityZones: ANYTHING,
    DescribeSecurityGroups: ANYTHING,
    DescribeSubnets: ANYTHING,
    DescribeVpcs: ANYTHING,
    DescribeVpcAttribute: { takes: 'vpc*' },
    // Lambda calls these with a function's role.
    CreateNetworkInterface: { takes: 'network-interface* security-group subnet*' },
    DescribeNetworkInterfaces: ANYTHING,
    DeleteNetworkInterface: { takes: 'network-interface*' },
    AssignPrivateIpAddresses: { takes: 'network-interface*' },
    UnassignPrivateIpAddresses: { takes: 'network-interface*' },
  },
  iam: {
    PassRole: { takes: 'role*', keys: ['iam:AssociatedResourceArn', 'iam:PassedToService'] },
    CreateServiceLinkedRole: { takes: 'role*', keys: ['iam:AWSServiceName'] },
  },
  cloudformation: {
    CreateStack: { takes: 'stack*', keys: [...REQUEST_TAGS, ...STACK_KEYS] },
    UpdateStack: { takes: 'stack*', keys: [...REQUEST_TAGS, ...STACK_KEYS] },
    DeleteStack: { takes: 'stack*', keys: ['cloudformation:RoleArn'] },
    TagResource: { takes: 'stack', keys: [...REQUEST_TAGS, 'cloudformation:CreateAction'] },
    DescribeStacks: { takes: 'stack' },
    DescribeStackEvents: { takes: 'stack*' },
    DescribeStackResources: { takes: 'stack*' },
    ListStackResources: { takes: 'stack*' },
    GetTemplate: { takes: 'stack*' },
    UpdateTerminationProtection: { takes: 'stack*' },
    ListStacks: ANYTHING,
  },
  s3: {
    GetObject: { takes: 'object' },
    PutObject: { takes: 'object' },
    DeleteObject: { takes: 'object' },
    DeleteObjectVersion: { takes: 'object', keys: ['s3:versionid'] },
    GetObjectRetention: { takes: 'object' },
    AbortMultipartUpload: { takes: 'object' },
    GetObjectAttributes: { takes: 'object*' },
    CreateBucket: { takes: 'bucket*' },
    DeleteBucket: { takes: 'bucket*' },
    GetBucketLocation: { takes: 'bucket*' },
    GetLifecycleConfiguration: { takes: 'bucket*' },
    PutLifecycleConfiguration: { takes: 'bucket*' },
    ListAllMyBuckets: ANYTHING,
    ListBucketVersions: {
      takes: 'bucket',
      keys: ['s3:prefix', 's3:delimiter', 's3:max-keys', 's3:VersionId'],
    },
    ListBucket: { takes: 'bucket', keys: ['s3:prefix', 's3:delimiter', 's3:max-keys'] },
  },
  states: {
    StartExecution: { takes: 'statemachine*', keys: ['states:StateMachineQualifier'] },
    // The reference also stars executions of Express workflows; a call names one or the other.
    DescribeExecution: { takes: 'execution*' },
    StopExecution: { takes: 'execution*' },
    RedriveExecution: { takes: 'execution*' },
    GetExecutionHistory: { takes: 'execution*' },
    DescribeStateMachineForExecution: { takes: 'execution*' },
    DescribeStateMachine: { takes: 'statemachine*', keys: ['states:StateMachineQualifier'] },
    // Or a Map Run, which is not supported here.
    ListExecutions: { takes: 'statemachine*', keys: ['states:StateMachineQualifier'] },
    ListStateMachines: ANYTHING,
  },
  // Step Functions keeps a rule of its own with the role of a state machine that waits for executions.
  events: {
    PutTargets: { takes: 'rule*', keys: ['events:TargetArn', 'events:creatorAccount', 'events:ManagedBy'] },
    PutRule: {
      takes: 'rule*',
      keys: [
        ...REQUEST_TAGS,
        'events:creatorAccount',
        'events:detail-type',
        'events:ManagedBy',
        'events:source',
      ],
    },
    DescribeRule: { takes: 'rule*', keys: ['events:creatorAccount'] },
    DeleteRule: { takes: 'rule*', keys: ['events:creatorAccount', 'events:ManagedBy'] },
    ListTargetsByRule: { takes: 'rule*', keys: ['events:creatorAccount'] },
    RemoveTargets: { takes: 'rule*', keys: ['events:creatorAccount', 'events:ManagedBy'] },
    ListRules: ANYTHING,
    ListEventBuses: ANYTHING,
    DescribeEventBus: { takes: 'event-bus' },
    PutEvents: {
      takes: 'event-bus*',
      keys: ['events:detail-type', 'events:eventBusInvocation', 'events:source'],
    },
  },
  lambda: { InvokeFunction: { takes: 'function*' }, ListFunctions: ANYTHING },
  scheduler: { GetSchedule: { takes: 'schedule*', keys: TAGGED }, ListSchedules: ANYTHING },
  servicequotas: {
    GetAWSDefaultServiceQuota: ANYTHING,
    GetServiceQuota: { takes: 'quota', keys: ['servicequotas:service'] },
  },
  sns: {
    Publish: { takes: 'topic*' },
    CreateTopic: { takes: 'topic*', keys: REQUEST_TAGS },
    DeleteTopic: { takes: 'topic*' },
    GetTopicAttributes: { takes: 'topic*' },
    SetTopicAttributes: { takes: 'topic*' },
    Subscribe: { takes: 'topic*', keys: ['sns:Endpoint', 'sns:Protocol'] },
    ConfirmSubscription: { takes: 'topic*' },
    ListSubscriptionsByTopic: { takes: 'topic*' },
    TagResource: { takes: 'topic', keys: REQUEST_TAGS },
    UntagResource: { takes: 'topic', keys: ['aws:TagKeys'] },
    ListTagsForResource: { takes: 'topic' },
    ListTopics: ANYTHING,
    ListSubscriptions: ANYTHING,
    Unsubscribe: ANYTHING,
    GetSubscriptionAttributes: ANYTHING,
    SetSubscriptionAttributes: ANYTHING,
  },
  sqs: {
    ChangeMessageVisibility: { takes: 'queue*' },
    CreateQueue: { takes: 'queue*', keys: REQUEST_TAGS },
    DeleteMessage: { takes: 'queue*' },
    DeleteQueue: { takes: 'queue*' },
    GetQueueAttributes: { takes: 'queue*' },
    GetQueueUrl: { takes: 'queue*' },
    ListQueueTags: { takes: 'queue*' },
    ListQueues: ANYTHING,
    PurgeQueue: { takes: 'queue*' },
    ReceiveMessage: { takes: 'queue*' },
    SendMessage: { takes: 'queue*' },
    SetQueueAttributes: { takes: 'queue*' },
    TagQueue: { takes: 'queue*', keys: REQUEST_TAGS },
    UntagQueue: { takes: 'queue*', keys: ['aws:TagKeys'] },
  },
  sts: { GetCallerIdentity: ANYTHING },
  xray: {
    PutTraceSegments: ANYTHING,
    PutTelemetryRecords: ANYTHING,
    GetSamplingRules: ANYTHING,
    GetSamplingTargets: ANYTHING,
  },
};

/** The resources and keys on which AWS authorizes an action. */
export interface ActionAuthorization {
  /** Names of the types that every call needs the action on. */
  readonly required: readonly string[];
  /** All its types; when empty, it is authorized on `*`. */
  readonly types: ReadonlyMap<string, ResourceType>;
  /** Condition keys that come from the request, in lower case. */
  readonly keys: readonly string[];
}

const known = new Map<string, ActionAuthorization>();
for (const [service, rows] of Object.entries(ACTIONS)) {
  for (const [name, { takes, keys = [] }] of Object.entries(rows)) {
    const names = takes.split(' ').filter(Boolean);
    known.set(`${service}:${name}`.toLowerCase(), {
      required: names.filter((one) => one.endsWith('*')).map((one) => one.slice(0, -1)),
      types: new Map(names.map((one) => one.replace('*', '')).map((one) => [one, TYPES[service]![one]!])),
      keys: keys.map((key) => key.toLowerCase()),
    });
  }
}

/** undefined for an action that is not in the table. */
export function authorizationOf(action: string): ActionAuthorization | undefined {
  return known.get(action.toLowerCase());
}

/** Name of the resource's type among those of the action; undefined when the action has none of that kind. */
export function resourceTypeOf({ types }: ActionAuthorization, resource: string): string | undefined {
  return [...types].find(([, { arn }]) => matchesWildcard(arn, resource))?.[0];
}

/** Keys that depend on the action; all other keys that begin with `aws:` are in every request. */
const BY_ACTION = /^(?:aws:(?:requesttag\/|resourcetag\/|tagkeys$)|(?!aws:)[a-z0-9-]+:)/;

/**
 * True when a request of that action on a resource of that type has the condition key.
 * @param key in lower case
 */
export function hasConditionKey(
  { keys, types }: ActionAuthorization,
  type: string | undefined,
  key: string,
): boolean {
  if (!BY_ACTION.test(key)) return true;
  const ofResource = (type === undefined ? undefined : types.get(type))?.keys ?? [];
  return [...keys, ...ofResource.map((one) => one.toLowerCase())].some((one) =>
    /[/:]$/.test(one) ? key.startsWith(one) : key === one,
  );
}
