import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { DescribeDBProxiesCommand, ModifyDBProxyCommand, RDSClient } from '@aws-sdk/client-rds';
import type { CloudFormationCustomResourceEvent, Context } from 'aws-lambda';
import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { provisionCredentials } from '../../functions/onboarding/make-place.ts';
import { validateOnboardingInput } from '../../functions/onboarding/onboarding-input.ts';
import { registerTenant } from '../../functions/onboarding/register-tenant.ts';
import {
  ProxyBusy,
  ProxyLeaseLost,
  ProxySecretsExhausted,
  UnknownCell,
} from '../../functions/places/errors.ts';
import { readProxyAuth, reconcileProxyAuth } from '../../functions/places/proxy-auth.ts';
import { acquireProxyLease } from '../../functions/places/proxy-lease.ts';
import { handler as reconcileTask } from '../../functions/tasks/reconcile-proxy-auth.ts';
import { AlertRuns } from '../alerts/alert-runs.ts';
import { FULL_RUN } from '../full-run.ts';
import { type AwsRelay, bodyOf, startAwsRelay } from './aws-relay.ts';
import { type ControlPlane, startControlPlane } from './control-plane.ts';

const actor = { id: 'test', type: 'system' } as const;
const context = { getRemainingTimeInMillis: () => 60_000, logStreamName: 'log' } as Context;
let plane: ControlPlane;
let relay: AwsRelay;
let rds: RDSClient;
let cellId: string;
let counter = 0;

beforeAll(async () => {
  plane = await startControlPlane();
  rds = new RDSClient({});
  relay = await startAwsRelay(plane.awsUrl);
  process.env.AWS_ENDPOINT_URL_RDS = relay.url;
});
afterAll(async () => {
  await relay?.stop();
  await plane?.stop();
});
beforeEach(async () => {
  relay.before = () => {};
  await plane.master.query("UPDATE cells SET status = 'full'");
  cellId = await plane.addCell();
});

/** Registers a Business tenant in the test's cell and creates its credentials. @returns id and secret */
async function addTenant(): Promise<{ tenantId: string; secretArn: string }> {
  counter += 1;
  const input = validateOnboardingInput({
    name: `T ${counter}`,
    slug: `t-${counter}`,
    adminEmail: 'a@t.test',
    tier: 'business',
  });
  const { tenantId } = await registerTenant(plane.registry, input, { actor });
  await provisionCredentials(plane.registry, tenantId, { kmsKeyArn: undefined });
  const [row] = await plane.master.query<{ secret_arn: string }>(
    'SELECT secret_arn FROM tenant_database_routing WHERE tenant_id = :tenantId::uuid',
    { tenantId },
  );
  return { tenantId, secretArn: row!.secret_arn };
}

async function accepted(ofCell = cellId): Promise<string[]> {
  const { DBProxies } = await rds.send(new DescribeDBProxiesCommand({ DBProxyName: ofCell }));
  return DBProxies![0]!.Auth!.map((auth) => auth.SecretArn!).sort();
}

/** Puts back the list that the template has, as an update by CloudFormation does. */
async function eraseRunTimeSecrets(): Promise<void> {
  const starter = (await accepted()).find((arn) => arn.includes('/starter-'))!;
  await rds.send(new ModifyDBProxyCommand({ DBProxyName: cellId, Auth: [{ SecretArn: starter }] }));
  expect(await accepted()).toEqual([starter]);
}

test('eight tenants registered at once are all accepted, beside the starter secret', async () => {
  const before = await accepted();
  expect(before).toHaveLength(1);
  const tenants = await Promise.all(
    Array.from({ length: 8 }, async () => {
      const tenant = await addTenant();
      await reconcileProxyAuth(plane.registry, cellId);
      expect(await accepted()).toContain(tenant.secretArn);
      return tenant.secretArn;
    }),
  );
  expect(await accepted()).toEqual([...before, ...tenants].sort());
});

