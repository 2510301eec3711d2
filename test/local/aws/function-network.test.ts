import { createServer, type Server } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { att, type FixtureStack, lambdaFunction, type Resources, ref, role } from './assembly.ts';
import { type EndpointFixture, startEndpoint } from './endpoint-fixture.ts';

const secret = {
  Secret: { Type: 'AWS::SecretsManager::Secret', Properties: { Name: 'one', SecretString: 'x' } },
};
const reader = role('Reader', [{ Action: 'secretsmanager:DescribeSecret', Resource: '*' }]);

/** A network with one function in it, which may read secrets wherever it can reach them. */
function network(name: string, ...services: string[]): Resources {
  const { [name]: inside } = lambdaFunction(name, 'reach', 'Reader');
  return {
    [`${name}Vpc`]: { Type: 'AWS::EC2::VPC', Properties: {} },
    [`${name}Subnet`]: { Type: 'AWS::EC2::Subnet', Properties: { VpcId: ref(`${name}Vpc`) } },
    [name]: {
      ...inside!,
      Properties: { ...inside!.Properties, VpcConfig: { SubnetIds: [ref(`${name}Subnet`)] } },
    },
    ...Object.fromEntries(
      services.map((service) => [
        `${name}${service.replace('-', '')}Endpoint`,
        {
          Type: 'AWS::EC2::VPCEndpoint',
          Properties: {
            VpcId: ref(`${name}Vpc`),
            ServiceName: { 'Fn::Sub': `com.amazonaws.\${AWS::Region}.${service}` },
            PrivateDnsEnabled: true,
          },
        },
      ]),
    ),
  };
}

const zone = (name: string) => ({
  Type: 'AWS::Route53::HostedZone',
  Properties: { Name: 'secretsmanager.eu-west-1.amazonaws.com.', VPCs: [{ VPCId: ref(`${name}Vpc`) }] },
});

const home: FixtureStack = {
  name: 'Home',
  resources: {
    ...secret,
    ...reader,
    ...network('WithEndpoint', 'secretsmanager'),
    ...network('WithOtherEndpoint', 'rds-data'),
    ...network('WithWayAbroad'),
    AbroadZone: zone('WithWayAbroad'),
    ...lambdaFunction('InNoVpc', 'reach', 'Reader'),
  },
  outputs: { Role: { Value: att('Reader', 'Arn') } },
};
const abroad: FixtureStack = {
  name: 'Abroad',
  region: 'eu-west-1',
  resources: { ...secret, ...network('There', 'secretsmanager') },
};
// Its own role: names of roles are global.
Object.assign(abroad.resources, role('ThereReader', []));
abroad.resources.There!.Properties!.Role = att('ThereReader', 'Arn');

let fixture: EndpointFixture;
let database: Server;
beforeAll(async () => {
  fixture = await startEndpoint([home, abroad]);
  database = createServer((socket) => socket.end());
  await new Promise<void>((done) => database.listen(0, '127.0.0.1', done));
}, 60_000);
afterAll(async () => {
  database?.close();
  await fixture?.stop();
});

async function reach(name: string, region = 'us-east-1') {
  const { port } = database.address() as { port: number };
  const { payload } = await fixture.platform.context.functions.invoke(name, { region, port });
  return payload as { found: string; connected: string };
}

test('a function in a network reaches the services that its network has an endpoint for, and databases', async () => {
  expect(await reach('WithEndpoint')).toEqual({ found: 'one', connected: 'connected' });
  expect(await reach('WithOtherEndpoint')).toEqual({ found: 'ECONNRESET', connected: 'connected' });
  expect(fixture.log).toContain(
    'function WithOtherEndpoint cannot reach secretsmanager: its network has no endpoint com.amazonaws.us-east-1.secretsmanager',
  );
});

test('another region’s services are reached through a private zone, not through the own endpoint', async () => {
  expect(await reach('WithEndpoint', 'eu-west-1')).toMatchObject({ found: 'ECONNRESET' });
  expect(fixture.log).toContain(
    'function WithEndpoint cannot reach secretsmanager: its network has no private zone secretsmanager.eu-west-1.amazonaws.com',
  );
  expect(await reach('WithWayAbroad', 'eu-west-1')).toMatchObject({ found: 'one' });
  expect(await reach('WithWayAbroad')).toMatchObject({ found: 'ECONNRESET' });
});

test('a function in no network reaches every service, but no database', async () => {
  for (const region of ['us-east-1', 'eu-west-1']) {
    const { found, connected } = await reach('InNoVpc', region);
    expect(found).toBe('one');
    expect(connected).toMatch(/^ETIMEDOUT connect ETIMEDOUT .* function InNoVpc is in no VPC/);
  }
});
