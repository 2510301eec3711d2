import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import tls from 'node:tls';
import {
  CloudFormationClient,
  CreateStackCommand,
  DescribeStacksCommand,
  ListStacksCommand,
} from '@aws-sdk/client-cloudformation';
import { afterAll, beforeAll, beforeEach, expect, inject, test } from 'vitest';
import { createTenantSchema } from '../../functions/database/provisioning/tenant-schema.ts';
import { MoveAborted } from '../../functions/moves/errors.ts';
import type { HopContext } from '../../functions/moves/hop.ts';
import { bootstrapTarget, launchTarget } from '../../functions/moves/make-target.ts';
import { dedicatedSecretName, dedicatedStackName } from '../../functions/placement/tenant-names.ts';
import { driveDedicatedStack, type StackProgress } from '../../functions/places/dedicated-stack.ts';
import { DedicatedStackFailed, TenantUnreachable } from '../../functions/places/errors.ts';
import { verifyPlace } from '../../functions/places/place-database.ts';
import { type ControlPlane, startControlPlane } from '../onboarding/control-plane.ts';
import { TestDatabase } from '../test-database.ts';
import { dedicatedSettings, serveDedicatedTemplate } from './dedicated-template.ts';
import { addPlainTenant, type OpenHop, openHop, place } from './target-hop.ts';

const { host, port, logins, certificate } = inject('databaseServer');
let plane: ControlPlane;
let directory: string;
let cloudFormation: CloudFormationClient;
let tenantId: string;
let hop: OpenHop;

beforeAll(async () => {
  tls.setDefaultCACertificates([...tls.rootCertificates, certificate]);
  plane = await startControlPlane();
  cloudFormation = new CloudFormationClient({});
  directory = mkdtempSync(join(tmpdir(), 'strata-template-'));
  const passwords = { masterPassword: logins.master.password, ownerPassword: logins.owner.password };
  serveDedicatedTemplate(plane, directory, { host, port, ...passwords });
});
afterAll(async () => {
  await plane?.stop();
  rmSync(directory, { recursive: true, force: true });
});
beforeEach(async () => {
  tenantId = await addPlainTenant(plane.master);
  hop = await openHop(plane.registry, tenantId, {
    source: place({ cellId: 'cell', schemaName: roleName('1'), roleName: roleName('1') }),
    target: place({
      isolationModel: 'dedicated',
      host: null,
      port: null,
      writerHost: null,
      epoch: 2,
      schemaName: roleName('2a1'),
      roleName: roleName('2a1'),
    }),
  });
});

const roleName = (suffix: string) => `tenant_${tenantId.replaceAll('-', '')}_e${suffix}`;
const settings = () => ({ ...dedicatedSettings, roleArn: plane.serviceRoleArn });
const launch = (context: HopContext, cursor?: unknown) =>
  launchTarget(plane.registry, context, settings(), cursor);

/** Calls the step as the workflow does, each time with a look and no time to wait. */
async function launched(cursors: (StackProgress | undefined)[] = []): Promise<StackProgress[]> {
  const { done, cursor } = await launch(await hop.context(0), cursors.at(-1));
  const seen = [...cursors, cursor] as StackProgress[];
  return done ? seen : launched(seen);
}

const targetOf = async () => (await hop.context()).hop.target;

async function stackOf() {
  const StackName = dedicatedStackName(tenantId);
  const { Stacks } = await cloudFormation.send(new DescribeStacksCommand({ StackName }));
  return Stacks![0]!;
}

async function stackCount(): Promise<number> {
  const { StackSummaries } = await cloudFormation.send(new ListStacksCommand({}));
  return StackSummaries!.filter(({ StackName }) => StackName === dedicatedStackName(tenantId)).length;
}

test('a new database is launched with the role of the attempt, and the target learns where it is', async () => {
  const seen = await launched();
  expect(seen[0]).toMatchObject({ ready: false, phase: 'creating', stackId: expect.any(String) });
  expect(await targetOf()).toMatchObject({
    host,
    port,
    writerHost: host,
    readerHost: 'reader.test',
    database: 'strata',
    clusterArn: `arn:aws:rds:us-east-1:000000000000:cluster:${tenantId}`,
    stackName: dedicatedStackName(tenantId),
    roleName: roleName('2a1'),
    schemaName: roleName('2a1'),
    secretArn: expect.stringContaining(`:secret:strata/tenant/${tenantId}/${roleName('2a1')}-`),
    ownerSecret: expect.stringContaining(`:secret:${dedicatedSecretName(tenantId, 'owner')}-`),
  });
  // The registry still says starter: the tags tell what the database is for.
  expect((await stackOf()).Tags).toEqual(
    expect.arrayContaining([
      { Key: 'strata:tenant-id', Value: tenantId },
      { Key: 'strata:tier', Value: 'enterprise' },
    ]),
  );
  // Delivered once more.
  const target = await targetOf();
  expect(await launch(await hop.context(), seen.at(-1))).toMatchObject({ done: true });
  expect(await targetOf()).toEqual(target);
});

