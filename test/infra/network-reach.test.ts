import { beforeAll, expect, test } from 'vitest';
import { allowStatements, listOf, type Statement, text } from './iam-statements.ts';
import { type Assembly, sharedAssembly } from './synthesized-app.ts';

let world: Assembly;
beforeAll(async () => {
  world = await sharedAssembly('threeRegions');
});

type Found = Assembly['resources'][number];
const ofType = (type: string): Found[] => world.resources.filter(({ Type }) => Type === type);
const REGIONS: Readonly<Record<string, string>> = {
  us: 'us-east-1',
  eu: 'eu-west-1',
  apac: 'ap-southeast-1',
};
const regionOf = ({ stack }: Pick<Found, 'stack'>): string =>
  REGIONS[/^Strata-(?:Link-)?(\w+)/.exec(stack)?.[1] ?? ''] ?? 'us-east-1';

/** Lambda itself attaches networks and writes logs; KMS makes its own role; other services use keys for the function. */
const isCalledByFunction = (statement: Statement, action: string): boolean =>
  !/^(?:ec2|logs|iam):/.test(action) && !JSON.stringify(statement.Condition ?? {}).includes('kms:ViaService');

/** Services, by region, that the function's role lets it call: `secretsmanager in eu-west-1`. */
function servicesOf(one: Found): Set<string> {
  const services = new Set<string>();
  for (const { where, roles, statement } of allowStatements(world.resources)) {
    if (!where.startsWith(`${one.stack}/`)) continue;
    if (!roles.some((role) => text(one.Properties.Role) === `<${role}.Arn>`)) continue;
    for (const action of listOf(statement.Action).map(text)) {
      if (!isCalledByFunction(statement, action)) continue;
      for (const resource of listOf(statement.Resource).map(text)) {
        const region = /^arn:[^:]*:[^:]*:([a-z]+-[a-z]+-\d)/.exec(resource)?.[1] ?? regionOf(one);
        services.add(`${action.split(':')[0]} in ${region}`);
      }
    }
  }
  return services;
}

test('every service that a function in a network may call has an endpoint there, or a zone that leads to one abroad', () => {
  const inside = ofType('AWS::Lambda::Function').filter(({ Properties }) => Properties.VpcConfig);
  const endpoints = new Set(
    ofType('AWS::EC2::VPCEndpoint').map(
      (one) => `${regionOf(one)} ${text(one.Properties.ServiceName).split('.').at(-1)}`,
    ),
  );
  const zones = new Set(
    ofType('AWS::Route53::HostedZone').map((one) => `${regionOf(one)} ${text(one.Properties.Name)}`),
  );
  const called = new Set<string>();
  for (const one of inside) {
    for (const service of servicesOf(one)) {
      const [name, region] = service.split(' in ') as [string, string];
      called.add(region === regionOf(one) ? name : `${name} abroad`);
      const found =
        region === regionOf(one)
          ? endpoints.has(`${regionOf(one)} ${name}`)
          : zones.has(`${regionOf(one)} ${name}.${region}.amazonaws.com.`);
      expect(found, `${one.stack} ${text(one.Properties.Handler)}: ${service}`).toBe(true);
    }
  }
  expect([...called].sort()).toEqual([
    'kms',
    'kms abroad',
    'rds-data',
    'rds-data abroad',
    's3',
    'secretsmanager',
    'secretsmanager abroad',
    'states',
    'states abroad',
  ]);
});

test('a function that runs in no network has no right that leads to a database’s own password', () => {
  // RDS's API takes the owner's password for the copy that a restore to a point in time reads; it cannot be reached from
  // inside the network.
  const givesPassword = 'tasks/restore-side.handler';
  const outside = ofType('AWS::Lambda::Function').filter(
    ({ Properties }) => !Properties.VpcConfig && Properties.Handler !== givesPassword,
  );
  expect(outside.length).toBeGreaterThan(10);
  for (const one of outside) {
    const secrets = allowStatements(world.resources)
      .filter(
        ({ where, roles }) =>
          where.startsWith(`${one.stack}/`) &&
          roles.some((role) => text(one.Properties.Role) === `<${role}.Arn>`),
      )
      .filter(({ statement }) => listOf(statement.Action).includes('secretsmanager:GetSecretValue'))
      .flatMap(({ statement }) => listOf(statement.Resource).map(text));
    expect(
      // Secrets of tenants' roles and of stand-ins are made outside.
      secrets.filter((name) => /dedicated|owner-|starter-/i.test(name)),
      text(one.Properties.Handler),
    ).toEqual([]);
  }
});
