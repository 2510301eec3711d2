import { afterAll, beforeAll, expect, test } from 'vitest';
import { config, knownRegions } from '../../infra/config.ts';
import { allowStatements, listOf, text } from './iam-statements.ts';
import { type Assembly, synthesizeForTest, synthesizeForThisTest } from './synthesized-app.ts';

let world: Assembly;
beforeAll(async () => {
  world = await synthesizeForTest({ ...config, regions: Object.values(knownRegions) }, { validate: true });
});
afterAll(() => world.remove());

const inStack = (stack: string, ...types: string[]) =>
  world.resources.filter((resource) => resource.stack === stack && types.includes(resource.Type));
const identifiers = (stack: string, type: string, property: string) =>
  inStack(stack, type).map(({ Properties }) => Properties[property]);

test('three regions pass all checks, each with its own cells', () => {
  expect(identifiers('Strata-us', 'AWS::RDS::DBCluster', 'DBClusterIdentifier')).toEqual(['strata-us-1']);
  expect(identifiers('Strata-eu', 'AWS::RDS::DBCluster', 'DBClusterIdentifier')).toEqual([
    'strata-registry-eu',
    'strata-eu-1',
  ]);
  expect(identifiers('Strata-apac', 'AWS::RDS::DBCluster', 'DBClusterIdentifier')).toEqual([
    'strata-registry-apac',
    'strata-apac-1',
  ]);
});

test.each(['eu', 'apac'])(
  '%s keeps its users to itself: own registry, own user pool, nothing imported',
  (key) => {
    const stack = `Strata-${key}`;
    expect(identifiers(stack, 'AWS::Cognito::UserPool', 'DeletionProtection')).toEqual(['ACTIVE']);
    expect(identifiers(stack, 'Custom::StrataRegistryBootstrap', 'Database')).toEqual(['registry']);
    expect(JSON.stringify(world.template(stack))).not.toContain('Fn::ImportValue');
  },
);

test('no region needs a custom resource of CDK', () => {
  const types = new Set(
    world.resources.map(({ Type }) => Type).filter((type) => type.startsWith('Custom::')),
  );
  expect([...types].sort()).toEqual([
    'Custom::StrataCellBootstrap',
    'Custom::StrataOutputs',
    'Custom::StrataProxyAuth',
    'Custom::StrataRegion',
    'Custom::StrataRegistryBootstrap',
  ]);
});

/** What each function of a stack may do in another AWS region, as `service:Action resource`, by the function's entry. */
function reachOf(stack: string, awsRegion: string, account = /<AWS::AccountId>/g): Map<string, string[]> {
  const statements = allowStatements(world.resources).filter(({ where }) => where.startsWith(`${stack}/`));
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
  'in %s only those who work for moves, registrations and the region itself reach another region',
  (key) => {
    for (const other of Object.values(knownRegions)) {
      if (other.key === key) continue;
      const reaching = [...reachOf(`Strata-${key}`, other.awsRegion)]
        .filter(([, rights]) => rights.length > 0)
        .map(([entry]) => entry);
      const moves = reaching.filter((entry) => entry.startsWith('tasks/move-'));
      expect(reaching.filter((entry) => !moves.includes(entry)).sort()).toEqual([
        'tasks/onboarding-fail',
        'tasks/onboarding-register',
        'tasks/register-region',
      ]);
      expect(moves).toHaveLength(17);
      expect(moves).not.toContain('tasks/move-survey');
    }
  },
);

test('what a step of a move may do to secrets, databases and proxies here, it may do there', () => {
  const services = /^(secretsmanager|kms|rds|rds-data|cloudformation):/;
  const here = allowStatements(world.resources).filter(({ where }) => where.startsWith('Strata-us/'));
  for (const [entry, rights] of reachOf('Strata-us', 'eu-west-1')) {
    if (!entry.startsWith('tasks/move-') || entry === 'tasks/move-survey') continue;
    const [own] = inStack('Strata-us', 'AWS::Lambda::Function').filter(
      ({ Properties }) => Properties.Handler === `${entry}.handler`,
    );
    const atHome = here
      .filter(({ roles }) => roles.some((role) => text(own!.Properties.Role) === `<${role}.Arn>`))
      .filter(({ statement }) =>
        listOf(statement.Resource).some((one) => !/eu-west-1|ap-southeast-1/.test(text(one))),
      )
      .flatMap(({ statement }) => listOf(statement.Action).map(text));
    const expected = [...atHome, 'secretsmanager:DescribeSecret'].filter((action) => services.test(action));
    const there = [...actionsIn(rights)].filter((action) => services.test(action));
    expect([entry, there.sort()]).toEqual([entry, [...new Set(expected)].sort()]);
  }
});

