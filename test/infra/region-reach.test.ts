import { beforeAll, expect, test } from 'vitest';
import { knownRegions } from '../../infra/config.ts';
import { allowStatements, listOf, text } from './iam-statements.ts';
import { type Assembly, sharedAssembly } from './synthesized-app.ts';

let world: Assembly;
beforeAll(async () => {
  world = await sharedAssembly('threeRegions');
});

const inStack = (stack: string, type: string) =>
  world.resources.filter((resource) => resource.stack === stack && resource.Type === type);
const statementsOf = (stack: string) =>
  allowStatements(world.resources).filter(({ where }) => where.startsWith(`${stack}/`));

/** What each function of a stack may do in another AWS region, as `service:Action resource`, by the function's entry. */
function reachOf(stack: string, awsRegion: string, account = /<AWS::AccountId>/g): Map<string, string[]> {
  const statements = statementsOf(stack);
  return new Map(
    inStack(stack, 'AWS::Lambda::Function').map(({ Properties }) => {
      const role = text(Properties.Role);
      const rights = statements
        .filter(({ roles }) => roles.some((one) => role === `<${one}.Arn>`))
        .flatMap(({ statement }) =>
          listOf(statement.Action).flatMap((action) =>
            listOf(statement.Resource).map((resource) => `${text(action)} ${text(resource)}`),
          ),
        )
        .filter((right) => right.includes(awsRegion))
        .map((right) => right.replace(account, ''));
      return [String(Properties.Handler).replace(/\.handler$/, ''), rights.sort()];
    }),
  );
}

const actionsIn = (rights: readonly string[] | undefined): Set<string> =>
  new Set(rights?.map((right) => right.split(' ')[0] as string));

test.each(['us', 'eu', 'apac'])(
  'in %s only those who work for moves, registrations, reconciliation and the region itself reach another region',
  (key) => {
    for (const other of Object.values(knownRegions)) {
      if (other.key === key) continue;
      const reaching = [...reachOf(`Strata-${key}-operations`, other.awsRegion)]
        .filter(([, rights]) => rights.length > 0)
        .map(([entry]) => entry);
      const moves = reaching.filter((entry) => entry.startsWith('tasks/move-'));
      expect(reaching.filter((entry) => !moves.includes(entry)).sort()).toEqual([
        'tasks/onboarding-registry',
        'tasks/register-region',
        'tasks/registry-reconcile',
      ]);
      expect(moves.sort()).toEqual(['tasks/move-aws', 'tasks/move-data', 'tasks/move-registry']);
    }
  },
);

/** A dedicated database is deleted in the region that the tenant left, after a last snapshot. */
const OWN_REGION_ONLY = [
  'rds:CreateDBClusterSnapshot',
  'rds:DescribeDBClusterSnapshots',
  'rds:AddTagsToResource',
];

test('what a phase of a move may do to secrets, databases and proxies here, it may do there', () => {
  const services = /^(secretsmanager|kms|rds|rds-data|cloudformation):/;
  const here = statementsOf('Strata-us-operations');
  for (const [entry, rights] of reachOf('Strata-us-operations', 'eu-west-1')) {
    // Surveys are made in their own region only.
    if (!entry.startsWith('tasks/move-') || entry.endsWith('-survey')) continue;
    const [own] = inStack('Strata-us-operations', 'AWS::Lambda::Function').filter(
      ({ Properties }) => Properties.Handler === `${entry}.handler`,
    );
    const atHome = here
      .filter(({ roles }) => roles.some((role) => text(own!.Properties.Role) === `<${role}.Arn>`))
      .filter(({ statement }) =>
        // What no resource bounds holds in every region.
        listOf(statement.Resource).some((one) => !/^\*$|eu-west-1|ap-southeast-1/.test(text(one))),
      )
      .flatMap(({ statement }) => listOf(statement.Action).map(text));
    const expected = [...atHome, 'secretsmanager:DescribeSecret'].filter(
      (action) => services.test(action) && !OWN_REGION_ONLY.includes(action),
    );
    const there = [...actionsIn(rights)].filter((action) => services.test(action));
    expect([entry, there.sort()]).toEqual([entry, [...new Set(expected)].sort()]);
  }
});

const REGISTRY_THERE = [
  'BatchExecuteStatement',
  'BeginTransaction',
  'CommitTransaction',
  'ExecuteStatement',
  'RollbackTransaction',
]
  .map((action) => `rds-data:${action} arn:aws:rds:eu-west-1::cluster:strata-registry-eu`)
  .concat(
    ['DescribeSecret', 'GetSecretValue'].map(
      (action) =>
        `secretsmanager:${action} arn:aws:secretsmanager:eu-west-1::secret:strata/registry/writer-??????`,
    ),
    ['kms:Decrypt arn:aws:kms:eu-west-1::key/*'],
  );