test('secrets that the proxy lacks are told, but not those that were recorded just now', async () => {
  const { secretArn } = await addTenant();
  const recent = await readProxyAuth(plane.registry, cellId);
  expect(recent).toEqual({ secrets: 2, missing: [], authFailure: null });
  expect(await readProxyAuth(plane.registry, cellId, 0)).toEqual({
    secrets: 2,
    missing: [secretArn],
    authFailure: null,
  });
  await reconcileProxyAuth(plane.registry, cellId);
  expect((await readProxyAuth(plane.registry, cellId, 0)).missing).toEqual([]);
  await eraseRunTimeSecrets();
  expect((await readProxyAuth(plane.registry, cellId, 0)).missing).toEqual([secretArn]);
});

test('alert proxy-secrets: secrets that a deployment has erased, until the schedule puts them back', async () => {
  const { secretArn } = await addTenant();
  await reconcileProxyAuth(plane.registry, cellId);
  const alerts = new AlertRuns(plane.registry);
  // The tenant's secret was recorded just now; an older one is told at once.
  const run = { readProxy: (ofCell: string) => readProxyAuth(plane.registry, ofCell, 0) };
  await alerts.run(run);
  expect(await alerts.alerts(cellId)).toEqual([]);
  await eraseRunTimeSecrets();
  const alert = await alerts.opensOnceAndEnds({
    about: cellId,
    kind: 'proxy-secrets',
    run,
    end: () => inTask(() => reconcileTask({}, context)),
  });
  expect(alert.severity).toBe('critical');
  const [missing] = alert.details.missing as string[];
  expect(secretArn).toContain(`:secret:${missing}-`);
});

test('alert proxy-secrets: a password that was changed in the database only, until it is the secret’s again', async () => {
  const role = 'strata_starter';
  const password = (value: string) => plane.master.query(`ALTER ROLE ${role} PASSWORD '${value}'`);
  await plane.master.query(`CREATE ROLE ${role} LOGIN PASSWORD 'starter-password'`);
  await plane.deploy(`${cellId}-target`, {
    Resources: {
      Target: {
        Type: 'AWS::RDS::DBProxyTargetGroup',
        Properties: { DBProxyName: cellId, TargetGroupName: 'default', DBClusterIdentifiers: ['registry'] },
      },
    },
  });
  const alerts = new AlertRuns(plane.registry);
  const run = { readProxy: (ofCell: string) => readProxyAuth(plane.registry, ofCell) };
  await alerts.run(run);
  expect(await alerts.alerts(cellId)).toEqual([]);
  await password('changed by hand');
  const alert = await alerts.opensOnceAndEnds({
    about: cellId,
    kind: 'proxy-secrets',
    run,
    end: () => password('starter-password'),
  });
  expect(alert).toMatchObject({
    summary: `The proxy of cell ${cellId} cannot sign in to its database.`,
    details: { authFailure: expect.any(String) },
  });
});

test('a list that is right is left alone', async () => {
  await addTenant();
  expect(await reconcileProxyAuth(plane.registry, cellId)).toEqual({ changed: true, secrets: 2 });
  relay.before = (body) => expect(body).not.toContain('ModifyDBProxy');
  expect(await reconcileProxyAuth(plane.registry, cellId)).toEqual({ changed: false, secrets: 2 });
});

test('suspended and arriving tenants stay accepted, failed, offboarded and departed ones do not', async () => {
  const [active, suspended, failed, offboarded, arriving, gone] = await Promise.all(
    [1, 2, 3, 4, 5, 6].map(addTenant),
  );
  for (const [tenant, status] of [
    [active, 'active'],
    [suspended, 'suspended'],
    [failed, 'failed'],
    [offboarded, 'offboarded'],
    [arriving, 'arriving'],
    [gone, 'elsewhere'],
  ] as const) {
    const { tenantId } = tenant!;
    await plane.master.query('UPDATE tenants SET status = :status WHERE tenant_id = :tenantId::uuid', {
      status,
      tenantId,
    });
  }
  await reconcileProxyAuth(plane.registry, cellId);
  const list = await accepted();
  expect(list).toHaveLength(4);
  expect(list).toEqual(
    expect.arrayContaining([active!.secretArn, suspended!.secretArn, arriving!.secretArn]),
  );
});

