import { CloudFormationClient, DescribeStacksCommand, type Stack } from '@aws-sdk/client-cloudformation';
import { DescribeDBInstancesCommand, RDSClient } from '@aws-sdk/client-rds';
import { SFNClient, StopExecutionCommand } from '@aws-sdk/client-sfn';
import { expect, test, vi } from 'vitest';
import { FULL_RUN } from '../full-run.ts';
import { addCountedSkill, COUNTED, summaryOf } from './counted-skill.ts';
import { MovingTenant } from './moving-tenant.ts';
import { ASK_EVERY_MS, call, operatorToken, platform, userToken } from './running-platform.ts';

const client = () => ({
  endpoint: platform().awsUrl,
  region: 'us-east-1',
  credentials: { accessKeyId: 'administrator', secretAccessKey: 'local' },
});

/** Classes of the instances of each of the tenant's clusters. */
async function instancesOf({ tenantId }: MovingTenant): Promise<Record<string, string[]>> {
  const { DBInstances = [] } = await new RDSClient(client()).send(new DescribeDBInstancesCommand({}));
  const classes: Record<string, string[]> = {};
  for (const { DBClusterIdentifier: cluster = '', DBInstanceClass = '' } of DBInstances) {
    if (!cluster.startsWith(`strata-tenant-${tenantId}`)) continue;
    classes[cluster] = [...(classes[cluster] ?? []), DBInstanceClass];
  }
  return classes;
}

async function stackNamed(StackName: string): Promise<Stack | undefined> {
  const asked = new CloudFormationClient(client()).send(new DescribeStacksCommand({ StackName }));
  return (await asked.catch(() => undefined))?.Stacks?.[0];
}

const SMALL = ['db.t4g.medium'];
const LARGE = ['db.r6g.xlarge', 'db.r6g.xlarge', 'db.r6g.xlarge'];

test('from small to large under load: no request fails, nothing is lost, and the small database is deleted', async () => {
  const tenant = await MovingTenant.create({ tier: 'enterprise', databaseSize: 'small' });
  expect(await tenant.tenant()).toMatchObject({ tier: 'enterprise', databaseSize: 'small' });
  expect(Object.values(await instancesOf(tenant))).toEqual([SMALL]);
  const small = Object.keys(await instancesOf(tenant))[0] as string;
  const token = await userToken(tenant.slug);
  const skillId = await addCountedSkill(token);
  const load = tenant.load();
  load.start();
  await load.written(20);

  const move = await tenant.move({ targetSize: 'large' });

  expect(move, JSON.stringify(move)).toMatchObject({
    status: 'succeeded',
    target: { size: 'large' },
    plan: [
      { kind: 'relocate', from: { databaseSize: 'small' }, to: { databaseSize: 'large', region: 'us' } },
    ],
  });
  expect(await tenant.tenant()).toMatchObject({ isolationModel: 'dedicated', databaseSize: 'large' });
  for (const { name, sourceHash, targetHash } of move.report.tables)
    expect(targetHash, name).toBe(sourceHash);
  // Read from a reader of the new database.
  expect((await summaryOf(token, skillId)).items).toMatchObject(COUNTED);
  await load.written(20);
  await load.stop();
  expect(load.violations).toEqual([]);
  expect(await load.verify()).toEqual([]);

  await vi.waitUntil(async () => (await stackNamed(`strata-tenant-${tenant.tenantId}-small`)) === undefined, {
    timeout: 60_000,
    interval: ASK_EVERY_MS,
  });
  const left = await instancesOf(tenant);
  expect(Object.keys(left)).not.toContain(small);
  expect(Object.values(left)).toEqual([LARGE]);
  const large = Object.keys(left)[0] as string;
  const traces = [
    'dedicated: home dedicated tenant_ID_e2a1',
    'dedicated: role tenant_ID_e2a1',
    'dedicated: schema tenant_ID_e2a1',
    'secret strata/tenant/ID/tenant_ID_e2a1',
  ];
  expect(await tenant.traces(traces)).toEqual(traces);
  expect(large).not.toBe(small);
}, 180_000);