test('with time left, one call waits for the stack', async () => {
  expect(await launch(await hop.context())).toMatchObject({ done: true, cursor: { ready: true } });
});

test('two executions of the step at once share one stack', async () => {
  await Promise.all([launched(), launched()]);
  expect(await stackCount()).toBe(1);
  expect(await targetOf()).toMatchObject({ host, roleName: roleName('2a1') });
});

test('the stack of an earlier stay is used again, with its own role and secret', async () => {
  const earlier = {
    tenantId,
    slug: 'earlier',
    tier: 'enterprise',
    roleName: roleName('1'),
    size: 'medium',
  } as const;
  let progress: StackProgress | undefined;
  while (!progress?.ready) progress = (await driveDedicatedStack(earlier, settings(), progress)).progress;
  expect(await launched()).toMatchObject([{ ready: true, stackId: progress.stackId }]);
  expect(await targetOf()).toMatchObject({
    host,
    port,
    roleName: roleName('1'),
    schemaName: roleName('2a1'),
    secretArn: expect.stringContaining(`/${roleName('1')}-`),
  });
  expect(await stackCount()).toBe(1);
});

test('nothing is launched for a move that was aborted', async () => {
  hop.abort();
  await expect(launch(await hop.context())).rejects.toThrow(MoveAborted);
  expect(await stackCount()).toBe(0);
});

test('a move that is aborted while its stack is being made ends, and the next one adopts the stack', async () => {
  const { cursor } = await launch(await hop.context(0));
  hop.abort();
  await expect(launch(await hop.context(), cursor)).rejects.toThrow(MoveAborted);
  await hop.rollBack();
  hop = await openHop(plane.registry, tenantId, {
    source: place({ cellId: 'cell' }),
    target: place({ isolationModel: 'dedicated', host: null, port: null, roleName: roleName('2a2') }),
  });
  await launched();
  expect(await targetOf()).toMatchObject({ host, roleName: roleName('2a1') });
  expect(await stackCount()).toBe(1);
});

test('a stack under the tenant’s name that is none of ours is refused', async () => {
  const { StackId } = await cloudFormation.send(
    new CreateStackCommand({
      StackName: dedicatedStackName(tenantId),
      RoleARN: plane.serviceRoleArn,
      TemplateBody: JSON.stringify({
        Resources: { Secret: { Type: 'AWS::SecretsManager::Secret', Properties: { SecretString: 'x' } } },
      }),
    }),
  );
  await expect(launched()).rejects.toThrow(DedicatedStackFailed);
  expect(await stackOf()).toMatchObject({ StackId, StackStatus: 'CREATE_COMPLETE' });
});

test('the database is prepared without shared tables, twice at once too, and its proxy is tried', async () => {
  const database = await TestDatabase.empty();
  try {
    await launched();
    const inDatabase = await hop.context();
    await inDatabase.amendTarget({ database: database.name });
    const contexts = [await hop.context(), await hop.context()];
    expect(await Promise.all(contexts.map((context) => bootstrapTarget(context)))).toEqual([
      { done: true },
      { done: true },
    ]);
    const owner = await database.connect('owner');
    const { rows } = await owner.query(
      "SELECT nspname FROM pg_namespace WHERE nspname IN ('tenancy', 'shared') ORDER BY nspname",
    );
    expect(rows).toEqual([{ nspname: 'tenancy' }]);

    // No rollout reaches a database of an earlier stay.
    const version = async () =>
      (await owner.query(`SELECT obj_description('tenancy'::regnamespace, 'pg_namespace') AS version`))
        .rows[0];
    const now = await version();
    await owner.query(`COMMENT ON SCHEMA tenancy IS 'version 1'`);
    await bootstrapTarget(await hop.context());
    expect(await version()).toEqual(now);

    const target = await targetOf();
    await expect(verifyPlace(target)).rejects.toThrow(TenantUnreachable);
    const { schemaName, roleName: login } = target;
    const role = { roleName: login, password: 'tenant-password', connectionLimit: 5 };
    await createTenantSchema(owner, { tenantId, schemaName, ...role });
    await verifyPlace(target);
  } finally {
    await database.drop();
  }
});