const REGISTRY_THERE = [
  ...['BatchExecuteStatement', 'BeginTransaction', 'CommitTransaction'],
  ...['ExecuteStatement', 'RollbackTransaction'],
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
  const reach = reachOf('Strata-us', 'eu-west-1');
  const beyondRegistry = (entry: string) =>
    (reach.get(`tasks/${entry}`) ?? []).filter((right) => !REGISTRY_THERE.includes(right));
  for (const entry of ['register-region', 'onboarding-register', 'onboarding-fail', 'move-next-hop']) {
    expect(reach.get(`tasks/${entry}`), entry).toEqual([...REGISTRY_THERE].sort());
  }
  const read = 'secretsmanager:GetSecretValue arn:aws:secretsmanager:eu-west-1::secret:strata';
  expect(beyondRegistry('move-copy')).toEqual([`${read}/dedicated/*`, `${read}/eu-1/owner-??????`]);
  expect(beyondRegistry('move-catch-up')).toEqual([
    ...[`${read}/dedicated/*`, `${read}/eu-1/owner-??????`],
    ...[`${read}/eu-1/starter-??????`, `${read}/tenant/*`],
  ]);
  expect(beyondRegistry('move-finish')).toEqual([
    'states:StartExecution arn:aws:states:eu-west-1::stateMachine:tenant-move',
  ]);
  expect(beyondRegistry('move-proxy')).toEqual([
    'rds:DescribeDBProxies arn:aws:rds:eu-west-1::db-proxy:*',
    'rds:ModifyDBProxy arn:aws:rds:eu-west-1::db-proxy:*',
  ]);
  const stacks = 'arn:aws:cloudformation:eu-west-1::stack/strata-tenant-*';
  const [template, ...rest] = beyondRegistry('move-launch').reverse();
  expect(template).toMatch(/^s3:GetObject arn:aws:s3:::cdk-hnb659fds-assets--eu-west-1\/[0-9a-f]{64}\.json$/);
  expect(rest.reverse()).toEqual(
    ['CreateStack', 'DeleteStack', 'DescribeStackEvents', 'DescribeStacks', 'TagResource'].map(
      (action) => `cloudformation:${action} ${stacks}`,
    ),
  );
  const operators = reachOf('Strata-ControlPlane', 'eu-west-1').get('api/tenants/handler') ?? [];
  expect(operators.filter((right) => !REGISTRY_THERE.includes(right))).toEqual(
    [
      `lambda:InvokeFunction arn:aws:lambda:eu-west-1::function:strata-eu-move-survey`,
      ...['onboarding', 'move'].map(
        (name) => `states:DescribeExecution arn:aws:states:eu-west-1::execution:tenant-${name}:*`,
      ),
      ...['onboarding', 'move'].map(
        (name) => `states:StartExecution arn:aws:states:eu-west-1::stateMachine:tenant-${name}`,
      ),
    ].sort(),
  );
});

test('keys of another region open secrets only, its proxies cells only, its service role goes to CloudFormation only', () => {
  const statements = (world.template('Strata-us').Resources &&
    inStack('Strata-us', 'AWS::IAM::Policy').flatMap(
      ({ Properties }) =>
        (
          Properties.PolicyDocument as {
            Statement: { Action: unknown; Resource: unknown; Condition?: object }[];
          }
        ).Statement,
    )) as { Action: unknown; Resource: unknown; Condition?: object }[];
  const conditionsOf = (action: string, resource: RegExp) =>
    statements
      .filter((one) => listOf(one.Action).includes(action))
      .filter((one) => listOf(one.Resource).some((name) => resource.test(text(name))))
      .map(({ Condition }) => Condition);
  for (const condition of conditionsOf('kms:Decrypt', /key\/\*/)) {
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
    { StringEqualsIfExists: { 'aws:ResourceTag/strata:component': 'data-plane' } },
  ]);
  const [role] = inStack('Strata-eu', 'AWS::IAM::Role').filter(({ Properties }) =>
    String(Properties.Description).startsWith('CloudFormation acts as this role'),
  );
  const pattern = new RegExp(`:role/Strata-eu-${role!.logicalId}-\\*$`);
  expect(conditionsOf('iam:PassRole', pattern)).toEqual([
    { StringEquals: { 'iam:PassedToService': 'cloudformation.amazonaws.com' } },
  ]);
  const [create] = conditionsOf('cloudformation:CreateStack', /eu-west-1/);
  expect(text((create as { ArnLike: Record<string, unknown> }).ArnLike['cloudformation:RoleArn'])).toMatch(
    pattern,
  );
});

