/**
 * The phases of `tenant-offboarding` that use the APIs of AWS services: proxies, secrets, dedicated databases, objects, keys
 * and accounts. They reach no data database, and read no object and no secret.
 */
import { ObjectStore, s3Client } from '../aws/object-store.ts';
import { UserPool } from '../aws/user-pool.ts';
import { type OffboardingAwsEnvironment, variable } from '../contracts/environments.ts';
import {
  countAccountRequests,
  countAccounts,
  eraseAccountRequests,
  eraseAccounts,
} from '../offboarding/erase-accounts.ts';
import { eraseStoredObjects } from '../offboarding/erase-objects.ts';
import {
  countDedicatedDatabases,
  eraseDedicatedDatabase,
  eraseFromProxies,
  eraseKeys,
  eraseSecrets,
  eraseSnapshots,
  findSecrets,
  keysOf,
  snapshotsOf,
} from '../offboarding/erase-place.ts';
import { ErasureIncomplete } from '../offboarding/errors.ts';
import { keepFound, mergeFact, runningOffboarding } from '../offboarding/offboarding-records.ts';
import type { DataApi } from '../registry/data-api.ts';
import { offboardingState, offboardingTask } from './offboarding-task.ts';
import { phase } from './workflow-task.ts';

const setting = (name: keyof OffboardingAwsEnvironment & string) => variable<OffboardingAwsEnvironment>(name);

/** A call begins nothing in this time before Lambda would stop it. */
const MARGIN_MS = 15_000;

/** What one call works with. */
interface Erasure {
  readonly registry: DataApi;
  readonly offboardingId: string;
  readonly tenantId: string;
  /** On `performance.now()`'s clock. */
  readonly deadline: number;
}

const verified = () => ({ verifiedAt: new Date().toISOString() });

/** Kinds of which there are any. */
const some = (counts: Readonly<Record<string, number>>) =>
  Object.fromEntries(Object.entries(counts).filter(([, count]) => count > 0));

/** Before the roles are dropped: a proxy must not try to sign in with what is gone. */
const proxies = phase(offboardingState, async ({ offboarding }, { registry }) => {
  const { offboardingId, tenantId } = offboarding;
  await keepFound(registry, offboardingId, 'secrets', async () =>
    some({ secrets: (await findSecrets(tenantId)).length }),
  );
  await eraseFromProxies(registry);
  return { done: true };
});

/** Everything else; the workflow calls it until it is done. */
const erase = phase(offboardingState, async ({ offboarding }, { registry, lambda }) => {
  const deadline = performance.now() + lambda.getRemainingTimeInMillis() - MARGIN_MS;
  const erasure: Erasure = { registry, ...offboarding, deadline };
  for (const step of [eraseDatabases, eraseCredentials, eraseBuckets, eraseUsers, eraseTenantKeys])
    if (!(await step(erasure))) return { done: false };
  return { done: true };
});

async function eraseDatabases({ registry, offboardingId, tenantId }: Erasure): Promise<boolean> {
  const store = 'dedicated database';
  await keepFound(registry, offboardingId, store, async () =>
    some({
      'clusters with their automated backups, proxies and stacks': await countDedicatedDatabases(tenantId),
      'final snapshots': (await snapshotsOf(registry, tenantId)).length,
    }),
  );
  await eraseSnapshots(registry, tenantId);
  if (!(await eraseDedicatedDatabase(tenantId))) return false;
  await mergeFact(registry, offboardingId, store, verified());
  // Its rows were counted before, by the phase that can sign in.
  const { facts } = await runningOffboarding(registry, offboardingId);
  if (facts['database dedicated']) {
    await mergeFact(registry, offboardingId, 'database dedicated', verified());
  }
  return true;
}

async function eraseCredentials({ registry, offboardingId, tenantId }: Erasure): Promise<boolean> {
  await eraseSecrets(tenantId);
  const left = (await findSecrets(tenantId)).length;
  if (left > 0) throw new ErasureIncomplete('secrets', { secrets: left });
  await mergeFact(registry, offboardingId, 'secrets', verified());
  return true;
}

async function eraseBuckets(erasure: Erasure): Promise<boolean> {
  const copies = JSON.parse(setting('BACKUP_COPIES')) as { bucket: string; awsRegion: string }[];
  return eraseStoredObjects(erasure, [
    new ObjectStore(setting('BACKUP_BUCKET')),
    ...copies.map(({ bucket, awsRegion }) => new ObjectStore(bucket, {}, () => s3Client(awsRegion))),
  ]);
}

async function eraseUsers({ registry, offboardingId, tenantId, deadline }: Erasure): Promise<boolean> {
  const requests = 'requests for accounts';
  await keepFound(registry, offboardingId, requests, async () =>
    some({ 'rows of account_requests': await countAccountRequests(registry, tenantId) }),
  );
  // Before accounts are counted and erased: none is made later.
  if (!(await eraseAccountRequests(registry, tenantId))) return false;
  await mergeFact(registry, offboardingId, requests, verified());
  const pool = new UserPool(setting('USER_POOL_ID'));
  const store = 'user pool';
  await keepFound(registry, offboardingId, store, async () => {
    const { accounts } = await countAccounts(registry, pool, tenantId);
    return some({ accounts });
  });
  if (!(await eraseAccounts(registry, pool, tenantId, deadline))) return false;
  const { accounts: left, others } = await countAccounts(registry, pool, tenantId);
  if (left > 0) throw new ErasureIncomplete(store, { accounts: left });
  const kept = {
    what: 'accounts of people who are users of another tenant, or operators',
    count: others,
    until: null,
    why: 'They belong to the other tenant. They have an address and no trace of this tenant.',
  };
  await mergeFact(registry, offboardingId, store, { ...(others > 0 ? { kept: [kept] } : {}), ...verified() });
  return true;
}

/** Last: it makes unreadable what other stores keep. */
async function eraseTenantKeys({ registry, offboardingId, tenantId }: Erasure): Promise<boolean> {
  const store = 'keys';
  await keepFound(registry, offboardingId, store, async () =>
    some({ 'KMS keys of the tenant’s own': (await keysOf(registry, tenantId)).length }),
  );
  const kept = await eraseKeys(registry, tenantId);
  if (kept.length > 0) await mergeFact(registry, offboardingId, store, { kept });
  await mergeFact(registry, offboardingId, store, verified());
  return true;
}

export const phases = { proxies, erase };
export const handler = offboardingTask(phases);