test('the reach is as narrow as names allow', () => {
  const reach = reachOf('Strata-us-operations', 'eu-west-1');
  const beyondRegistry = (entry: string) =>
    (reach.get(`tasks/${entry}`) ?? []).filter((right) => !REGISTRY_THERE.includes(right));
  for (const entry of ['register-region', 'onboarding-registry', 'registry-reconcile']) {
    expect(reach.get(`tasks/${entry}`), entry).toEqual([...REGISTRY_THERE].sort());
  }
  // What a tenant has left in another region is erased by that region's own workflow.
  const startOffboarding = 'states:StartExecution arn:aws:states:eu-west-1::stateMachine:tenant-offboarding';
  expect([...reachOf('Strata-us-fleet', 'eu-west-1')].filter(([, rights]) => rights.length > 0)).toEqual([
    ['tasks/offboarding-registry', [...REGISTRY_THERE, startOffboarding].sort()],
  ]);
  const secret = (action: string, name: string) =>
    `secretsmanager:${action} arn:aws:secretsmanager:eu-west-1::secret:strata/${name}`;
  const startMove = 'states:StartExecution arn:aws:states:eu-west-1::stateMachine:tenant-move';
  expect(beyondRegistry('move-registry')).toEqual([startMove]);
  expect(beyondRegistry('move-data')).toEqual([
    secret('DeleteSecret', 'tenant/*'),
    ...['dedicated/*', 'eu-1/owner-??????', 'eu-1/starter-??????', 'tenant/*'].map((name) =>
      secret('GetSecretValue', name),
    ),
    startMove,
  ]);
  const stacks = 'arn:aws:cloudformation:eu-west-1::stack/strata-tenant-*';
  const aws = beyondRegistry('move-aws');
  expect(aws.filter((right) => right.startsWith('s3:'))).toEqual([
    expect.stringMatching(/^s3:GetObject arn:aws:s3:::cdk-hnb659fds-assets--eu-west-1\/[0-9a-f]{64}\.json$/),
  ]);
  const rds = 'arn:aws:rds:eu-west-1:';
  expect([...new Set(aws)].filter((right) => !right.startsWith('s3:'))).toEqual(
    [
      ...[
        'CreateStack',
        'DeleteStack',
        'DescribeStackEvents',
        'DescribeStackResources',
        'DescribeStacks',
      ].map((action) => `cloudformation:${action} ${stacks}`),
      `cloudformation:TagResource ${stacks}`,
      ...['DeleteDBCluster', 'DescribeDBClusters', 'ModifyDBCluster'].map(
        (action) => `rds:${action} ${rds}:cluster:strata-tenant-*`,
      ),
      `rds:DeleteDBCluster ${rds}:cluster-snapshot:strata-tenant-*`,
      `rds:DescribeDBProxyEndpoints ${rds}:db-proxy:*`,
      ...['DeleteDBProxyEndpoint', 'DescribeDBProxyEndpoints'].map(
        (action) => `rds:${action} ${rds}:db-proxy-endpoint:*`,
      ),
      `rds:DeleteDBInstance ${rds}:db:strata-tenant-*`,
      ...['DeleteDBProxy', 'DescribeDBProxies', 'ModifyDBProxy'].map(
        (action) => `rds:${action} ${rds}:db-proxy:*`,
      ),
      ...['dedicated/*', 'tenant/*'].map((name) => secret('DeleteSecret', name)),
      ...['CreateSecret', 'DescribeSecret', 'GetSecretValue', 'RestoreSecret', 'TagResource'].map((action) =>
        secret(action, 'tenant/*'),
      ),
      'kms:GenerateDataKey arn:aws:kms:eu-west-1::key/*',
      // The key of an Enterprise tenant.
      'kms:CreateAlias arn:aws:kms:eu-west-1::alias/strata-tenant-*',
      ...['CreateAlias', 'DescribeKey', 'EnableKeyRotation', 'TagResource'].map(
        (action) => `kms:${action} arn:aws:kms:eu-west-1::key/*`,
      ),
    ].sort(),
  );
  const operators = reachOf('Strata-ControlPlane', 'eu-west-1').get('api/tenants/handler') ?? [];
  expect(operators.filter((right) => !REGISTRY_THERE.includes(right))).toEqual(
    [
      `lambda:InvokeFunction arn:aws:lambda:eu-west-1::function:strata-eu-accounts`,
      `lambda:InvokeFunction arn:aws:lambda:eu-west-1::function:strata-eu-move-survey`,
      ...[
        'tenant-onboarding',
        'tenant-move',
        'tenant-backup',
        'tenant-restore',
        'tenant-export',
        'tenant-offboarding',
        'credential-rotation',
        'schema-rollout',
      ].flatMap((name) => [
        `states:DescribeExecution arn:aws:states:eu-west-1::execution:${name}:*`,
        `states:StartExecution arn:aws:states:eu-west-1::stateMachine:${name}`,
      ]),
    ].sort(),
  );
});

