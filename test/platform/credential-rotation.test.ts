import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { expect, test, vi } from 'vitest';
import { FULL_RUN } from '../full-run.ts';
import { strata } from '../infra/cli/run-command.ts';
import { MovingTenant } from './moving-tenant.ts';
import { administrator, asSuperuser, clusters } from './platform-databases.ts';
import { ASK_EVERY_MS, call, operatorToken, platform, userToken } from './running-platform.ts';

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
  await vi.waitUntil(over, { timeout: 150_000, interval: ASK_EVERY_MS }).catch(async (error) => {
    throw new Error(`${JSON.stringify(rotation)} ${await failuresOf(rotation.executionArn)}`, {
      cause: error,
    });
  });
  return rotation;
}

/** What went wrong in an execution, for the message of a test. */
async function failuresOf(executionArn: string): Promise<string> {
  const { GetExecutionHistoryCommand, SFNClient } = await import('@aws-sdk/client-sfn');
  const client = new SFNClient(administrator(platform().awsUrl));
  const { events = [] } = await client.send(
    new GetExecutionHistoryCommand({ executionArn, maxResults: 1000 }),
  );
  const details = events.map(
    (event) => event.lambdaFunctionFailedEventDetails ?? event.taskFailedEventDetails,
  );
  return JSON.stringify(details.filter((each) => each !== undefined));
}

