import aslValidator from 'asl-validator';
import { beforeAll, expect, test } from 'vitest';
import { knownRegions } from '../../infra/config.ts';
import { allowStatements, listOf, text } from './iam-statements.ts';
import { type Assembly, type Resource, sharedAssembly } from './synthesized-app.ts';

let assembly: Assembly;
beforeAll(async () => {
  assembly = await sharedAssembly('default');
});

const ofType = (...types: string[]) => assembly.resources.filter(({ Type }) => types.includes(Type));
const functionNamed = (entry: string): Resource =>
  ofType('AWS::Lambda::Function').find(
    ({ Properties }) => Properties.Handler === `${entry}.handler`,
  ) as Resource;
const environmentOf = ({ Properties }: Resource): Record<string, unknown> =>
  (Properties.Environment as { Variables: Record<string, unknown> }).Variables;

/** The property that gives a resource a physical name, where two cannot share one. */
const PHYSICAL_NAMES: Readonly<Record<string, string>> = {
  'AWS::Cognito::UserPoolDomain': 'Domain',
  'AWS::Events::Rule': 'Name',
  'AWS::IAM::ManagedPolicy': 'ManagedPolicyName',
  'AWS::IAM::Role': 'RoleName',
  'AWS::KMS::Alias': 'AliasName',
  'AWS::Lambda::Function': 'FunctionName',
  'AWS::Logs::LogGroup': 'LogGroupName',
  'AWS::RDS::DBCluster': 'DBClusterIdentifier',
  'AWS::RDS::DBClusterParameterGroup': 'DBClusterParameterGroupName',
  'AWS::RDS::DBInstance': 'DBInstanceIdentifier',
  'AWS::RDS::DBProxy': 'DBProxyName',
  'AWS::RDS::DBSubnetGroup': 'DBSubnetGroupName',
  'AWS::S3::Bucket': 'BucketName',
  'AWS::SNS::Topic': 'TopicName',
  'AWS::Scheduler::Schedule': 'Name',
  'AWS::SecretsManager::Secret': 'Name',
  'AWS::StepFunctions::StateMachine': 'StateMachineName',
};

test('databases, keys, buckets, secrets, proxies and user pools survive their stack', () => {
  const retained = ofType(
    'AWS::RDS::DBCluster',
    'AWS::RDS::DBInstance',
    'AWS::RDS::DBProxy',
    'AWS::KMS::Key',
    'AWS::S3::Bucket',
    'AWS::SecretsManager::Secret',
    'AWS::Cognito::UserPool',
    'AWS::Logs::LogGroup',
  );
  expect(retained.length).toBeGreaterThan(20);
  for (const { stack, logicalId, DeletionPolicy, UpdateReplacePolicy } of retained) {
    expect(['Retain', 'RetainExceptOnCreate'], `${stack}/${logicalId}`).toContain(DeletionPolicy);
    expect(UpdateReplacePolicy, `${stack}/${logicalId}`).toBe('Retain');
  }
});

test('the creation of a stack can be rolled back: a cluster is protected by the last resource of its stack only', () => {
  const clusters = ofType('AWS::RDS::DBCluster');
  for (const { Properties } of clusters) expect(Properties).not.toHaveProperty('DeletionProtection');
  const protections = ofType('Custom::StrataClusterProtection');
  expect(
    protections.flatMap(({ stack, Properties }) =>
      (Properties.ClusterIdentifiers as { Ref: string }[]).map(({ Ref }) => `${stack}/${Ref}`),
    ),
  ).toEqual(clusters.map(({ stack, logicalId }) => `${stack}/${logicalId}`));
  for (const { stack, logicalId, Properties, DependsOn } of protections) {
    expect(Properties.DeletionProtection).toBe(true);
    const others = assembly.resources.filter((one) => one.stack === stack && one.logicalId !== logicalId);
    expect(others.length).toBeGreaterThan(30);
    expect(listOf(DependsOn)).toEqual(expect.arrayContaining(others.map((one) => one.logicalId)));
  }
});