test('a deployment that erased the run-time secrets is answered, and puts them back', async () => {
  await addTenant();
  await reconcileProxyAuth(plane.registry, cellId);
  const before = await accepted();
  await eraseRunTimeSecrets();
  const answers: unknown[] = [];
  const cloudFormation = createServer(async (request, response) => {
    answers.push(JSON.parse(await bodyOf(request)));
    response.end();
  });
  await new Promise<void>((listening) => cloudFormation.listen(0, '127.0.0.1', listening));
  const { port } = cloudFormation.address() as AddressInfo;
  const event = {
    RequestType: 'Update',
    ResponseURL: `http://127.0.0.1:${port}/`,
    RequestId: 'r',
    StackId: 's',
    LogicalResourceId: 'ProxyAuth',
    PhysicalResourceId: `proxy-auth-${cellId}`,
    ServiceToken: 't',
    ResourceType: 'Custom::StrataProxyAuth',
    OldResourceProperties: {},
    ResourceProperties: { ServiceToken: 't', CellId: cellId, DeployTime: 'now' },
  } as unknown as CloudFormationCustomResourceEvent;
  await inTask(() => reconcileTask(event, context));
  expect(answers).toMatchObject([{ Status: 'SUCCESS', PhysicalResourceId: `proxy-auth-${cellId}` }]);
  expect(await accepted()).toEqual(before);
  await new Promise((closed) => cloudFormation.close(closed));
});

test('the schedule puts every cell right, past one whose proxy is gone', async () => {
  await addTenant();
  await reconcileProxyAuth(plane.registry, cellId);
  const before = await accepted();
  await eraseRunTimeSecrets();
  const broken = await plane.addCell();
  await plane.master.query(
    "UPDATE cells SET cell_id = 'a-broken', proxy_name = 'gone' WHERE cell_id = :broken",
    {
      broken,
    },
  );
  await expect(inTask(() => reconcileTask({}, context))).rejects.toThrow('1 proxies were not reconciled');
  expect(await accepted()).toEqual(before);
  await plane.master.query("DELETE FROM cells WHERE cell_id = 'a-broken'");
  await inTask(() => reconcileTask({ source: 'aws.scheduler' }, context));
});

const DEPLOYMENT_ENDED = {
  source: 'aws.cloudformation',
  'detail-type': 'CloudFormation Stack Status Change',
  detail: { 'stack-id': 'arn:s', 'status-details': { status: 'UPDATE_ROLLBACK_COMPLETE' } },
};
test.each([
  ['the schedule', {}],
  ['a deployment that has ended', DEPLOYMENT_ENDED],
])(
  '%s costs one description of each proxy and no write where all is right, and repairs what is not',
  async (_by, event) => {
    await addTenant();
    await reconcileProxyAuth(plane.registry, cellId);
    const before = await accepted();
    const versions = () =>
      plane.master.query<{ cell_id: string }>('SELECT cell_id, xmin::text FROM cells ORDER BY cell_id');
    const unwritten = await versions();
    const calls: string[] = [];
    relay.before = (body) => {
      calls.push(`${/Action=(\w+)/.exec(body)?.[1]} ${/DBProxyName=([\w-]+)/.exec(body)?.[1]}`);
    };
    await inTask(() => reconcileTask(event, context));
    const cells = unwritten.map(({ cell_id }) => cell_id);
    expect(calls).toEqual(cells.map((cell) => `DescribeDBProxies ${cell}`));
    expect(await versions()).toEqual(unwritten);
    await eraseRunTimeSecrets();
    await inTask(() => reconcileTask(event, context));
    expect(await accepted()).toEqual(before);
  },
);

test('a repair waits for whoever changes the proxy, and leaves it to the next run where that takes long', async () => {
  await addTenant();
  await reconcileProxyAuth(plane.registry, cellId);
  const before = await accepted();
  await eraseRunTimeSecrets();
  const holder = await acquireProxyLease(plane.registry, cellId);
  const [repaired] = await Promise.all([
    inTask(() => reconcileTask({}, context)).then(() => accepted()),
    delay(300).then(() => holder!.release()),
  ]);
  expect(repaired).toEqual(before);
  if (!FULL_RUN) return;
  await eraseRunTimeSecrets();
  await acquireProxyLease(plane.registry, cellId);
  await plane.master.query("UPDATE cells SET proxy_lease_expires_at = 'infinity' WHERE cell_id = :cellId", {
    cellId,
  });
  await inTask(() => reconcileTask({}, context));
  expect(await accepted()).toHaveLength(1);
  // An event comes once: its delivery fails, so that it is repeated.
  process.env.CELL_ID = cellId;
  await expect(inTask(() => reconcileTask(DEPLOYMENT_ENDED, context))).rejects.toThrow(ProxyBusy);
  delete process.env.CELL_ID;
  await plane.master.query('UPDATE cells SET proxy_lease_expires_at = now() WHERE cell_id = :cellId', {
    cellId,
  });
  await inTask(() => reconcileTask({}, context));
  expect(await accepted()).toEqual(before);
});

