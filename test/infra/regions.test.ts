import { beforeAll, expect, test } from 'vitest';
import { knownRegions } from '../../infra/config.ts';
import { text } from './iam-statements.ts';
import { type Assembly, sharedAssembly } from './synthesized-app.ts';

let world: Assembly;
beforeAll(async () => {
  world = await sharedAssembly('threeRegions');
});

const inStack = (stack: string, ...types: string[]) =>
  world.resources.filter((resource) => resource.stack === stack && types.includes(resource.Type));
const identifiers = (stack: string, type: string, property: string) =>
  inStack(stack, type).map(({ Properties }) => Properties[property]);

const clustersOf = (key: string) =>
  world.resources
    .filter(({ stack, Type }) => stack.startsWith(`Strata-${key}-`) && Type === 'AWS::RDS::DBCluster')
    .map(({ Properties }) => Properties.DBClusterIdentifier);

test('three regions have cells of their own', () => {
  expect(clustersOf('us')).toEqual(['strata-us-1']);
  expect(clustersOf('eu')).toEqual(['strata-registry-eu', 'strata-eu-1']);
  expect(clustersOf('apac')).toEqual(['strata-registry-apac', 'strata-apac-1']);
});

test.each(['eu', 'apac'])(
  '%s keeps its users to itself: own registry, own user pool, nothing imported from another region',
  (key) => {
    const stack = `Strata-${key}-control-plane`;
    expect(identifiers(stack, 'AWS::Cognito::UserPool', 'DeletionProtection')).toEqual(['ACTIVE']);
    expect(identifiers(stack, 'Custom::StrataRegistryBootstrap', 'Database')).toEqual(['registry']);
    const imports = JSON.stringify(world.resources.filter((one) => one.stack.startsWith(`Strata-${key}-`)))
      .split('"Fn::ImportValue":"')
      .slice(1);
    expect(imports.length).toBeGreaterThan(10);
    expect(imports.filter((one) => !one.startsWith(`Strata-${key}-`))).toEqual([]);
  },
);

test('a browser may read every header that the API’s documents name', () => {
  const apis = world.resources.filter(({ Type }) => Type === 'AWS::ApiGatewayV2::Api');
  expect(apis.length).toBeGreaterThan(1);
  for (const { Properties } of apis) {
    expect((Properties.CorsConfiguration as { ExposeHeaders: string[] }).ExposeHeaders).toEqual([
      'apigw-requestid',
      'etag',
      'idempotency-replayed',
      'location',
      'ratelimit-limit',
      'ratelimit-remaining',
      'ratelimit-reset',
      'retry-after',
      'x-request-id',
    ]);
  }
});

test('no region needs a custom resource of CDK', () => {
  const types = new Set(
    world.resources.map(({ Type }) => Type).filter((type) => type.startsWith('Custom::')),
  );
  expect([...types].sort()).toEqual([
    'Custom::StrataCellBootstrap',
    'Custom::StrataClusterProtection',
    'Custom::StrataOutputs',
    'Custom::StrataProxyAuth',
    'Custom::StrataRegion',
    'Custom::StrataRegistryBootstrap',
    'Custom::StrataRollout',
  ]);
});

const pairs = Object.values(knownRegions).flatMap((near) =>
  Object.values(knownRegions)
    .filter((far) => far.key !== near.key)
    .map((far) => ({ near, far })),
);

test.each(pairs)('from $near.key there is a way to $far.key', ({ near, far }) => {
  const stack = `Strata-Link-${near.key}-${far.key}`;
  const routes = inStack(stack, 'AWS::EC2::Route').map(({ Properties }) => Properties);
  expect(routes).toHaveLength(near.availabilityZones.length);
  const makes = inStack(stack, 'AWS::EC2::VPCPeeringConnection').length === 1;
  for (const route of routes) {
    expect(route.DestinationCidrBlock).toBe(far.cidr);
    expect(text(route.RouteTableId)).toContain(`Strata-${near.key}-network:`);
    expect(text(route.VpcPeeringConnectionId)).toBe(
      makes ? '<Peering.Id>' : `<StrataLink${far.key}${near.key}Outputs.PeeringConnectionId>`,
    );
  }
  const zones = inStack(stack, 'AWS::Route53::HostedZone').map(({ Properties }) => Properties);
  expect(zones.map(({ Name }) => Name)).toEqual(
    ['secretsmanager', 'rds-data', 'states', 'kms'].map((name) => `${name}.${far.awsRegion}.amazonaws.com.`),
  );
  for (const { VPCs } of zones) {
    const [{ VPCId, VPCRegion }] = VPCs as [{ VPCId: unknown; VPCRegion: string }];
    expect([text(VPCId), VPCRegion]).toEqual([
      expect.stringContaining(`Strata-${near.key}-network:`),
      near.awsRegion,
    ]);
  }
  const targets = inStack(stack, 'AWS::Route53::RecordSet').map(({ Properties }) =>
    JSON.stringify(Properties.AliasTarget),
  );
  expect(targets).toHaveLength(4);
  for (const target of targets) expect(target).toContain(`"Strata${far.key}networkOutputs","`);
});