test('a first deployment that failed can be repeated: what has a name of its own goes with its rollback', () => {
  const named = [
    ...assembly.resources,
    ...Object.entries(assembly.dedicated.template.Resources).map(([logicalId, resource]) => ({
      stack: 'dedicated',
      logicalId,
      ...resource,
    })),
  ].filter(({ Type, Properties }) => Properties?.[PHYSICAL_NAMES[Type] ?? ''] !== undefined);
  expect(new Set(named.map(({ Type }) => Type))).toContain('AWS::RDS::DBCluster');
  expect(named.length).toBeGreaterThan(20);
  // Absent, it is deleted; `Retain` would keep the name from the next deployment.
  for (const { stack, logicalId, DeletionPolicy } of named)
    expect([undefined, 'Delete', 'RetainExceptOnCreate'], `${stack}/${logicalId}`).toContain(DeletionPolicy);
});

test('user pools are protected against deletion', () => {
  for (const { Properties } of ofType('AWS::Cognito::UserPool')) {
    expect(Properties.DeletionProtection).toBe('ACTIVE');
  }
});

test('every cluster is encrypted with our key, has the Data API, and can go back as long as the policy of its tenants says', () => {
  const clusters = ofType('AWS::RDS::DBCluster');
  expect(clusters.map(({ Properties }) => Properties.DBClusterIdentifier)).toEqual([
    'strata-registry',
    'strata-us-1',
  ]);
  // The registry knows tenants of every tier; a cell has no Enterprise tenant.
  expect(clusters.map(({ Properties }) => Properties.BackupRetentionPeriod)).toEqual([35, 14]);
  for (const { Properties } of clusters) {
    expect(Properties).toMatchObject({
      Engine: 'aurora-postgresql',
      StorageEncrypted: true,
      EnableHttpEndpoint: true,
      EnableCloudwatchLogsExports: ['postgresql'],
      MasterUsername: 'strata_master',
    });
    expect(text(Properties.KmsKeyId)).toMatch(/Key.*Arn/);
    expect(text(Properties.MasterUserPassword)).toContain('{{resolve:secretsmanager:');
  }
});

test('parameter groups force TLS, keep statements out of logs, and let only data clusters replicate', () => {
  const groups = ofType('AWS::RDS::DBClusterParameterGroup').map(
    ({ Properties }) => Properties.Parameters as Record<string, string>,
  );
  for (const parameters of groups) {
    expect(parameters).toMatchObject({
      'rds.force_ssl': '1',
      log_statement: 'none',
      log_min_error_statement: 'panic',
    });
  }
  const [registry, cell] = groups as [Record<string, string>, Record<string, string>];
  expect(registry).not.toHaveProperty('rds.logical_replication');
  expect(cell).toMatchObject({ 'rds.logical_replication': '1', max_slot_wal_keep_size: '16384' });
});

test('clusters stay on the long-term-support minor: no instance is upgraded by itself', () => {
  const versions = ofType('AWS::RDS::DBCluster').map(({ Properties }) => Properties.EngineVersion);
  expect(new Set(versions)).toEqual(new Set(['17.7']));
  const dedicated = Object.values(assembly.dedicated.template.Resources);
  const instances = [
    ...ofType('AWS::RDS::DBInstance'),
    ...dedicated.filter(({ Type }) => Type === 'AWS::RDS::DBInstance'),
  ];
  expect(instances.length).toBeGreaterThan(2);
  for (const { Properties } of instances) expect(Properties.AutoMinorVersionUpgrade).toBe(false);
  const [cluster] = dedicated.filter(({ Type }) => Type === 'AWS::RDS::DBCluster');
  expect(cluster!.Properties.EngineVersion).toBe('17.7');
});

test('proxies require TLS and SCRAM, and their target is the cluster', () => {
  const proxies = ofType('AWS::RDS::DBProxy');
  expect(proxies).toHaveLength(1);
  for (const { Properties } of proxies) {
    expect(Properties.RequireTLS).toBe(true);
    expect(Properties.Auth).toMatchObject([
      { AuthScheme: 'SECRETS', IAMAuth: 'DISABLED', ClientPasswordAuthType: 'POSTGRES_SCRAM_SHA_256' },
    ]);
  }
});