test('every function that reaches further knows all registries by name, and its own region', () => {
  const [eu] = inStack('Strata-eu', 'AWS::Lambda::Function').filter(
    ({ Properties }) => Properties.Handler === 'tasks/move-settle.handler',
  );
  const { Variables } = eu!.Properties.Environment as { Variables: Record<string, unknown> };
  expect(Variables.REGION_KEY).toBe('eu');
  const named = { secretName: 'strata/registry/writer', database: 'registry' };
  const cluster = (region: string, name: string) => `arn:aws:rds:${region}:<AWS::AccountId>:cluster:${name}`;
  expect(JSON.parse(text(Variables.REGISTRIES))).toEqual([
    {
      ...{ region: 'us', awsRegion: 'us-east-1', ...named },
      clusterArn: cluster('us-east-1', 'strata-registry'),
    },
    {
      ...{ region: 'eu', awsRegion: 'eu-west-1', ...named },
      clusterArn: cluster('eu-west-1', 'strata-registry-eu'),
    },
    {
      ...{ region: 'apac', awsRegion: 'ap-southeast-1', ...named },
      clusterArn: cluster('ap-southeast-1', 'strata-registry-apac'),
    },
  ]);
});

const pairs = Object.values(knownRegions).flatMap((near) =>
  Object.values(knownRegions)
    .filter((far) => far.key !== near.key)
    .map((far) => [near, far] as const),
);

test.each(pairs)('from $key there is a way to $key', (near, far) => {
  const stack = `Strata-Link-${near.key}-${far.key}`;
  const routes = inStack(stack, 'AWS::EC2::Route').map(({ Properties }) => Properties);
  expect(routes).toHaveLength(near.availabilityZones.length);
  const makes = inStack(stack, 'AWS::EC2::VPCPeeringConnection').length === 1;
  for (const route of routes) {
    expect(route.DestinationCidrBlock).toBe(far.cidr);
    expect(text(route.RouteTableId)).toContain(`Strata-${near.key}:`);
    expect(text(route.VpcPeeringConnectionId)).toBe(
      makes ? '<Peering.Id>' : `<StrataLink${far.key}${near.key}Outputs.PeeringConnectionId>`,
    );
  }
  const zones = inStack(stack, 'AWS::Route53::HostedZone').map(({ Properties }) => Properties);
  expect(zones.map(({ Name }) => Name)).toEqual(
    ['secretsmanager', 'rds-data', 'states'].map((name) => `${name}.${far.awsRegion}.amazonaws.com.`),
  );
  for (const { VPCs } of zones) {
    const [{ VPCId, VPCRegion }] = VPCs as [{ VPCId: unknown; VPCRegion: string }];
    expect([text(VPCId), VPCRegion]).toEqual([
      expect.stringContaining(`Strata-${near.key}:`),
      near.awsRegion,
    ]);
  }
  const targets = inStack(stack, 'AWS::Route53::RecordSet').map(({ Properties }) =>
    JSON.stringify(Properties.AliasTarget),
  );
  expect(targets).toHaveLength(3);
  for (const target of targets) expect(target).toContain(`"Strata${far.key}Outputs","`);
});

test('each two regions have one connection, made by the first', () => {
  const connections = world.resources.filter(({ Type }) => Type === 'AWS::EC2::VPCPeeringConnection');
  expect(
    connections.map(({ stack, Properties }) => [stack, Properties.PeerRegion, text(Properties.PeerVpcId)]),
  ).toEqual([
    ['Strata-Link-us-eu', 'eu-west-1', '<StrataeuOutputs.VpcId>'],
    ['Strata-Link-us-apac', 'ap-southeast-1', '<StrataapacOutputs.VpcId>'],
    ['Strata-Link-eu-apac', 'ap-southeast-1', '<StrataapacOutputs.VpcId>'],
  ]);
});

