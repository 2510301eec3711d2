import { DescribeDBProxiesCommand, RDSClient } from '@aws-sdk/client-rds';
import {
  CreateSecretCommand,
  DescribeSecretCommand,
  GetSecretValueCommand,
  ListSecretsCommand,
  SecretsManagerClient,
} from '@aws-sdk/client-secrets-manager';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { MoveAborted } from '../../functions/moves/errors.ts';
import {
  bootstrapTarget,
  createTargetCredentials,
  launchTarget,
  registerTarget,
} from '../../functions/moves/make-target.ts';
import { tenantSecretName } from '../../functions/placement/tenant-names.ts';
import { ProxyBusy, TenantSecretInvalid } from '../../functions/places/errors.ts';
import { acquireProxyLease } from '../../functions/places/proxy-lease.ts';
import { deleteSecret } from '../../functions/places/tenant-secret.ts';
import { type ControlPlane, startControlPlane } from '../onboarding/control-plane.ts';
import { addPlainTenant, type OpenHop, openHop, place } from './target-hop.ts';

const withoutKey = { kmsKeyArn: undefined };
let plane: ControlPlane;
let secrets: SecretsManagerClient;
let rds: RDSClient;
let cellId: string;
let tenantId: string;
let roleName: string;
let secretName: string;
let hop: OpenHop;

beforeAll(async () => {
  plane = await startControlPlane();
  secrets = new SecretsManagerClient({});
  rds = new RDSClient({});
});
afterAll(() => plane?.stop());
beforeEach(async () => {
  cellId = await plane.addCell();
  tenantId = await addPlainTenant(plane.master);
  roleName = `tenant_${tenantId.replaceAll('-', '')}_e2a1`;
  secretName = tenantSecretName(tenantId, roleName);
  hop = await openHop(plane.registry, tenantId, {
    kind: 'reshape',
    source: place({ cellId, isolationModel: 'shared' }),
    target: place({ cellId, schemaName: roleName, roleName, host: 'proxy.test', epoch: 2 }),
  });
});

const provide = async () => createTargetCredentials(await hop.context(), withoutKey);
const secretArnOfTarget = async () => (await hop.context()).hop.target.secretArn;

async function secretsOfTenant(): Promise<(string | undefined)[]> {
  const { SecretList } = await secrets.send(
    new ListSecretsCommand({
      Filters: [{ Key: 'name', Values: [`strata/tenant/${tenantId}/`] }],
      IncludePlannedDeletion: true,
    }),
  );
  return SecretList!.map(({ Name }) => Name);
}

async function accepted(): Promise<(string | undefined)[]> {
  const { DBProxies } = await rds.send(new DescribeDBProxiesCommand({ DBProxyName: cellId }));
  return DBProxies![0]!.Auth!.map((auth) => auth.SecretArn);
}

test('the target gets a secret of its own, once, however often the step runs', async () => {
  expect(await Promise.all([provide(), provide(), provide()])).toEqual(Array(3).fill({ done: true }));
  const SecretId = (await secretArnOfTarget())!;
  const { SecretString, Name } = await secrets.send(new GetSecretValueCommand({ SecretId }));
  expect(Name).toBe(secretName);
  expect(JSON.parse(SecretString!)).toMatchObject({
    username: roleName,
    password: expect.stringMatching(/^.{40,}$/),
    engine: 'postgres',
    host: 'proxy.test',
    port: 5432,
    dbname: 'strata',
  });
  const { Tags } = await secrets.send(new DescribeSecretCommand({ SecretId }));
  expect(Tags).toEqual(
    expect.arrayContaining([
      { Key: 'strata:tenant-id', Value: tenantId },
      { Key: 'strata:tier', Value: 'business' },
    ]),
  );
  await provide();
  const again = await secrets.send(new GetSecretValueCommand({ SecretId: secretName }));
  expect(again.SecretString).toBe(SecretString);
  expect(await secretsOfTenant()).toEqual([secretName]);
});

test('a secret of another role under the name is refused and left alone', async () => {
  const SecretString = JSON.stringify({ username: 'somebody', password: 'else' });
  await secrets.send(new CreateSecretCommand({ Name: secretName, SecretString }));
  await expect(provide()).rejects.toThrow(TenantSecretInvalid);
  expect(await secretArnOfTarget()).toBeNull();
  const kept = await secrets.send(new GetSecretValueCommand({ SecretId: secretName }));
  expect(kept.SecretString).toBe(SecretString);
});

test('credentials are discarded for good, by name or by ARN, and as often as wanted', async () => {
  await deleteSecret(secretName);
  await provide();
  await deleteSecret((await secretArnOfTarget())!);
  expect(await secretsOfTenant()).toEqual([]);
  await provide();
  await Promise.all([deleteSecret(secretName), deleteSecret(secretName)]);
  expect(await secretsOfTenant()).toEqual([]);
});

test('the cell’s proxy takes the target’s secret, beside what it has', async () => {
  const [starter] = await accepted();
  await provide();
  const contexts = [await hop.context(), await hop.context()];
  await Promise.all(contexts.map((context) => registerTarget(plane.registry, context)));
  expect(await accepted()).toEqual([starter, await secretArnOfTarget()]);
});

test('a proxy that is busy until the deadline is told as such', async () => {
  await provide();
  const lease = await acquireProxyLease(plane.registry, cellId);
  await expect(registerTarget(plane.registry, await hop.context(300))).rejects.toThrow(ProxyBusy);
  await lease!.release();
});

test('an aborted move makes no credentials and changes no proxy', async () => {
  const before = await accepted();
  hop.abort();
  await expect(provide()).rejects.toThrow(MoveAborted);
  await expect(registerTarget(plane.registry, await hop.context())).rejects.toThrow(MoveAborted);
  expect(await secretsOfTenant()).toEqual([]);
  expect(await accepted()).toEqual(before);
});

test('a target without a database of its own launches none, and one in shared tables gets no credentials', async () => {
  const settings = {
    templateUrl: 'none',
    parameters: {},
    sizes: {},
    roleArn: plane.serviceRoleArn,
    deletionProtection: false,
  };
  const inSchema = await hop.context();
  expect(await launchTarget(plane.registry, inSchema, settings)).toEqual({ done: true });
  expect(await bootstrapTarget(inSchema)).toEqual({ done: true });
  await hop.rollBack();
  const before = await accepted();
  hop = await openHop(plane.registry, tenantId, {
    kind: 'reshape',
    source: place({ cellId }),
    target: place({ cellId, isolationModel: 'shared', secretArn: 'arn:of-the-cell' }),
  });
  expect(await provide()).toEqual({ done: true });
  expect(await registerTarget(plane.registry, await hop.context())).toEqual({ done: true });
  expect(await secretArnOfTarget()).toBe('arn:of-the-cell');
  expect(await secretsOfTenant()).toEqual([]);
  expect(await accepted()).toEqual(before);
});