test('every function has a role of its own, a log group with retention, and Node 24 on arm64', () => {
  const functions = ofType('AWS::Lambda::Function');
  const roles = functions.map(({ stack, Properties }) => `${stack} ${text(Properties.Role)}`);
  expect(new Set(roles).size).toBe(functions.length);
  for (const { Properties } of functions) {
    expect(Properties).toMatchObject({ Runtime: 'nodejs24.x', Architectures: ['arm64'] });
    expect(Properties.LoggingConfig).toHaveProperty('LogGroup.Ref');
  }
  for (const { Properties } of ofType('AWS::Logs::LogGroup')) expect(Properties.RetentionInDays).toBe(90);
});

test('no policy allows an action by wildcard', () => {
  for (const { where, statement } of allowStatements(assembly.resources)) {
    for (const action of listOf(statement.Action)) expect(text(action), where).not.toContain('*');
  }
});

test('only actions that know no single resource are allowed on all of them', () => {
  const open = new Set(
    allowStatements(assembly.resources)
      .filter(({ statement }) => listOf(statement.Resource).includes('*'))
      .flatMap(({ statement }) => listOf(statement.Action).map(text)),
  );
  const expected =
    /^(ec2:(Describe\w+|CreateNetworkInterface|DeleteNetworkInterface|(Una|A)ssignPrivateIpAddresses)|rds:Describe\w+|rds:CreateDBProxy|servicequotas:Get\w+|cloudformation:ListStacks|cloudwatch:DescribeAlarms|kms:CreateKey|secretsmanager:(GetRandomPassword|ListSecrets)|logs:\w*(LogDeliver|ResourcePolic|DescribeLogGroups)\w*|logs:(GetQueryResults|StopQuery)|xray:\w+)$/;
  expect([...open].filter((action) => !expected.test(action))).toEqual([]);
});

test('no function and no role uses a managed policy of AWS', () => {
  for (const { logicalId, Properties } of ofType('AWS::IAM::Role')) {
    expect(text(Properties.ManagedPolicyArns ?? ''), logicalId).not.toContain('iam::aws:policy');
  }
});

test('functions that serve requests can read no owner, master or writer secret', () => {
  for (const entry of [
    'api/assessments/handler',
    'api/audit/handler',
    'api/people/handler',
    'api/skills/handler',
    'api/users/handler',
    'tasks/accounts',
    'tasks/issue-claims',
  ]) {
    const role = text(functionNamed(entry).Properties.Role);
    const readable = allowStatements(assembly.resources)
      .filter(
        ({ roles, statement }) =>
          roles.some((one) => role.includes(one)) &&
          listOf(statement.Action).includes('secretsmanager:GetSecretValue'),
      )
      .flatMap(({ statement }) => listOf(statement.Resource).map(text));
    expect(readable.length, entry).toBeGreaterThan(0);
    for (const resource of readable) expect(resource, entry).not.toMatch(/owner|master|writer|dedicated/i);
  }
});