test('each two regions have one connection, made by the first', () => {
  const connections = world.resources.filter(({ Type }) => Type === 'AWS::EC2::VPCPeeringConnection');
  expect(
    connections.map(({ stack, Properties }) => [stack, Properties.PeerRegion, text(Properties.PeerVpcId)]),
  ).toEqual([
    ['Strata-Link-us-eu', 'eu-west-1', '<StrataeunetworkOutputs.VpcId>'],
    ['Strata-Link-us-apac', 'ap-southeast-1', '<StrataapacnetworkOutputs.VpcId>'],
    ['Strata-Link-eu-apac', 'ap-southeast-1', '<StrataapacnetworkOutputs.VpcId>'],
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
  expect(dependenciesOf('Strata-Link-us-eu')).toEqual(
    expect.arrayContaining(['Strata-us-network', 'Strata-eu-network']),
  );
  expect(dependenciesOf('Strata-Link-eu-us')).toContain('Strata-Link-us-eu');
});

test('inside a region references go one way: network, control plane, cells, API, backups, operations', () => {
  const dependenciesOf = (name: string) =>
    world
      .dependencies(name)
      .filter((one) => !one.endsWith('.assets'))
      .sort();
  expect(dependenciesOf('Strata-us-network')).toEqual([]);
  expect(dependenciesOf('Strata-us-cell-us-1')).toEqual(['Strata-ControlPlane', 'Strata-us-network']);
  for (const key of ['eu', 'apac']) {
    const [network, controlPlane, cell, api] = ['network', 'control-plane', `cell-${key}-1`, 'api'].map(
      (part) => `Strata-${key}-${part}`,
    ) as [string, string, string, string];
    expect(dependenciesOf(network)).toEqual([]);
    expect(dependenciesOf(controlPlane)).toEqual([network]);
    expect(dependenciesOf(cell)).toEqual([controlPlane, network]);
    expect(dependenciesOf(api)).toEqual([cell, controlPlane, network]);
    const backups = `Strata-${key}-backups`;
    expect(dependenciesOf(backups)).toEqual([cell, controlPlane, network]);
    expect(dependenciesOf(`Strata-${key}-operations`)).toEqual([api, backups, cell, controlPlane, network]);
  }
});

test('a cell gives other stacks nothing but its proxy and its cluster: its secrets are known by name', () => {
  const imported = world.resources
    .flatMap((one) => JSON.stringify(one.Properties ?? {}).match(/Strata-us-cell-us-1:\w+/g) ?? [])
    .map((name) => name.replace(/[0-9A-F]{8}/g, ''));
  expect(new Set(imported)).toEqual(
    new Set([
      'Strata-us-cell-us-1:ExportsOutputFnGetAttCellProxyDBProxyArn',
      // Which restores to a point in time copy.
      'Strata-us-cell-us-1:ExportsOutputRefCellDatabaseCluster',
    ]),
  );
});

test('clusters, proxies and endpoints let in the other regions’ networks, tasks and clusters may go there', () => {
  const rules = (name: string, property: 'SecurityGroupIngress' | 'SecurityGroupEgress') =>
    inStack('Strata-eu-network', 'AWS::EC2::SecurityGroup')
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
  // To KMS: fields of a tenant that has just arrived are encrypted under a key of its former region.
  expect(rules('ApiFunctions', 'SecurityGroupEgress')).toEqual(others(443));
  for (const name of ['Proxies', 'Endpoints']) expect(rules(name, 'SecurityGroupEgress')).toEqual([]);
  for (const name of ['ApiFunctions', 'TaskFunctions'])
    expect(rules(name, 'SecurityGroupIngress')).toEqual([]);
});
test('a second cell is one more entry', async () => {
  const assembly = await sharedAssembly('twoCells');
  const proxies = assembly.resources.filter(({ Type }) => Type === 'AWS::RDS::DBProxy');
  expect(proxies.map(({ Properties }) => Properties.DBProxyName)).toEqual(['strata-us-1', 'strata-us-2']);
});

test('with a domain, tenants have a wildcard host name and operators one of their own', async () => {
  const assembly = await sharedAssembly('domain');
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