test('a size that does not exist, is not to be had, or is there already: refused, and nothing changes', async () => {
  const starter = await MovingTenant.create();
  const before = await starter.tenant();
  expect(await starter.ask({ targetSize: 'huge' })).toMatchObject({
    status: 400,
    body: { errors: [{ pointer: '/targetSize', detail: 'must be one of small, medium, large' }] },
  });
  expect(await starter.ask({ targetTier: 'business', targetSize: 'small' })).toMatchObject({
    status: 400,
    body: { errors: [{ pointer: '/targetSize' }] },
  });
  expect(await starter.ask({ targetCell: 'us-2', targetSize: 'small' })).toMatchObject({ status: 400 });
  expect(await starter.ask({})).toMatchObject({ status: 400 });
  expect(await starter.ask({ targetSize: 'small' })).toMatchObject({
    status: 409,
    body: { errors: [{ rule: 'size' }] },
  });
  expect(await starter.ask({ targetSize: 'small', dryRun: true })).toMatchObject({
    status: 200,
    body: { plan: [], forbidden: [{ rule: 'size' }] },
  });
  expect(await starter.ask({ targetTier: 'enterprise', targetSize: 'large', dryRun: true })).toMatchObject({
    status: 200,
    body: {
      plan: [
        { kind: 'reshape' },
        { kind: 'relocate', to: { isolationModel: 'dedicated', databaseSize: 'large' } },
      ],
      forbidden: [],
    },
  });
  expect(await starter.tenant()).toEqual(before);

  const token = await operatorToken();
  const acme = (await call('GET', '/tenants/acme', { token })).body;
  expect(acme.databaseSize).toBe('medium');
  for (const body of [
    { targetSize: 'medium' },
    { targetTier: 'enterprise', targetSize: 'medium' },
    { targetTier: 'enterprise' },
  ]) {
    expect(await call('POST', '/tenants/acme/moves', { token, body }), JSON.stringify(body)).toMatchObject({
      status: 409,
    });
  }
  expect((await call('GET', '/tenants/acme', { token })).body).toEqual(acme);
});

test('onboarding refuses a size that does not exist, and any size for a tier without a database of its own', async () => {
  const token = await operatorToken();
  const input = { name: 'No such size', slug: 'no-such-size', adminEmail: 'admin@no-such-size.test' };
  const onboard = (fields: object) => call('POST', '/tenants', { token, body: { ...input, ...fields } });
  for (const fields of [
    { tier: 'enterprise', databaseSize: 'huge' },
    { tier: 'business', databaseSize: 'small' },
    { databaseSize: 'small' },
  ]) {
    expect(await onboard(fields), JSON.stringify(fields)).toMatchObject({
      status: 400,
      body: { errors: [{ pointer: '/databaseSize' }] },
    });
  }
  expect((await call('GET', '/tenants/no-such-size', { token })).status).toBe(404);
});

test.runIf(FULL_RUN)(
  'a size change whose execution is stopped while it copies is rolled back, and the same request then completes it',
  async () => {
    const tenant = await MovingTenant.create({ tier: 'enterprise', databaseSize: 'small' });
    const load = tenant.load();
    load.start();
    await load.written(10);
    const { headers, body: asked } = await tenant.ask({ targetSize: 'large' });
    const location = String(headers.get('location'));
    const token = await operatorToken();
    const phase = async () => (await call('GET', location, { token })).body.phase;
    await vi.waitUntil(async () => !['planned', 'begun', 'launch', 'bootstrap'].includes(await phase()), {
      timeout: 60_000,
      interval: 20,
    });
    await new SFNClient(client()).send(new StopExecutionCommand({ executionArn: asked.executionArn }));
    const stopped = await tenant.ended(location);
    // Where it was stopped after its commit, recovery settles it.
    if (stopped.status !== 'succeeded') {
      expect(stopped.status).toBe('aborted');
      expect((await tenant.tenant()).databaseSize).toBe('small');
      expect(await tenant.move({ targetSize: 'large' })).toMatchObject({ status: 'succeeded' });
    }
    await load.written(10);
    await load.stop();
    expect(load.violations).toEqual([]);
    expect(await load.verify()).toEqual([]);
    expect((await tenant.tenant()).databaseSize).toBe('large');
    await vi.waitUntil(async () => Object.keys(await instancesOf(tenant)).length === 1, {
      timeout: 60_000,
      interval: ASK_EVERY_MS,
    });
    expect(Object.values(await instancesOf(tenant))).toEqual([LARGE]);
  },
  180_000,
);
