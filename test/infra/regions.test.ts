import { afterAll, beforeAll, expect, test } from 'vitest';
import { config, knownRegions } from '../../infra/config.ts';
import { type Assembly, synthesizeForTest, synthesizeForThisTest } from './synthesized-app.ts';

let world: Assembly;
beforeAll(async () => {
  world = await synthesizeForTest({ ...config, regions: Object.values(knownRegions) }, { validate: true });
});
afterAll(() => world.remove());

const identifiers = (stack: string, type: string, property: string) =>
  world.resources
    .filter((resource) => resource.stack === stack && resource.Type === type)
    .map(({ Properties }) => Properties[property]);

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
    const template = JSON.stringify(world.template(stack));
    expect(template).not.toContain('Fn::ImportValue');
    expect(template).not.toContain('us-east-1');
  },
);

test('no region needs a custom resource of CDK', () => {
  const types = new Set(
    world.resources.map(({ Type }) => Type).filter((type) => type.startsWith('Custom::')),
  );
  expect([...types].sort()).toEqual([
    'Custom::StrataCellBootstrap',
    'Custom::StrataProxyAuth',
    'Custom::StrataRegistryBootstrap',
  ]);
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
