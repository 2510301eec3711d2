import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CloudFormationClient, DeleteStackCommand, ListStacksCommand } from '@aws-sdk/client-cloudformation';
import {
  DescribeDBClustersCommand,
  DescribeDBProxiesCommand,
  ModifyDBClusterCommand,
  RDSClient,
} from '@aws-sdk/client-rds';
import {
  CreateSecretCommand,
  DeleteSecretCommand,
  ListSecretsCommand,
  SecretsManagerClient,
} from '@aws-sdk/client-secrets-manager';
import { RequestServiceQuotaIncreaseCommand, ServiceQuotasClient } from '@aws-sdk/client-service-quotas';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { DatabaseSize } from '../../functions/contracts/database-size.ts';
import {
  countDedicatedDatabases,
  eraseDedicatedDatabase,
  findSecrets,
} from '../../functions/offboarding/erase-place.ts';
import { activateTenant } from '../../functions/onboarding/activate-tenant.ts';
import {
  DedicatedStackFailed,
  DedicatedStackTimeout,
  OnboardingIncomplete,
} from '../../functions/onboarding/errors.ts';
import { launchDedicated } from '../../functions/onboarding/make-place.ts';
import { validateOnboardingInput } from '../../functions/onboarding/onboarding-input.ts';
import { registerTenant } from '../../functions/onboarding/register-tenant.ts';
import { dedicatedSecretName, dedicatedStackName } from '../../functions/placement/tenant-names.ts';
import {
  type DedicatedStackSettings,
  driveDedicatedStack,
  type StackProgress,
} from '../../functions/places/dedicated-stack.ts';
import { RegionQuotaExhausted } from '../../functions/places/errors.ts';
import { FULL_RUN } from '../full-run.ts';
import { type ControlPlane, startControlPlane } from './control-plane.ts';
import { databaseTemplate, secretsTemplate } from './database-template.ts';

const actor = { id: 'test', type: 'system' } as const;
const settings = {
  templateUrl: 'https://bucket.s3.us-east-1.amazonaws.com/dedicated.json',
  parameters: { SubnetIds: 'subnet-1,subnet-2' },
  sizes: {},
  // The stand-in has no cluster.
  deletionProtection: false,
};
let plane: ControlPlane;
let directory: string;
let counter = 0;

beforeAll(async () => {
  plane = await startControlPlane();
  await plane.addCell();
  directory = mkdtempSync(join(tmpdir(), 'strata-template-'));
  const file = join(directory, 'dedicated.json');
  writeFileSync(file, JSON.stringify(secretsTemplate));
  plane.serveTemplate(settings.templateUrl, file);
});
afterAll(async () => {
  await plane?.stop();
  rmSync(directory, { recursive: true, force: true });
});

async function addTenant(): Promise<string> {
  counter += 1;
  const input = validateOnboardingInput({
    name: `T ${counter}`,
    slug: `t-${counter}`,
    adminEmail: 'a@t.test',
    tier: 'enterprise',
  });
  return (await registerTenant(plane.registry, input, { actor })).tenantId;
}

const advance = (tenantId: string, previous?: StackProgress, changed: Partial<DedicatedStackSettings> = {}) =>
  launchDedicated(
    plane.registry,
    tenantId,
    { ...settings, roleArn: plane.serviceRoleArn, ...changed },
    previous,
  );

