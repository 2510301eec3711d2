/** The scheduled work on all audit logs of a database: sealing, copying, verifying, and what it reports. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { ObjectStore } from '../../functions/aws/object-store.ts';
import { claimTenant, releaseClaim } from '../../functions/database/transfer/claim.ts';
import type { BrokenLink } from '../../functions/tenant-data/verify-chain.ts';
import { type ChainCursor, keepChains, NO_CHAIN_FIGURES } from '../../functions/upkeep/audit-chains.ts';
import { type LocalBucket, startLocalBucket } from '../backup/local-bucket.ts';
import { clientOf } from '../backup/s3-client.ts';
import { createWorld, type World } from '../isolation/tenant-world.ts';
import { AuditedTenant } from './audited-tenant.ts';

let world: World;
let bucket: LocalBucket;
const tenants: AuditedTenant[] = [];
const broken: [tenantId: string, link: BrokenLink][] = [];
const failures: { tenantId: string; error: unknown }[] = [];

beforeAll(async () => {
  [world, bucket] = await Promise.all([createWorld(2, { pooled: false }), startLocalBucket()]);
});
beforeEach(async () => {
  tenants.length = 0;
  // Those of the cell, in the order in which they are worked on.
  const inCell = world.tenants.filter(({ isolationModel }) => isolationModel !== 'dedicated');
  for (const tenant of inCell.toSorted((one, other) => (one.tenantId < other.tenantId ? -1 : 1)))
    tenants.push(await AuditedTenant.in(world.cell, tenant));
  broken.length = 0;
  failures.length = 0;
});
afterAll(async () => {
  await world?.end();
  await bucket?.stop();
});

const keep = (
  task: 'seal' | 'verify',
  cursor?: ChainCursor,
  deadline = performance.now() + 30_000,
  store: (tenantId: string) => ObjectStore = () => bucket.store,
) =>
  keepChains(
    world.registry,
    tenants[0]!.owner,
    { key: 'us-1' },
    {
      task,
      storeFor: ({ tenantId }) => store(tenantId),
      deadline,
      cursor,
      onBroken: (tenantId, link) => void broken.push([tenantId, link]),
      onFailure: (failure) => void failures.push(failure),
    },
  );

const results = async (audited: AuditedTenant) =>
  (await audited.entries())
    .filter(({ action }) => action === 'audit.verify')
    .map(({ request_data }) => request_data);

test('every tenant is sealed and copied, then verified; a second run has nothing to seal', async () => {
  for (const audited of tenants) await audited.append(3);
  expect(await keep('seal')).toEqual({
    done: true,
    figures: { ...NO_CHAIN_FIGURES, tenants: 4, seals: 4, entries: 12, copies: 4 },
  });
  expect(await keep('seal')).toEqual({ done: true, figures: { ...NO_CHAIN_FIGURES, tenants: 4 } });
  expect(await keep('verify')).toEqual({
    done: true,
    figures: { ...NO_CHAIN_FIGURES, tenants: 4, seals: 4, entries: 12 },
  });
  for (const audited of tenants) {
    expect(await results(audited)).toEqual([
      { status: 'intact', seals: 1, entries: 3, expired: 0, firstBroken: null },
    ]);
  }
  expect([broken, failures]).toEqual([[], []]);
});

test('a broken chain is reported and kept in the tenant’s log; the others are verified', async () => {
  const [first, second] = tenants as [AuditedTenant, AuditedTenant];
  const changed = (await first.entries())[1]!;
  await first.tamper(`UPDATE LOG SET actor = 'user:eve@tenant.test' WHERE log_id = $1 AND OWN`, [
    changed.log_id,
  ]);
  await second.tamper('DELETE FROM SEALS WHERE OWN');
  const links = [
    { what: 'entry', how: 'altered', sequence: 1, logId: changed.log_id },
    // Nothing in the database tells of it; the copy does.
    { what: 'seal', how: 'removed', sequence: 1, logId: null },
  ];
  expect(await keep('verify')).toMatchObject({ done: true, figures: { tenants: 4, broken: 2, failures: 0 } });
  expect(broken).toEqual([
    [first.tenant.tenantId, links[0]],
    [second.tenant.tenantId, links[1]],
  ]);
  expect((await results(first)).at(-1)).toMatchObject({ status: 'broken', firstBroken: links[0] });
  expect((await results(second)).at(-1)).toMatchObject({ status: 'broken', firstBroken: links[1] });
});

test('a call that runs out of time goes on where it stopped, in the middle of a tenant', async () => {
  const last = tenants[3]!;
  await last.append(25, 0);
  await last.seal({ batch: 5, ageSeconds: -1 });
  const verified = { tenantId: last.tenant.tenantId, through: 2, seals: 2, entries: 8, expired: 1 };
  const out = await keep('verify', { after: tenants[2]!.tenant.tenantId, verified }, performance.now() - 1);
  expect(out).toEqual({
    done: false,
    cursor: { after: tenants[2]!.tenant.tenantId, verified },
    figures: NO_CHAIN_FIGURES,
  });
  const seals = await last.seals();
  expect(await keep('verify', out.cursor)).toMatchObject({
    done: true,
    figures: { tenants: 1, seals: seals.length - 2 },
  });
  // The sums of the calls before are part of the result.
  expect((await results(last)).at(-1)).toMatchObject({ seals: seals.length, expired: 1 });
});

test('a tenant that is being moved is postponed, and one that fails is reported; the others are done', async () => {
  const [moving, failing, ...others] = tenants as [AuditedTenant, AuditedTenant, ...AuditedTenant[]];
  const attempt = { tenantId: moving.tenant.tenantId, epoch: 1, attemptId: randomUUID() };
  await claimTenant(moving.owner, attempt);
  const before = await Promise.all(others.map(async (audited) => (await results(audited)).length));
  const store = (tenantId: string) =>
    tenantId === failing.tenant.tenantId
      ? new ObjectStore('no-such-bucket', {}, async () => clientOf(bucket.endpoint))
      : bucket.store;
  try {
    const { figures } = await keep('verify', undefined, undefined, store);
    expect(figures).toMatchObject({ postponed: 1, failures: 1, tenants: 2 });
  } finally {
    await releaseClaim(moving.owner, attempt);
  }
  expect(failures).toMatchObject([{ tenantId: failing.tenant.tenantId }]);
  const after = await Promise.all(others.map(async (audited) => (await results(audited)).length));
  expect(after).toEqual(before.map((count) => count + 1));
});