test('keys of another region open secrets only, its proxies cells only, its service role goes to CloudFormation only', () => {
  const conditionsOf = (action: string, resource: RegExp) =>
    statementsOf('Strata-us-operations')
      .map(({ statement }) => statement)
      .filter(({ Action }) => listOf(Action).includes(action))
      .filter(({ Resource }) => listOf(Resource).some((name) => resource.test(text(name))))
      .map(({ Condition }) => Condition);
  // In the own region, keys of tenants decrypt fields.
  for (const condition of conditionsOf('kms:Decrypt', /(?:eu-west-1|ap-southeast-1).*key\/\*/)) {
    expect(condition).toEqual({
      StringEquals: {
        'kms:ViaService': [
          'secretsmanager.eu-west-1.amazonaws.com',
          'secretsmanager.ap-southeast-1.amazonaws.com',
        ],
      },
    });
  }
  expect(conditionsOf('rds:ModifyDBProxy', /eu-west-1/)).toEqual([
    { StringEquals: { 'aws:ResourceTag/strata:component': 'data-plane' } },
  ]);
  const [role] = inStack('Strata-eu-operations', 'AWS::IAM::Role').filter(({ Properties }) =>
    String(Properties.Description).startsWith('CloudFormation acts as this role'),
  );
  const name = new RegExp(`:role/${role!.Properties.RoleName}$`);
  expect(conditionsOf('iam:PassRole', name)).toEqual([
    { StringEquals: { 'iam:PassedToService': 'cloudformation.amazonaws.com' } },
  ]);
  const [create] = conditionsOf('cloudformation:CreateStack', /eu-west-1/);
  expect(
    text((create as { StringEquals: Record<string, unknown> }).StringEquals['cloudformation:RoleArn']),
  ).toMatch(name);
});

test('every function that reaches further knows all registries by name, and its own region', () => {
  const [eu] = inStack('Strata-eu-operations', 'AWS::Lambda::Function').filter(
    ({ Properties }) => Properties.Handler === 'tasks/move-data.handler',
  );
  const { Variables } = eu!.Properties.Environment as { Variables: Record<string, unknown> };
  expect(Variables.REGION_KEY).toBe('eu');
  const named = { secretName: 'strata/registry/writer', database: 'registry' };
  const cluster = (region: string, name: string) => `arn:aws:rds:${region}:<AWS::AccountId>:cluster:${name}`;
  expect(JSON.parse(text(Variables.REGISTRIES))).toEqual([
    {
      region: 'us',
      awsRegion: 'us-east-1',
      ...named,
      clusterArn: cluster('us-east-1', 'strata-registry'),
    },
    {
      region: 'eu',
      awsRegion: 'eu-west-1',
      ...named,
      clusterArn: cluster('eu-west-1', 'strata-registry-eu'),
    },
    {
      region: 'apac',
      awsRegion: 'ap-southeast-1',
      ...named,
      clusterArn: cluster('ap-southeast-1', 'strata-registry-apac'),
    },
  ]);
});

test('fields that were encrypted in another region are decrypted by requests and by the worker, and no other key there', () => {
  const decrypting = new Set(
    statementsOf('Strata-us-api')
      .filter(({ statement }) => listOf(statement.Resource).some((one) => text(one).includes('eu-west-1')))
      .map(({ roles, statement }) => {
        expect(listOf(statement.Action)).toEqual(['kms:Decrypt']);
        expect(listOf(statement.Resource).map(text)).toEqual([
          'arn:aws:kms:eu-west-1:<AWS::AccountId>:key/*',
        ]);
        expect(statement.Condition).toEqual({
          Null: { 'kms:EncryptionContext:tenantId': 'false' },
          'ForAnyValue:StringLike': {
            'kms:ResourceAliases': [
              'alias/strata-tenant-*',
              'alias/strata-eu-fields',
              'alias/strata-eu-fields-multi-region',
            ],
          },
        });
        return roles.join().replace(/[0-9A-F]{8}/g, '');
      }),
  );
  expect([...decrypting].sort()).toEqual(['FieldRotationTaskRole', 'PeopleRole']);
});
