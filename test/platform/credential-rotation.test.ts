import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { expect, test, vi } from 'vitest';
import { MovingTenant } from './moving-tenant.ts';
import { administrator } from './platform-databases.ts';
import { call, operatorToken, platform } from './running-platform.ts';

// biome-ignore lint/suspicious/noExplicitAny: a rotation as the API answers it.
type Rotation = any;

/** Asks for a rotation. */
async function ask(path: string, body?: object) {
  return call('POST', `${path}/credential-rotation`, {
    token: await operatorToken(),
    ...(body ? { body } : {}),
  });
}

async function read(location: string): Promise<Rotation> {
  return (await call('GET', location, { token: await operatorToken() })).body;
}

async function ended(location: string): Promise<Rotation> {
  let rotation: Rotation;
  const over = async () => {
    rotation = await read(location);
    return rotation.status !== 'running';
  };
  await vi.waitUntil(over, { timeout: 150_000, interval: 100 }).catch(async (error) => {
    throw new Error(`${JSON.stringify(rotation)} ${await failuresOf(rotation.executionArn)}`, { cause: error });
  });
  return rotation;
}

/** What went wrong in an execution, for the message of a test. */
async function failuresOf(executionArn: string): Promise<string> {
  const { GetExecutionHistoryCommand, SFNClient } = await import('@aws-sdk/client-sfn');
  const client = new SFNClient(administrator(platform().awsUrl));
  const { events = [] } = await client.send(new GetExecutionHistoryCommand({ executionArn, maxResults: 1000 }));
  const details = events.map((event) => event.lambdaFunctionFailedEventDetails ?? event.taskFailedEventDetails);
  return JSON.stringify(details.filter((each) => each !== undefined));
}

/** Asks for a rotation and waits for its end. */
async function rotated(path: string, body?: object): Promise<Rotation> {
  const { status, headers, body: answer } = await ask(path, body);
  expect(status, JSON.stringify(answer)).toBe(202);
  const location = String(headers.get('location'));
  expect(location).toBe(`/credential-rotations/${answer.credentialRotationId}`);
  const rotation = await ended(location);
  expect(rotation, JSON.stringify(rotation)).toMatchObject({
    status: 'succeeded',
    reason: null,
    phase: 'finished',
  });
  return rotation;
}

interface Login {
  readonly username: string;
  readonly password: string;
}

async function secrets() {
  const { SecretsManagerClient } = await import('@aws-sdk/client-secrets-manager');
  return new SecretsManagerClient(administrator(platform().awsUrl));
}

/** The secrets whose names begin so. */
async function secretsNamed(prefix: string): Promise<string[]> {
  const { ListSecretsCommand } = await import('@aws-sdk/client-secrets-manager');
  const { SecretList = [] } = await (await secrets()).send(
    new ListSecretsCommand({ Filters: [{ Key: 'name', Values: [prefix] }] }),
  );
  return SecretList.map(({ Name = '' }) => Name);
}

async function loginOf(secret: string): Promise<Login> {
  const { GetSecretValueCommand } = await import('@aws-sdk/client-secrets-manager');
  const { SecretString = '{}' } = await (await secrets()).send(
    new GetSecretValueCommand({ SecretId: secret }),
  );
  return JSON.parse(SecretString);
}

/** Signs in to a cluster's own server, whose proxy has the same port. @returns SQLSTATE of a refusal. */
async function signIn(cluster: string, { username, password }: Login, database = 'strata'): Promise<string> {
  const { DescribeDBClustersCommand, RDSClient } = await import('@aws-sdk/client-rds');
  const rds = new RDSClient(administrator(platform().awsUrl));
  const { DBClusters = [] } = await rds.send(new DescribeDBClustersCommand({}));
  const found = DBClusters.find(({ DBClusterIdentifier = '' }) => DBClusterIdentifier.startsWith(cluster));
  const client = new pg.Client({
    host: '127.0.0.1',
    port: Number(found?.Port),
    database,
    user: username,
    password,
    ssl: { ca: readFileSync(join(platform().stateDir, 'tls/ca.crt'), 'utf8') },
  });
  try {
    await client.connect();
    return 'signed in';
  } catch (error) {
    return (error as pg.DatabaseError).code ?? String(error);
  } finally {
    await client.end().catch(() => {});
  }
}

const TIERS = [
  ['starter', undefined],
  ['business', { targetTier: 'enterprise' }],
  ['enterprise', { targetTier: 'business' }],
] as const;

test.concurrent.each(TIERS)(
  'under load a rotation fails no request of a %s tenant, ends the old password, and a move follows',
  async (tier, next) => {
    const tenant = await MovingTenant.create({ tier });
    const { cellId } = await tenant.tenant();
    const isStarter = tier === 'starter';
    const path = isStarter ? `/cells/${cellId}` : `/tenants/${tenant.slug}`;
    const prefix = isStarter ? `strata/${cellId}/starter` : `strata/tenant/${tenant.tenantId}/`;
    const cluster = tier === 'enterprise' ? `strata-tenant-${tenant.tenantId}` : `strata-${cellId}`;
    const [secret = ''] = await secretsNamed(prefix);
    const old = await loginOf(secret);
    expect(await signIn(cluster, old)).toBe('signed in');
    const load = tenant.load();
    load.start();
    await load.written(20);
    const rotation = await rotated(path);
    expect(rotation).toMatchObject({
      kind: isStarter ? 'starter' : 'tenant',
      tenantId: isStarter ? null : tenant.tenantId,
      cellId: tier === 'enterprise' ? null : cellId,
      roleName: old.username,
      now: false,
    });
    expect(await signIn(cluster, old)).toBe('28P01');
    const renewed = await loginOf(secret);
    expect(renewed.username).toBe(old.username);
    expect(await signIn(cluster, renewed)).toBe('signed in');
    // The stand-in has left nothing.
    expect(await secretsNamed(prefix)).toEqual([secret]);
    await load.written(20);
    if (next) {
      const move = await tenant.move(next);
      expect(move, JSON.stringify(move)).toMatchObject({ status: 'succeeded', reason: null });
      await load.written(10);
    }
    await load.stop();
    expect(load.violations).toEqual([]);
    expect(await load.verify()).toEqual([]);
  },
  240_000,
);