test('the environment of every function has only the agreed names', () => {
  const everywhere = ['DB_PIPELINE', 'DB_TLS', 'LOG_LEVEL', 'POWERTOOLS_SERVICE_NAME'];
  const registry = ['REGISTRY_CLUSTER_ARN', 'REGISTRY_SECRET_ARN', 'REGISTRY_DATABASE'];
  const launch = [
    'DEDICATED_TEMPLATE_URL',
    'DEDICATED_PARAMETERS',
    'DEDICATED_SIZES',
    'CLOUDFORMATION_ROLE_ARN',
    'DELETION_PROTECTION',
  ];
  const regions = ['REGION_KEY', 'REGISTRIES'];
  // The function of a cell works for that cell.
  const ofCell = (stack: string, entry: string) =>
    stack.includes('-cell-') && entry === 'tasks/reconcile-proxy-auth' ? ['CELL_ID'] : [];
  const reachesFurther =
    /^(?:api\/tenants\/|tasks\/move-|tasks\/(?:onboarding-registry|offboarding-registry|registry-reconcile)$|tasks\/register-region)/;
  const special: Record<string, string[]> = {
    'api/assessments/handler': ['REGION_KEY', 'TENANT_DOMAINS', 'FIELD_KEY_ARN'],
    'api/audit/handler': ['REGION_KEY', 'TENANT_DOMAINS', 'FIELD_KEY_ARN'],
    'api/people/handler': ['REGION_KEY', 'TENANT_DOMAINS', 'FIELD_KEY_ARN'],
    'api/skills/handler': ['REGION_KEY', 'TENANT_DOMAINS', 'FIELD_KEY_ARN'],
    'api/users/handler': ['REGION_KEY', 'TENANT_DOMAINS', 'FIELD_KEY_ARN'],
    'tasks/accounts': ['IDENTITY_PROVIDERS', 'USER_POOL_ID'],
    'tasks/issue-claims': ['IDENTITY_PROVIDERS'],
    'api/tenants/handler': [
      'ONBOARDING_STATE_MACHINE_ARN',
      'MOVE_STATE_MACHINE_ARN',
      'BACKUP_STATE_MACHINE_ARN',
      'RESTORE_STATE_MACHINE_ARN',
      'EXPORT_STATE_MACHINE_ARN',
      'OFFBOARDING_STATE_MACHINE_ARN',
      'ROLLOUT_STATE_MACHINE_ARN',
      'CREDENTIALS_STATE_MACHINE_ARN',
      'MOVE_SURVEY_FUNCTION',
      'RESIDENCY',
    ],
    'tasks/aggregate-usage': ['REGION_KEY', 'API_LOG_GROUPS'],
    'tasks/backup-data': ['REGION_KEY', 'BACKUP_BUCKET', 'BACKUP_OBJECT_LOCK'],
    'tasks/backup-registry': ['REGION_KEY', 'BACKUP_BUCKET'],
    'tasks/registry-reconcile': ['BACKUP_BUCKET'],
    'tasks/restore-data': ['REGION_KEY', 'BACKUP_BUCKET', 'FIELD_KEY_ARN'],
    'tasks/rotate-fields': ['REGION_KEY', 'FIELD_KEY_ARN'],
    'tasks/credential-aws': ['SECRETS_KMS_KEY_ARN'],
    'tasks/credential-registry': [
      'REGION_KEY',
      'CREDENTIALS_POLICY',
      'CREDENTIALS_STATE_MACHINE_ARN',
      'REGISTRY_MASTER_SECRET_ARN',
    ],
    'tasks/export-data': ['REGION_KEY', 'BACKUP_BUCKET', 'BACKUP_STATE_MACHINE_ARN'],
    'tasks/restore-side': ['REGION_KEY', 'SIDE_PARAMETER_GROUP', 'SIDE_SECURITY_GROUP', 'SIDE_SUBNET_GROUP'],
    'tasks/publish-events': ['REGION_KEY', 'EVENT_BUS_NAME'],
    'tasks/schema-rollout': ['REGION_KEY'],
    'tasks/survey-alerts': ['REGION_KEY'],
    'tasks/evaluate-alerts': ['REGION_KEY', 'SURVEY_FUNCTION_ARN', 'ALERT_TOPIC_ARN'],
    'tasks/meter-tenants': ['REGION_KEY'],
    'tasks/partition-upkeep': ['REGION_KEY'],
    'tasks/promotion-evaluate': [
      'REGION_KEY',
      'PROMOTION_POLICY',
      'METERING_FUNCTION_ARN',
      'MOVE_STATE_MACHINE_ARN',
      'NOTIFICATION_TOPIC_ARN',
    ],
    'tasks/offboarding-aws': ['REGION_KEY', 'USER_POOL_ID', 'BACKUP_BUCKET', 'BACKUP_COPIES'],
    'tasks/offboarding-data': ['REGION_KEY'],
    'tasks/offboarding-registry': [
      'OFFBOARDING_POLICY',
      'RETENTION',
      'EXPORT_STATE_MACHINE_ARN',
      'OFFBOARDING_STATE_MACHINE_ARN',
      'CERTIFICATE_KEY_ARN',
      'NOTIFICATION_TOPIC_ARN',
    ],
    'tasks/onboarding-aws': ['SECRETS_KMS_KEY_ARN', ...launch],
    'tasks/move-aws': ['SECRETS_KMS_KEY_ARN', ...launch],
    'tasks/move-data': [
      'REPLICATION_TLS',
      'REPLICATION_TLS_BETWEEN_REGIONS',
      'MOVE_DUTY_CYCLE',
      'MOVE_MAX_PAUSE_MS',
      'MOVE_CLEANUP_STATE_MACHINE_ARN',
      'KEEP_DEDICATED_DAYS',
      'KEEP_REPLACED_HOURS',
    ],
  };
  // They get what they work on as properties of their custom resource, or nothing at all.
  const withoutRegistry = ['tasks/bootstrap-registry', 'api/public/handler'];
  for (const resource of ofType('AWS::Lambda::Function')) {
    const entry = (resource.Properties.Handler as string).replace(/\.handler$/, '');
    const expected = [
      ...everywhere,
      ...(withoutRegistry.includes(entry) ? [] : registry),
      ...(special[entry] ?? []),
      ...ofCell(resource.stack, entry),
      ...(reachesFurther.test(entry) ? regions : []),
    ];
    expect(Object.keys(environmentOf(resource)).sort(), entry).toEqual(expected.sort());
  }
});

