import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CloudFormationClient, DeleteStackCommand, ListStacksCommand } from '@aws-sdk/client-cloudformation';
import {
  CreateSecretCommand,
  DeleteSecretCommand,
  ListSecretsCommand,
  SecretsManagerClient,
} from '@aws-sdk/client-secrets-manager';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { activateTenant } from '../../functions/lifecycle/activate-tenant.ts';
import {
  DedicatedStackFailed,
  DedicatedStackTimeout,
  OnboardingIncomplete,
} from '../../functions/lifecycle/errors.ts';
import { launchDedicated } from '../../functions/lifecycle/launch-dedicated.ts';
import { validateOnboardingInput } from '../../functions/lifecycle/onboarding-input.ts';
import { registerTenant } from '../../functions/lifecycle/register-tenant.ts';
import { dedicatedSecretName, dedicatedStackName } from '../../functions/placement/tenant-names.ts';
import type { StackProgress } from '../../functions/provisioning/dedicated-stack.ts';
import { type ControlPlane, startControlPlane } from './control-plane.ts';

const actor = { id: 'test', type: 'system' } as const;
const settings = {
  templateUrl: 'https://bucket.s3.us-east-1.amazonaws.com/dedicated.json',
  parameters: { SubnetIds: 'subnet-1,subnet-2' },
};
let plane: ControlPlane;
let directory: string;
let counter = 0;

beforeAll(async () => {
  plane = await startControlPlane();
  await plane.addCell();
  directory = mkdtempSync(join(tmpdir(), 'strata-template-'));
  const file = join(directory, 'dedicated.json');
  writeFileSync(file, JSON.stringify(template));
  plane.serveTemplate(settings.templateUrl, file);
});
afterAll(async () => {
  await plane?.stop();
  rmSync(directory, { recursive: true, force: true });
});

/** A stand-in for DedicatedDatabaseStack with its parameters and outputs, but without a database. */
const secret = (name: string) => ({
  Type: 'AWS::SecretsManager::Secret',
  Properties: { Name: { Ref: name }, SecretString: '{}' },
});
const template = {
  Parameters: Object.fromEntries(
    [
      ...['TenantId', 'TenantSlug', 'RoleName', 'SecretName', 'OwnerSecretName', 'MasterSecretName'],
      'SubnetIds',
    ].map((name) => [name, { Type: 'String' }]),
  ),
  Resources: {
    Tenant: secret('SecretName'),
    Owner: secret('OwnerSecretName'),
    Master: secret('MasterSecretName'),
  },
  Outputs: {
    ClusterArn: {
      Value: { 'Fn::Join': [':', ['arn:aws:rds:us-east-1:000000000000:cluster', { Ref: 'TenantId' }]] },
    },
    WriterHost: { Value: 'writer.test' },
    ProxyHost: { Value: 'proxy.test' },
    Port: { Value: '5432' },
    TenantSecretArn: { Value: { Ref: 'Tenant' } },
    OwnerSecretArn: { Value: { Ref: 'Owner' } },
  },
};

async function addTenant(): Promise<string> {
  counter += 1;
  const input = validateOnboardingInput({
    ...{ name: `T ${counter}`, slug: `t-${counter}`, adminEmail: 'a@t.test', tier: 'enterprise' },
  });
  return (await registerTenant(plane.registry, input, { actor })).tenantId;
}

const advance = (tenantId: string, previous?: StackProgress) =>
  launchDedicated(plane.registry, tenantId, { ...settings, roleArn: plane.serviceRoleArn }, previous);

/** Goes on as the workflow's loop does, without its pauses. */
async function untilReady(tenantId: string, seen: StackProgress[] = []): Promise<StackProgress[]> {
  const progress = await advance(tenantId, seen.at(-1));
  return progress.ready ? [...seen, progress] : untilReady(tenantId, [...seen, progress]);
}

async function stacksOf(tenantId: string): Promise<(string | undefined)[]> {
  const { StackSummaries } = await new CloudFormationClient({}).send(new ListStacksCommand({}));
  return StackSummaries!
    .filter(({ StackName }) => StackName === dedicatedStackName(tenantId))
    .map(({ StackStatus }) => StackStatus)
    .sort();
}