test('a proxy whose lease is held is busy; a lease that ran out is taken over', async () => {
  await addTenant();
  const dead = await acquireProxyLease(plane.registry, cellId);
  expect(dead).toBeDefined();
  await expect(reconcileProxyAuth(plane.registry, cellId, { patienceMs: 500 })).rejects.toThrow(ProxyBusy);
  await plane.master.query(
    "UPDATE cells SET proxy_lease_expires_at = clock_timestamp() - interval '1 s' WHERE cell_id = :cellId",
    { cellId },
  );
  await expect(dead!.renew()).rejects.toThrow(ProxyLeaseLost);
  expect(await reconcileProxyAuth(plane.registry, cellId)).toMatchObject({ changed: true });
});

test('a holder that lost its lease while changing the proxy learns of it and leaves the new lease alone', async () => {
  await addTenant();
  let thief: Awaited<ReturnType<typeof acquireProxyLease>>;
  relay.before = async (body) => {
    if (!body.includes('Action=ModifyDBProxy')) return;
    relay.before = () => {};
    await plane.master.query('UPDATE cells SET proxy_lease_expires_at = now() WHERE cell_id = :cellId', {
      cellId,
    });
    thief = await acquireProxyLease(plane.registry, cellId);
  };
  await expect(reconcileProxyAuth(plane.registry, cellId)).rejects.toThrow(ProxyLeaseLost);
  await thief!.renew();
  await thief!.release();
});

test('a deployment that erases the secrets while a run verifies its change does not keep the lease from the next run', async () => {
  const { secretArn } = await addTenant();
  let modified = false;
  relay.before = async (body) => {
    if (body.includes('Action=ModifyDBProxy')) modified = true;
    if (!modified || !body.includes('Action=DescribeDBProxies')) return;
    relay.before = () => {};
    await vi.waitFor(eraseRunTimeSecrets, { timeout: 5_000 });
  };
  expect(await reconcileProxyAuth(plane.registry, cellId, { patienceMs: 20_000 })).toMatchObject({
    changed: true,
  });
  expect(modified).toBe(true);
  expect(await accepted()).toContain(secretArn);
});

test('more secrets than a proxy takes are refused before the proxy is touched', async () => {
  const before = await accepted();
  await plane.master.query(
    `WITH added AS (INSERT INTO tenants (tenant_name, tenant_slug, isolation_model, subscription_tier, home_region)
                    SELECT 'many ' || n, 'many-' || n, 'schema', 'business', 'us' FROM generate_series(1, 200) n
                    RETURNING tenant_id)
     INSERT INTO tenant_database_routing (tenant_id, database_host, database_port, database_name, isolation_model,
                                          cell_id, secret_arn, epoch, region)
     SELECT tenant_id, 'h', 5432, 'strata', 'schema', :cellId, 'arn:' || tenant_id, 1, 'us' FROM added`,
    { cellId },
  );
  await expect(reconcileProxyAuth(plane.registry, cellId)).rejects.toThrow(ProxySecretsExhausted);
  expect(await accepted()).toEqual(before);
});

test('a cell that the registry does not know is refused', async () => {
  await expect(reconcileProxyAuth(plane.registry, 'nowhere')).rejects.toThrow(UnknownCell);
});

/** With the environment that the task's function has. */
async function inTask<Result>(work: () => Promise<Result>): Promise<Result> {
  const { clusterArn, secretArn } = plane;
  Object.assign(process.env, {
    REGISTRY_CLUSTER_ARN: clusterArn,
    REGISTRY_SECRET_ARN: secretArn,
    REGISTRY_DATABASE: 'registry',
  });
  return work();
}