test('all state machine definitions are valid', async () => {
  const machines = ofType('AWS::StepFunctions::StateMachine');
  expect(machines.map(({ Properties }) => Properties.StateMachineName)).toEqual([
    'tenant-backup',
    'fleet-backup',
    'audit-chain',
    'tenant-export',
    'tenant-onboarding',
    'tenant-move',
    'tenant-move-cleanup',
    'tenant-restore',
    'restore-drills',
    'registry-reconcile',
    'schema-rollout',
    'partition-upkeep',
    'tenant-offboarding',
    'credential-rotation',
  ]);
  for (const { Properties } of machines) {
    const definition = text(Properties.DefinitionString)
      .replaceAll('<AWS::Partition>', 'aws')
      .replace(/<[^<>]*>/g, 'arn:aws:lambda:us-east-1:000000000000:function:task');
    const { isValid, errorsText } = await aslValidator(JSON.parse(definition));
    expect(isValid, errorsText()).toBe(true);
  }
});

test('every route but the probe and the document asks for a token, operator routes for the operator scope', () => {
  const routes = ofType('AWS::ApiGatewayV2::Route');
  const open = ['GET /health', 'GET /openapi.json', 'GET /docs', 'GET /docs/{file}'];
  for (const { stack, Properties } of routes) {
    const { RouteKey, AuthorizationType, AuthorizationScopes } = Properties;
    expect(AuthorizationType, RouteKey as string).toBe(open.includes(RouteKey as string) ? 'NONE' : 'JWT');
    if (stack === 'Strata-ControlPlane') expect(AuthorizationScopes).toEqual(['strata/operator']);
    else expect(AuthorizationScopes ?? []).toEqual([]);
  }
  expect(routes.map(({ Properties }) => Properties.RouteKey)).toContain('GET /health');
});

test('clusters let in only proxies, tasks and each other, the registry nobody', () => {
  const ingress = ofType('AWS::EC2::SecurityGroupIngress').map(
    ({ Properties }) =>
      `${text(Properties.SourceSecurityGroupId)} -> ${text(Properties.GroupId)}:${Properties.FromPort}`,
  );
  const named = ingress.map((rule) => rule.replace(/<Network(\w+?)[0-9A-F]{8}\.GroupId>/g, '$1')).sort();
  expect(named).toEqual([
    'ApiFunctions -> Endpoints:443',
    'ApiFunctions -> Proxies:5432',
    'Clusters -> Clusters:5432',
    'Proxies -> Clusters:5432',
    'TaskFunctions -> Clusters:5432',
    'TaskFunctions -> Endpoints:443',
    'TaskFunctions -> Proxies:5432',
  ]);
  for (const { Properties } of ofType('AWS::EC2::SecurityGroup')) {
    expect(Properties.SecurityGroupIngress ?? []).toEqual([]);
  }
});