async function placeOf(tenantId: string) {
  const [row] = await plane.master.query<Record<string, unknown>>(
    `SELECT database_host, writer_host, database_port, isolation_model, cell_id, stack_name, secret_arn, epoch, role_name
     FROM tenant_database_routing WHERE tenant_id = :tenantId::uuid`,
    { tenantId },
  );
  return row;
}

test('the stack is created once, waited for, and its outputs become the planned place', async () => {
  const tenantId = await addTenant();
  await expect(activateTenant(plane.registry, tenantId, actor)).rejects.toThrow(OnboardingIncomplete);
  const seen = await untilReady(tenantId);
  expect(seen[0]).toMatchObject({
    ready: false,
    phase: 'creating',
    stackId: expect.stringContaining(tenantId),
  });
  expect(await stacksOf(tenantId)).toEqual(['CREATE_COMPLETE']);
  const name = `tenant_${tenantId.replaceAll('-', '')}_e1`;
  expect(await placeOf(tenantId)).toMatchObject({
    ...{ database_host: 'proxy.test', writer_host: 'writer.test', database_port: 5432, epoch: 1 },
    ...{
      isolation_model: 'dedicated',
      cell_id: null,
      stack_name: dedicatedStackName(tenantId),
      role_name: name,
    },
    secret_arn: expect.stringContaining(`strata/tenant/${tenantId}/${name}`),
  });
  // Once more, as a step that is delivered twice or an execution that begins anew.
  const place = await placeOf(tenantId);
  expect(await advance(tenantId)).toMatchObject({ ready: true, stackId: seen[0]!.stackId });
  expect(await placeOf(tenantId)).toEqual(place);
});

test('two executions at once share one stack', async () => {
  const tenantId = await addTenant();
  await Promise.all([untilReady(tenantId), untilReady(tenantId)]);
  expect(await stacksOf(tenantId)).toEqual(['CREATE_COMPLETE']);
});

test('a failed creation is told, and the next execution clears it away and starts over', async () => {
  const tenantId = await addTenant();
  const secrets = new SecretsManagerClient({});
  const Name = dedicatedSecretName(tenantId, 'owner');
  await secrets.send(new CreateSecretCommand({ Name, SecretString: 'in the way' }));
  const error = await untilReady(tenantId).catch((cause) => cause);
  expect(error).toBeInstanceOf(DedicatedStackFailed);
  // Names of resources are for the log.
  expect(error.message).toBe('The dedicated database could not be created.');
  expect(error.cause.message).toContain(Name);
  expect(await placeOf(tenantId)).toBeUndefined();

  await secrets.send(new DeleteSecretCommand({ SecretId: Name, ForceDeleteWithoutRecovery: true }));
  const phases = (await untilReady(tenantId)).map(({ phase }) => phase);
  expect(phases[0]).toBe('clearing');
  expect(new Set(phases)).toEqual(new Set(['clearing', 'creating', 'ready']));
  expect(await stacksOf(tenantId)).toEqual(['CREATE_COMPLETE', 'DELETE_COMPLETE']);
  const { SecretList } = await secrets.send(
    new ListSecretsCommand({ Filters: [{ Key: 'name', Values: [`strata/dedicated/${tenantId}/`] }] }),
  );
  expect(SecretList).toHaveLength(2);
});

test('a stack that somebody deletes meanwhile fails the execution that waits for it, and is created anew', async () => {
  const tenantId = await addTenant();
  const first = await advance(tenantId);
  await new CloudFormationClient({}).send(new DeleteStackCommand({ StackName: first.stackId! }));
  await expect(untilReady(tenantId, [first])).rejects.toThrow(DedicatedStackFailed);
  await untilReady(tenantId);
  expect(await stacksOf(tenantId)).toContain('CREATE_COMPLETE');
});

test('patience ends after two hours', async () => {
  const tenantId = await addTenant();
  const since = new Date(Date.now() - 2 * 60 * 60_000 - 1_000).toISOString();
  const waiting = { ready: false, phase: 'creating', stackId: null, since } as const;
  await expect(advance(tenantId, waiting)).rejects.toThrow(DedicatedStackTimeout);
  // What it was waiting for goes on, and the next execution adopts it.
  await untilReady(tenantId);
  expect(await stacksOf(tenantId)).toEqual(['CREATE_COMPLETE']);
});