/** Asks for a rotation, when none of another test is running, and waits for its end. */
async function rotated(path: string, body?: object): Promise<Rotation> {
  const answerOnceFree = async () => {
    const answered = await ask(path, body);
    return answered.body?.type !== 'urn:strata:problem:rotation-running' && answered;
  };
  const {
    status,
    headers,
    body: answer,
  } = await vi.waitUntil(answerOnceFree, { timeout: 90_000, interval: ASK_EVERY_MS });
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

/** A connection to a cluster's own server, whose proxy has the same port, which is not yet open. */
async function connectionTo(cluster: string, { username, password }: Login, database = 'strata') {
  const { DescribeDBClustersCommand, RDSClient } = await import('@aws-sdk/client-rds');
  const rds = new RDSClient(administrator(platform().awsUrl));
  const { DBClusters = [] } = await rds.send(new DescribeDBClustersCommand({}));
  const found = DBClusters.find(({ DBClusterIdentifier = '' }) => DBClusterIdentifier.startsWith(cluster));
  const ssl = { ca: readFileSync(join(platform().stateDir, 'tls/ca.crt'), 'utf8') };
  const port = Number(found?.Port);
  const client = new pg.Client({ host: '127.0.0.1', port, database, user: username, password, ssl });
  client.on('error', () => {});
  return client;
}

/** @returns SQLSTATE of a refusal. */
async function signIn(cluster: string, login: Login, database?: string): Promise<string> {
  const client = await connectionTo(cluster, login, database);
  try {
    await client.connect();
    return 'signed in';
  } catch (error) {
    return (error as pg.DatabaseError).code ?? String(error);
  } finally {
    await client.end().catch(() => {});
  }
}

/**
 * A tenant that is onboarded in the cell while its secret has the next password and its role the old one is served. The
 * role is kept from changing meanwhile.
 */
async function onboardBetweenSecretAndRole(cellId: string): Promise<void> {
  const cell = (await clusters(platform())).find(
    ({ clusterIdentifier }) => clusterIdentifier === `strata-${cellId}`,
  );
  const superuser = await asSuperuser(platform(), cell!);
  try {
    await superuser.query('BEGIN');
    await superuser.query("SELECT FROM pg_authid WHERE rolname = 'strata_starter' FOR UPDATE");
    const { headers } = await ask(`/cells/${cellId}`);
    const location = String(headers.get('location'));
    await vi.waitUntil(async () => (await read(location)).phase === 'renew', { timeout: 60_000 });
    let newcomer: MovingTenant;
    // The cell with the fewest tenants gets the next one.
    do newcomer = await MovingTenant.create();
    while ((await newcomer.tenant()).cellId !== cellId);
    expect((await newcomer.send('GET', '/employees')).status).toBe(200);
    await superuser.query('COMMIT');
    expect(await ended(location)).toMatchObject({ status: 'succeeded', reason: null });
    expect((await newcomer.send('GET', '/employees')).status).toBe(200);
  } finally {
    await superuser.end();
  }
}

const RUNNING = 'urn:strata:problem:rotation-running';

/** With a move that follows. It takes a while, so `npm test` makes one. */
const TIERS = [
  ['starter', undefined],
  ['business', FULL_RUN ? { targetTier: 'enterprise' } : undefined],
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
    expect(rotation, JSON.stringify(rotation)).toMatchObject({
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
    if (isStarter && FULL_RUN) await onboardBetweenSecretAndRole(String(cellId));
    await load.stop();
    expect(load.violations).toEqual([]);
    expect(await load.verify()).toEqual([]);
  },
  240_000,
);

test.concurrent('with `now`, for a leaked password, it ends at once with the sessions that have used it', async () => {
  const tenant = await MovingTenant.create({ tier: 'business' });
  const cluster = `strata-${(await tenant.tenant()).cellId}`;
  const [secret = ''] = await secretsNamed(`strata/tenant/${tenant.tenantId}/`);
  const leaked = await loginOf(secret);
  const intruder = await connectionTo(cluster, leaked);
  await intruder.connect();
  const { headers } = await ask(`/tenants/${tenant.slug}`, { now: true });
  // Long before the rotation has ended.
  await vi.waitUntil(async () => (await signIn(cluster, leaked)) === '28P01', { timeout: 60_000 });
  await vi.waitUntil(
    () =>
      intruder.query('SELECT 1').then(
        () => false,
        () => true,
      ),
    { timeout: 5_000 },
  );
  const rotation = await ended(String(headers.get('location')));
  expect(rotation).toMatchObject({ status: 'succeeded', now: true });
  expect((await tenant.send('GET', '/employees')).status).toBe(200);
}, 120_000);

test.concurrent('the owner of a cell, and of a dedicated database, gets another password while workflows work', async () => {
  const tenant = await MovingTenant.create({ tier: 'enterprise' });
  const owners = [
    ['/cells/us-2', 'strata/us-2/owner', 'strata-us-2'],
    [
      `/tenants/${tenant.slug}`,
      `strata/dedicated/${tenant.tenantId}/owner`,
      `strata-tenant-${tenant.tenantId}`,
    ],
  ] as const;
  for (const [path, secret, cluster] of owners) {
    const old = await loginOf(secret);
    const rotation = await rotated(path, { role: 'owner' });
    expect(rotation).toMatchObject({ kind: 'owner', roleName: 'strata_owner' });
    expect(await signIn(cluster, old)).toBe('28P01');
    expect(await signIn(cluster, await loginOf(secret))).toBe('signed in');
  }
  // The owner copies its rows and drops what it leaves.
  expect(await tenant.move({ targetTier: 'business' })).toMatchObject({ status: 'succeeded' });
}, 180_000);

test.concurrent('the roles of the registry get other passwords, and no request notices', async () => {
  const tenant = await MovingTenant.create();
  const names = ['reader', 'writer', 'users'].map((role) => `strata/registry/${role}`);
  const old = await Promise.all(names.map(loginOf));
  const load = tenant.load();
  load.start();
  await load.written(10);
  expect(await rotated('/regions/us')).toMatchObject({ kind: 'registry', tenantId: null, cellId: null });
  const operator = await operatorToken();
  expect((await call('GET', '/tenants', { token: operator })).status).toBe(200);
  await load.written(10);
  await load.stop();
  expect(load.violations).toEqual([]);
  for (const [index, name] of names.entries()) {
    const renewed = await loginOf(name);
    expect(renewed.username).toBe(old[index]?.username);
    expect(await signIn('strata-registry', old[index] as Login, 'registry')).toBe('28P01');
    expect(await signIn('strata-registry', renewed, 'registry')).toBe('signed in');
  }
}, 180_000);

const PHASES = [
  ...[
    'prepare',
    'create-stand-in',
    'register',
    'verify-stand-in',
    'switch',
    'renew-secret',
    'renew',
    'verify',
  ],
  ...['switch-back', 'drop-stand-in', 'discard'],
];
/** `npm test` kills one in the middle. */
const KILLED_IN = FULL_RUN ? PHASES : ['switch'];

test.concurrent(
  'an execution that is stopped, in whichever phase, is continued by the schedule, and no request fails',
  async () => {
    const { awsUrl } = platform();
    const { SFNClient, StopExecutionCommand } = await import('@aws-sdk/client-sfn');
    const states = new SFNClient(administrator(awsUrl));
    const tenant = await MovingTenant.create({ tier: 'business' });
    const cluster = `strata-${(await tenant.tenant()).cellId}`;
    const [secret = ''] = await secretsNamed(`strata/tenant/${tenant.tenantId}/`);
    const load = tenant.load();
    load.start();
    for (const phase of KILLED_IN) {
      const old = await loginOf(secret);
      await load.written(5);
      const { headers } = await ask(`/tenants/${tenant.slug}`);
      const location = String(headers.get('location'));
      let rotation: Rotation;
      // A phase may be over before it is seen: then a later one is killed.
      const isThere = async () => {
        rotation = await read(location);
        return rotation.status !== 'running' || PHASES.indexOf(rotation.phase) >= PHASES.indexOf(phase);
      };
      await vi.waitUntil(isThere, { timeout: 60_000, interval: 10 });
      await states.send(new StopExecutionCommand({ executionArn: rotation.executionArn })).catch(() => {});
      const stopped = await read(location);
      await vi.waitUntil(
        async () => {
          const ticked = await strata(['tick', 'credential-rotation'], { AWS_ENDPOINT_URL: awsUrl });
          expect(ticked, phase).toMatchObject({ code: 0 });
          const { status, executionArn } = await read(location);
          return status !== 'running' || executionArn !== stopped.executionArn;
        },
        { timeout: 60_000 },
      );
      expect(await ended(location), phase).toMatchObject({ status: 'succeeded', reason: null });
      expect(await signIn(cluster, old), phase).toBe('28P01');
      expect(await signIn(cluster, await loginOf(secret)), phase).toBe('signed in');
      expect(await secretsNamed(`strata/tenant/${tenant.tenantId}/`), phase).toEqual([secret]);
    }
    await load.stop();
    expect(load.violations).toEqual([]);
    expect(await load.verify()).toEqual([]);
  },
  FULL_RUN ? 1_200_000 : 180_000,
);

test.concurrent('a rotation that fails before requests depend on it is taken back, and can be repeated', async () => {
  const tenant = await MovingTenant.create({ tier: 'business' });
  const { cellId } = await tenant.tenant();
  const [secret = ''] = await secretsNamed(`strata/tenant/${tenant.tenantId}/`);
  const { username: role } = await loginOf(secret);
  const cell = (await clusters(platform())).find(
    ({ clusterIdentifier }) => clusterIdentifier === `strata-${cellId}`,
  );
  const superuser = await asSuperuser(platform(), cell!);
  try {
    await superuser.query(`ALTER ROLE ${role} RENAME TO ${role}_hidden`);
    const { headers } = await ask(`/tenants/${tenant.slug}`);
    const failed = await ended(String(headers.get('location')));
    expect(failed).toMatchObject({ status: 'failed', reason: expect.stringMatching(/\w/) });
    expect(await secretsNamed(`strata/tenant/${tenant.tenantId}/`)).toEqual([secret]);
    await superuser.query(`ALTER ROLE ${role}_hidden RENAME TO ${role}`);
    expect((await tenant.send('GET', '/employees')).status).toBe(200);
    const { apiUrl, awsUrl, stateDir } = platform();
    const ports = { API_PORT: new URL(apiUrl).port, AWS_PORT: new URL(awsUrl).port };
    const command = (...args: string[]) => strata(args, { ...ports, STRATA_DIR: stateDir });
    const watched = await command('rotate-credentials', tenant.slug, '--watch');
    expect(watched, watched.error).toMatchObject({ code: 0, out: expect.stringMatching(/\nsucceeded\n$/) });
    const listed = await command('credential-rotations');
    expect(listed.out).toContain(tenant.tenantId);
    const { rows } = await superuser.query('SELECT rolname FROM pg_roles WHERE rolname LIKE $1', [
      `${role}%`,
    ]);
    expect(rows).toEqual([{ rolname: role }]);
  } finally {
    await superuser.end();
  }
}, 180_000);

test.concurrent('what cannot be rotated is refused, and changes nothing', async () => {
  const operator = await operatorToken();
  const starter = await MovingTenant.create();
  const unknown = '00000000-0000-4000-8000-000000000000';
  expect((await ask(`/tenants/${unknown}`)).status).toBe(404);
  expect((await ask('/cells/us-9')).status).toBe(404);
  expect((await ask('/regions/mars')).status).toBe(404);
  expect((await call('GET', `/credential-rotations/${unknown}`, { token: operator })).status).toBe(404);
  expect((await ask(`/tenants/${starter.slug}`)).status).toBe(409);
  expect((await ask(`/tenants/${starter.slug}`, { role: 'owner' })).status).toBe(409);
  expect((await ask(`/tenants/${starter.slug}`, { role: 'starter' })).status).toBe(400);
  expect((await ask('/cells/us-1', { later: true })).status).toBe(400);
  const { status } = await call('POST', '/cells/us-1/credential-rotation', {
    token: await userToken(starter.slug),
  });
  expect(status).toBe(403);
});

test.concurrent('one at a time, and neither during a move nor a move during it', async () => {
  const tenant = await MovingTenant.create({ tier: 'business' });
  const first = await ask(`/tenants/${tenant.slug}`);
  expect(first.status).toBe(202);
  expect(await ask(`/tenants/${tenant.slug}`)).toMatchObject({ status: 409, body: { type: RUNNING } });
  const move = await tenant.ask({ targetTier: 'starter' });
  expect(move).toMatchObject({ status: 409, body: { errors: [{ rule: 'credentials' }] } });
  const { body: dryRun } = await tenant.ask({ targetTier: 'starter', dryRun: true });
  expect(JSON.stringify(dryRun)).toContain('being replaced');
  expect(await ended(String(first.headers.get('location')))).toMatchObject({ status: 'succeeded' });
  const moving = await tenant.ask({ targetTier: 'starter' });
  expect(moving.status).toBe(202);
  const refused = await ask(`/tenants/${tenant.slug}`);
  expect(refused).toMatchObject({ status: 409, body: { type: 'urn:strata:problem:conflict' } });
  expect(await tenant.ended(String(moving.headers.get('location')))).toMatchObject({ status: 'succeeded' });
}, 180_000);