test('our own custom resources are the only ones, called in the order registry, cell, proxy, region, rollout', () => {
  const custom = assembly.resources.filter(
    ({ Type }) => Type.startsWith('Custom::') || Type === 'AWS::CloudFormation::CustomResource',
  );
  expect(custom.map(({ Type }) => Type)).toEqual([
    'Custom::StrataRegistryBootstrap',
    'Custom::StrataClusterProtection',
    'Custom::StrataCellBootstrap',
    'Custom::StrataProxyAuth',
    'Custom::StrataClusterProtection',
    'Custom::StrataRollout',
    'Custom::StrataRegion',
  ]);
  type Named = Resource & { logicalId: string };
  const [, , cell, proxyAuth, , rollout, region] = custom as unknown as [
    Named,
    Named,
    Named,
    Named,
    Named,
    Named,
    Named,
  ];
  expect(cell.Properties).toMatchObject({
    CellId: 'us-1',
    Region: 'us',
    DataResidency: 'us',
    Database: 'strata',
    MaxBusinessTenants: 190,
  });
  expect(proxyAuth.DependsOn).toContain(cell.logicalId);
  expect(proxyAuth.Properties.DeployTime).toBeTypeOf('string');
  // Before it, the registry would not know what lags. Cells are in stacks of their own, which are deployed earlier.
  expect(rollout.DependsOn).toContain(region.logicalId);
  expect(assembly.dependencies('Strata-us-operations')).toContain('Strata-us-cell-us-1');
});

test('the secrets of proxies are repaired every minute, and when a deployment of their stack ends', () => {
  /** Of the function in that stack. */
  const arnIn = (name: string) => {
    const task = assembly.resources.find(
      ({ stack, Properties }) =>
        stack === name && Properties?.Handler === 'tasks/reconcile-proxy-auth.handler',
    );
    return { 'Fn::GetAtt': [task?.logicalId, 'Arn'] };
  };
  const [schedule] = ofType('AWS::Scheduler::Schedule').filter(
    ({ Properties }) => Properties.Name === 'strata-us-proxy-auth',
  );
  expect(schedule?.Properties).toMatchObject({
    ScheduleExpression: 'rate(1 minute)',
    FlexibleTimeWindow: { Mode: 'OFF' },
    Target: { Arn: arnIn('Strata-us-operations') },
  });
  const rules = ofType('AWS::Events::Rule').filter(({ Properties }) =>
    JSON.stringify(Properties.EventPattern).includes('aws.cloudformation'),
  );
  expect(rules.map(({ stack }) => stack)).toEqual(ofType('AWS::RDS::DBProxy').map(({ stack }) => stack));
  expect(rules[0]?.Properties).toMatchObject({
    EventPattern: {
      'detail-type': ['CloudFormation Stack Status Change'],
      detail: {
        'stack-id': [{ Ref: 'AWS::StackId' }],
        'status-details': { status: expect.arrayContaining(['UPDATE_COMPLETE', 'UPDATE_ROLLBACK_COMPLETE']) },
      },
    },
    Targets: [{ Arn: arnIn('Strata-us-cell-us-1') }],
  });
});

