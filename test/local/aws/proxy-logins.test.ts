import { ModifyDBProxyCommand, RDSClient } from '@aws-sdk/client-rds';
import { Client } from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type FixtureStack, ref } from './assembly.ts';
import { type EndpointFixture, startEndpoint } from './endpoint-fixture.ts';

const secret = (username: string) => ({
  Type: 'AWS::SecretsManager::Secret',
  Properties: { Name: username, SecretString: JSON.stringify({ username, password: `of-${username}` }) },
});
const stack: FixtureStack = {
  name: 'Cell',
  resources: {
    Starter: secret('starter'),
    Tenant: secret('tenant'),
    Cluster: {
      Type: 'AWS::RDS::DBCluster',
      Properties: {
        DBClusterIdentifier: 'cell',
        DatabaseName: 'strata',
        MasterUsername: 'master',
        MasterUserPassword: 'of-master',
      },
    },
    Proxy: {
      Type: 'AWS::RDS::DBProxy',
      Properties: {
        DBProxyName: 'cell',
        EngineFamily: 'POSTGRESQL',
        RoleArn: 'arn:r',
        VpcSubnetIds: [],
        Auth: [{ AuthScheme: 'SECRETS', SecretArn: ref('Starter') }],
      },
    },
    Targets: {
      Type: 'AWS::RDS::DBProxyTargetGroup',
      Properties: {
        DBProxyName: ref('Proxy'),
        TargetGroupName: 'default',
        DBClusterIdentifiers: [ref('Cluster')],
      },
    },
  },
  outputs: { Starter: { Value: ref('Starter') }, Tenant: { Value: ref('Tenant') } },
};
let fixture: EndpointFixture;
beforeAll(async () => {
  fixture = await startEndpoint([stack]);
  const master = await signIn('master');
  for (const role of ['starter', 'tenant'])
    await master.query(`CREATE ROLE ${role} LOGIN PASSWORD 'of-${role}'`);
  await master.end();
});
afterAll(() => fixture?.stop());

async function signIn(user: string): Promise<Client> {
  const { context } = fixture.platform;
  const [server] = context.clusters.list();
  const client = new Client({
    host: '127.0.0.1',
    port: server!.port,
    database: 'strata',
    user,
    password: `of-${user}`,
    ssl: { ca: context.caCertificate },
  });
  client.on('error', () => {});
  await client.connect();
  return client;
}
/** `in`, or the code of the refusal. */
async function login(user: string): Promise<string> {
  try {
    await (await signIn(user)).end();
    return 'in';
  } catch (error) {
    return (error as { code: string }).code;
  }
}
async function accept(...names: ('Starter' | 'Tenant')[]): Promise<void> {
  const { outputs } = [...fixture.platform.context.stacks.values()][0]!;
  const Auth = names.map((name) => ({ AuthScheme: 'SECRETS' as const, SecretArn: outputs[name]! }));
  const rds = new RDSClient(fixture.client());
  await expect
    .poll(
      () => rds.send(new ModifyDBProxyCommand({ DBProxyName: 'cell', Auth })).then(() => 'done', String),
      { timeout: 10_000 },
    )
    .toBe('done');
}

test('a role whose secret a proxy accepts no more cannot sign in until it is accepted again', async () => {
  await accept('Starter', 'Tenant');
  const open = await signIn('tenant');
  await accept('Starter');
  await expect.poll(() => login('tenant'), { timeout: 10_000 }).toBe('28000');
  expect([await login('starter'), await login('master')]).toEqual(['in', 'in']);
  // As at RDS Proxy, a session that is open goes on.
  expect((await open.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
  await open.end();
  await accept('Tenant', 'Starter');
  await expect.poll(() => login('tenant'), { timeout: 10_000 }).toBe('in');
});

test('deploying the proxy erases a secret that was registered at run time: its role is refused after a restart', async () => {
  await accept('Starter', 'Tenant');
  expect(await login('tenant')).toBe('in');
  await fixture.restart();
  await expect.poll(() => login('tenant'), { timeout: 10_000 }).toBe('28000');
  expect(await login('starter')).toBe('in');
  await accept('Starter', 'Tenant');
  await expect.poll(() => login('tenant'), { timeout: 10_000 }).toBe('in');
});