test('what a link reads of another region’s stack, that stack tells', () => {
  for (const { stack, Properties } of world.resources.filter(
    ({ Type }) => Type === 'Custom::StrataOutputs',
  )) {
    const { StackName, Outputs } = Properties as { StackName: string; Outputs: string[] };
    const told = Object.keys(world.template(StackName).Outputs ?? {});
    expect(told, stack).toEqual(expect.arrayContaining(Outputs));
  }
});

test('regions deploy without each other; links follow both, and the one that makes the connection is the first', () => {
  const dependenciesOf = (name: string) => world.dependencies(name).filter((one) => !one.endsWith('.assets'));
  expect(dependenciesOf('Strata-us')).toEqual(['Strata-ControlPlane']);
  expect(dependenciesOf('Strata-eu')).toEqual([]);
  expect(dependenciesOf('Strata-Link-us-eu')).toEqual(expect.arrayContaining(['Strata-us', 'Strata-eu']));
  expect(dependenciesOf('Strata-Link-eu-us')).toContain('Strata-Link-us-eu');
});

test('clusters, proxies and endpoints let in the other regions’ networks, tasks and clusters may go there', () => {
  const rules = (name: string, property: 'SecurityGroupIngress' | 'SecurityGroupEgress') =>
    inStack('Strata-eu', 'AWS::EC2::SecurityGroup')
      .filter(({ logicalId }) => logicalId.startsWith(`Network${name}`))
      .flatMap(({ Properties }) => (Properties[property] ?? []) as { CidrIp?: string; FromPort: number }[])
      .filter(({ CidrIp }) => CidrIp?.startsWith('10.'))
      .map(({ CidrIp, FromPort }) => `${CidrIp}:${FromPort}`);
  const others = (port: number) => [`10.16.0.0/16:${port}`, `10.18.0.0/16:${port}`];
  expect(rules('Clusters', 'SecurityGroupIngress')).toEqual(others(5432));
  expect(rules('Clusters', 'SecurityGroupEgress')).toEqual(others(5432));
  expect(rules('Proxies', 'SecurityGroupIngress')).toEqual(others(5432));
  expect(rules('Endpoints', 'SecurityGroupIngress')).toEqual(others(443));
  expect(rules('TaskFunctions', 'SecurityGroupEgress').sort()).toEqual(
    [...others(5432), ...others(443)].sort(),
  );
  for (const name of ['ApiFunctions', 'Proxies', 'Endpoints'])
    expect(rules(name, 'SecurityGroupEgress')).toEqual([]);
  for (const name of ['ApiFunctions', 'TaskFunctions'])
    expect(rules(name, 'SecurityGroupIngress')).toEqual([]);
});
test('a second cell is one more entry', async () => {
  const { us } = knownRegions;
  const cells = [...us.cells, { ...us.cells[0]!, id: 'us-2' }];
  const assembly = await synthesizeForThisTest(
    { ...config, regions: [{ ...us, cells }] },
    { validate: true },
  );
  const proxies = assembly.resources.filter(({ Type }) => Type === 'AWS::RDS::DBProxy');
  expect(proxies.map(({ Properties }) => Properties.DBProxyName)).toEqual(['strata-us-1', 'strata-us-2']);
});

test('with a domain, tenants have a wildcard host name and operators one of their own', async () => {
  const assembly = await synthesizeForThisTest(
    {
      ...config,
      domainName: 'app.example.com',
      hostedZoneId: 'Z0123456789',
      alarmEmail: 'oncall@example.com',
    },
    { validate: true },
  );
  const names = assembly.resources.filter(({ Type }) => Type === 'AWS::ApiGatewayV2::DomainName');
  expect(names.map(({ Properties }) => Properties.DomainName)).toEqual([
    'operator.app.example.com',
    '*.app.example.com',
  ]);
  const people = assembly.resources.find(
    ({ Properties }) => Properties.Handler === 'api/people/handler.handler',
  );
  expect(people?.Properties.Environment).toHaveProperty(
    'Variables.TENANT_DOMAINS',
    'app.example.com,localhost',
  );
});