/** Goes on as the workflow's loop does, without its pauses. `look` sees each answer. */
async function untilReady(
  tenantId: string,
  seen: StackProgress[] = [],
  changed: Partial<DedicatedStackSettings> = {},
  look: (progress: StackProgress) => Promise<unknown> = async () => {},
): Promise<StackProgress[]> {
  const progress = await advance(tenantId, seen.at(-1), changed);
  await look(progress);
  if (progress.ready) return [...seen, progress];
  return untilReady(tenantId, [...seen, progress], changed, look);
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
    database_host: 'proxy.test',
    writer_host: 'writer.test',
    database_port: 5432,
    epoch: 1,
    isolation_model: 'dedicated',
    cell_id: null,
    stack_name: dedicatedStackName(tenantId),
    role_name: name,
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

const secretsOf = async (tenantId: string) => {
  const Filters = [{ Key: 'name' as const, Values: [`strata/dedicated/${tenantId}/`] }];
  const { SecretList } = await new SecretsManagerClient({}).send(new ListSecretsCommand({ Filters }));
  return SecretList!.length;
};
/** A secret whose name the stack wants. @returns what takes it away. */
async function putInTheWay(tenantId: string): Promise<() => Promise<unknown>> {
  const secrets = new SecretsManagerClient({});
  const Name = dedicatedSecretName(tenantId, 'owner');
  await secrets.send(new CreateSecretCommand({ Name, SecretString: 'in the way' }));
  const takeAway = () =>
    secrets.send(new DeleteSecretCommand({ SecretId: Name, ForceDeleteWithoutRecovery: true }));
  let taken: ReturnType<typeof takeAway> | undefined;
  return () => {
    taken ??= takeAway();
    return taken;
  };
}

test('an execution creates a stack that fails three times, then gives up with a reason, and the next one starts over', async () => {
  const tenantId = await addTenant();
  const takeAway = await putInTheWay(tenantId);
  const error = await untilReady(tenantId).catch((cause) => cause);
  expect(error).toBeInstanceOf(DedicatedStackFailed);
  expect(error.message).toMatch(/^The dedicated database could not be created in 3 tries, because of Owner/);
  // Names of resources are for the log.
  expect(error.message).not.toContain(tenantId);
  expect(error.cause.message).toContain(dedicatedSecretName(tenantId, 'owner'));
  expect(await placeOf(tenantId)).toBeUndefined();
  expect(await stacksOf(tenantId)).toEqual(['DELETE_COMPLETE', 'DELETE_COMPLETE', 'ROLLBACK_COMPLETE']);
  // What is not the stack's own stays.
  expect(await secretsOf(tenantId)).toBe(1);

  await takeAway();
  const seen = await untilReady(tenantId);
  expect(seen.map(({ phase }) => phase)[0]).toBe('clearing');
  expect(seen.at(-1)).toMatchObject({ failures: 0 });
  expect(await stacksOf(tenantId)).toContain('CREATE_COMPLETE');
  expect(await secretsOf(tenantId)).toBe(2);
});

test('a creation that fails once is cleared away and repeated by the same execution', async () => {
  const tenantId = await addTenant();
  const takeAway = await putInTheWay(tenantId);
  const seen = await untilReady(tenantId, [], {}, async ({ failures }) => failures > 0 && takeAway());
  expect(seen.at(-1)).toMatchObject({ phase: 'ready', failures: 1 });
  expect(await stacksOf(tenantId)).toEqual(['CREATE_COMPLETE', 'DELETE_COMPLETE']);
});

test('a stack that somebody deletes meanwhile is created anew', async () => {
  const tenantId = await addTenant();
  const first = await advance(tenantId);
  await new CloudFormationClient({}).send(new DeleteStackCommand({ StackName: first.stackId! }));
  expect((await untilReady(tenantId, [first])).at(-1)).toMatchObject({ failures: 1 });
  expect(await stacksOf(tenantId)).toEqual(['CREATE_COMPLETE', 'DELETE_COMPLETE']);
});

describe('nothing is created where the region has no room, and the reason names what is short', () => {
  const codes = { instances: 'L-7B6409FD', clusters: 'L-952B80B8', proxies: 'L-D94C7EA3' };
  const allow = (what: keyof typeof codes, DesiredValue: number) =>
    new ServiceQuotasClient({}).send(
      new RequestServiceQuotaIncreaseCommand({ ServiceCode: 'rds', QuotaCode: codes[what], DesiredValue }),
    );
  const used = async () => {
    const { DBClusters } = await new RDSClient({}).send(new DescribeDBClustersCommand({}));
    const { DBProxies } = await new RDSClient({}).send(new DescribeDBProxiesCommand({}));
    const instances = DBClusters!.flatMap(({ DBClusterMembers }) => DBClusterMembers ?? []).length;
    return { instances, clusters: DBClusters!.length, proxies: DBProxies!.length };
  };
  afterEach(async () => {
    await Promise.all([allow('instances', 40), allow('clusters', 40), allow('proxies', 20)]);
  });

  test.each([
    ['instances', 'DB instances'],
    ['clusters', 'DB clusters'],
    ['proxies', 'DB proxies'],
  ] as const)('%s', async (what, words) => {
    const tenantId = await addTenant();
    const { [what]: count } = await used();
    await allow(what, count);
    await expect(advance(tenantId)).rejects.toThrow(
      new RegionQuotaExhausted(`The region us-east-1 has ${count} of ${count} ${words}.`),
    );
    expect(await stacksOf(tenantId)).toEqual([]);
    await allow(what, count + 2);
    await untilReady(tenantId);
  });

  test('a reader needs an instance too, and two quotas may be short at once', async () => {
    const tenantId = await addTenant();
    const { instances, proxies } = await used();
    await allow('instances', instances + 1);
    await allow('proxies', proxies);
    await expect(advance(tenantId, undefined, { sizes: { medium: { ReaderCount: '1' } } })).rejects.toThrow(
      new RegionQuotaExhausted(
        `The region us-east-1 has ${instances} of ${instances + 1} DB instances, and a dedicated database needs 2. The region us-east-1 has ${proxies} of ${proxies} DB proxies.`,
      ),
    );
  });
});

describe('a stack with a cluster', () => {
  const changed = {
    templateUrl: 'https://bucket.s3.us-east-1.amazonaws.com/cluster.json',
    deletionProtection: true,
  };
  const rds = () => new RDSClient({});
  const clustersOf = async (tenantId: string) =>
    (await rds().send(new DescribeDBClustersCommand({}))).DBClusters!.filter(({ DBClusterIdentifier }) =>
      DBClusterIdentifier!.startsWith(`strata-tenant-${tenantId}`),
    );

  beforeAll(() => {
    const file = join(directory, 'cluster.json');
    writeFileSync(file, JSON.stringify(databaseTemplate));
    plane.serveTemplate(changed.templateUrl, file);
  });

  test('whose rollback stopped at the protected cluster is deleted with it and created anew', async () => {
    const tenantId = await addTenant();
    const takeAway = await putInTheWay(tenantId);
    const statuses = new Set<string | undefined>();
    const seen = await untilReady(tenantId, [], changed, async ({ failures }) => {
      for (const status of await stacksOf(tenantId)) statuses.add(status);
      if (failures > 0) await takeAway();
    });
    expect(statuses).toContain('ROLLBACK_FAILED');
    expect(seen.at(-1)).toMatchObject({ phase: 'ready', failures: 1 });
    expect(await stacksOf(tenantId)).toEqual(['CREATE_COMPLETE', 'DELETE_COMPLETE']);
    // The second one's only, with its own name.
    expect(await clustersOf(tenantId)).toMatchObject([{ DeletionProtection: true, Status: 'available' }]);
    expect(await secretsOf(tenantId)).toBe(2);
  });

  test('is erased with its tenant, of whatever size it is: a change of size that was interrupted leaves two', async () => {
    const [tenantId, neighbour] = [await addTenant(), await addTenant()];
    const launch = async (of: string, size: DatabaseSize) => {
      const role = { roleName: `role_of_${size}`, tier: 'enterprise', slug: 'sized' } as const;
      const offered = { ...settings, ...changed, roleArn: plane.serviceRoleArn, sizes: { [size]: {} } };
      let progress: StackProgress | undefined;
      while (!progress?.ready)
        ({ progress } = await driveDedicatedStack({ tenantId: of, size, ...role }, offered, progress));
    };
    for (const size of ['small', 'large'] as const) await launch(tenantId, size);
    await launch(neighbour, 'small');
    expect([await countDedicatedDatabases(tenantId), await countDedicatedDatabases(neighbour)]).toEqual([
      2, 1,
    ]);
    expect(await clustersOf(tenantId)).toHaveLength(2);

    await expect.poll(() => eraseDedicatedDatabase(tenantId), { timeout: 30_000, interval: 20 }).toBe(true);

    expect(await countDedicatedDatabases(tenantId)).toBe(0);
    expect(await clustersOf(tenantId)).toEqual([]);
    const { StackSummaries = [] } = await new CloudFormationClient({}).send(new ListStacksCommand({}));
    const stacks = StackSummaries.filter(({ StackName }) => StackName!.includes(tenantId));
    expect(stacks.map(({ StackStatus }) => StackStatus)).toEqual(['DELETE_COMPLETE', 'DELETE_COMPLETE']);
    expect(await findSecrets(tenantId)).toEqual([]);
    expect(await countDedicatedDatabases(neighbour)).toBe(1);
    expect(await clustersOf(neighbour)).toMatchObject([{ Status: 'available' }]);
    // It is called again until everything is done.
    expect(await eraseDedicatedDatabase(tenantId)).toBe(true);
  });

  test.runIf(FULL_RUN)('is ready once its cluster is protected, which is not protected before', async () => {
    const tenantId = await addTenant();
    await untilReady(tenantId, [], { ...changed, deletionProtection: false });
    const [cluster] = await clustersOf(tenantId);
    const DBClusterIdentifier = cluster!.DBClusterIdentifier!;
    await rds().send(new ModifyDBClusterCommand({ DBClusterIdentifier, DeletionProtection: false }));
    expect(await advance(tenantId, undefined, changed)).toMatchObject({ ready: true });
    expect(await clustersOf(tenantId)).toMatchObject([{ DeletionProtection: true }]);
  });

  test.runIf(FULL_RUN)(
    'that was complete once is never cleared away with its cluster: that takes a person',
    async () => {
      const tenantId = await addTenant();
      await untilReady(tenantId, [], changed);
      // It keeps the cluster, which uses its subnet group.
      await new CloudFormationClient({}).send(
        new DeleteStackCommand({ StackName: dedicatedStackName(tenantId) }),
      );
      await expect
        .poll(() => stacksOf(tenantId), { timeout: 10_000, interval: 20 })
        .toEqual(['DELETE_FAILED']);
      await expect(untilReady(tenantId, [], changed)).rejects.toThrow(DedicatedStackFailed);
      expect(await clustersOf(tenantId)).toMatchObject([{ Status: 'available' }]);
    },
  );
});

test('patience ends after four hours', async () => {
  const tenantId = await addTenant();
  const since = new Date(Date.now() - 4 * 60 * 60_000 - 1_000).toISOString();
  const waiting = { ready: false, phase: 'creating', stackId: null, failures: 0, since } as const;
  await expect(advance(tenantId, waiting)).rejects.toThrow(DedicatedStackTimeout);
  // What it was waiting for goes on, and the next execution adopts it.
  await untilReady(tenantId);
  expect(await stacksOf(tenantId)).toEqual(['CREATE_COMPLETE']);
});