test('with one region nothing knows of, reaches or lets in another', () => {
  const everything = JSON.stringify(assembly.resources);
  for (const { awsRegion, key, cidr } of [knownRegions.eu, knownRegions.apac]) {
    for (const name of [awsRegion, `strata-registry-${key}`, `Strata-${key}-`, cidr]) {
      expect(everything, name).not.toContain(name);
    }
  }
  // But the key of the own region's exports: the operators' API signs links to them, and knows the key by its service.
  const keys = assembly.resources.filter(
    ({ stack, ...resource }) =>
      // Rights on keys of tenants are bound to their aliases, their tag, or to none of both yet.
      JSON.stringify(resource).includes('key/*') && stack === 'Strata-ControlPlane',
  );
  expect(keys.map(({ stack, Type }) => `${stack} ${Type}`)).toEqual(['Strata-ControlPlane AWS::IAM::Policy']);
  const [policy] = keys.map(({ Properties }) => Properties.PolicyDocument as { Statement: object[] });
  expect(policy?.Statement.filter((one) => JSON.stringify(one).includes('key/*'))).toEqual([
    {
      Effect: 'Allow',
      Action: 'kms:Decrypt',
      Resource: expect.anything(),
      Condition: { StringEquals: { 'kms:ViaService': 's3.us-east-1.amazonaws.com' } },
    },
  ]);
  expect(ofType('AWS::EC2::VPCPeeringConnection', 'AWS::Route53::HostedZone')).toEqual([]);
  expect(new Set(assembly.resources.map(({ stack }) => stack)).size).toBe(7);
  for (const resource of ofType('AWS::Lambda::Function')) {
    const { REGISTRIES } = environmentOf(resource);
    if (REGISTRIES) expect(JSON.parse(text(REGISTRIES))).toMatchObject([{ region: 'us' }]);
  }
});

test('secrets carry the agreed names, and no password is in any template', () => {
  const names = ofType('AWS::SecretsManager::Secret').map(({ Properties }) => Properties.Name);
  expect(names.sort()).toEqual([
    'strata/registry/master',
    'strata/registry/reader',
    'strata/registry/users',
    'strata/registry/writer',
    'strata/us-1/master',
    'strata/us-1/owner',
    'strata/us-1/starter',
  ]);
  for (const { Properties } of ofType('AWS::SecretsManager::Secret'))
    expect(Properties).not.toHaveProperty('SecretString');
});

test('every function and every state machine is watched by an alarm: its own or its workflow’s', () => {
  const watched = ofType('AWS::CloudWatch::Alarm').flatMap(({ stack, Properties }) => {
    type Query = { MetricStat?: { Metric: { MetricName: string; Dimensions?: { Value: unknown }[] } } };
    return ((Properties.Metrics ?? []) as Query[]).flatMap(({ MetricStat }) =>
      (MetricStat?.Metric.Dimensions ?? []).map(
        ({ Value }) => `${stack} ${text(Value)} ${MetricStat!.Metric.MetricName}`,
      ),
    );
  });
  for (const { stack, logicalId } of ofType('AWS::Lambda::Function'))
    expect(watched).toContain(`${stack} <${logicalId}> Throttles`);
  for (const { stack, logicalId } of ofType('AWS::StepFunctions::StateMachine')) {
    expect(watched).toContain(`${stack} <${logicalId}> ExecutionsFailed`);
    expect(watched).toContain(`${stack} <${logicalId}> ExecutionsTimedOut`);
  }
  // A workflow calls these again after an error; its own alarms say what remains.
  const retried =
    /^tasks\/((move|backup|restore|export|offboarding)-(registry|aws|data|side)|credential-(aws|data)|schema-rollout|partition-upkeep|registry-reconcile)\./;
  for (const { stack, logicalId, Properties } of ofType('AWS::Lambda::Function')) {
    const counts = watched.includes(`${stack} <${logicalId}> Errors`);
    expect(counts, String(Properties.Handler)).toBe(!retried.test(String(Properties.Handler)));
  }
});

test('alarms may publish to the encrypted topic, and every alarm goes there', () => {
  const [policy] = ofType('AWS::SNS::TopicPolicy').map(({ Properties }) =>
    JSON.stringify(Properties.PolicyDocument),
  );
  expect(policy).toContain('cloudwatch.amazonaws.com');
  const alarms = ofType('AWS::CloudWatch::Alarm');
  expect(alarms.length).toBeGreaterThan(20);
  for (const { logicalId, Properties } of alarms) {
    expect(text(Properties.AlarmActions), logicalId).toMatch(/^<.*Alarms/);
  }
});
