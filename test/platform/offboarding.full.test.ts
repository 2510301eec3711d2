import { DescribeDBClusterSnapshotsCommand, RDSClient } from '@aws-sdk/client-rds';
import {
  DescribeExecutionCommand,
  paginateGetExecutionHistory,
  SFNClient,
  StopExecutionCommand,
} from '@aws-sdk/client-sfn';
import { expect, test, vi } from 'vitest';
import type { ErasureCertificate } from '../../functions/contracts/erasure-certificate.ts';
import { strata } from '../infra/cli/run-command.ts';
import { ended } from './backup-runs.ts';
import {
  certificateOf,
  type LeavingTenant,
  offboarded,
  offboardOnceIdle,
  plant,
  userPoolId,
} from './leaving-tenant.ts';
import { administrator } from './platform-databases.ts';
import { searchEverything } from './remaining-traces.ts';
import { ASK_EVERY_MS, call, operatorToken, platform } from './running-platform.ts';

const states = new SFNClient(administrator(platform().awsUrl));

/** Waits until an execution has entered the state, and stops it. */
async function stopIn(executionArn: string, state: string): Promise<void> {
  await vi.waitFor(
    async () => {
      const execution = await states.send(new DescribeExecutionCommand({ executionArn }));
      if (await hasEntered(executionArn, state)) return;
      const { status, error, cause } = execution;
      throw new Error(`${executionArn} is ${status} and has not entered ${state}: ${error} ${cause}`);
    },
    { timeout: 150_000, interval: ASK_EVERY_MS },
  );
  await states.send(new StopExecutionCommand({ executionArn }));
}

async function hasEntered(executionArn: string, state: string): Promise<boolean> {
  // Loops have many events.
  for await (const { events = [] } of paginateGetExecutionHistory({ client: states }, { executionArn }))
    if (events.some(({ stateEnteredEventDetails }) => stateEnteredEventDetails?.name === state)) return true;
  return false;
}

interface Erased {
  readonly tenant: LeavingTenant;
  readonly certificate: ErasureCertificate;
}

/** Nothing but what a certificate lists: statistics of tables that are empty now. */
async function expectNothingLeft(all: readonly Erased[]): Promise<void> {
  const words = all.flatMap(({ tenant: { word, slug } }) => [word, `@${slug}.test`]);
  const listed = all
    .flatMap(({ certificate }) => certificate.kept)
    .filter(({ what }) => what.includes('statistics'))
    .map(({ store }) => `${store.replace('database ', 'strata-')}: pg_stats`);
  const left = await searchEverything(platform(), words, userPoolId());
  expect(left.filter((trace) => !listed.includes(trace))).toEqual([]);
}

const AT_ONCE = 4;
const STATES = [
  'Settle',
  'Export',
  'Begin grace',
  'Grace period',
  'Last check',
  'Erase from proxies',
  'Erase databases',
  'Erase services',
  'Erase other regions',
  'Erase registry',
  'Certify',
];

test('an execution that is stopped in any phase is continued, up to the certificate', {
  timeout: 600_000,
}, async () => {
  const stopped = async (state: string) => {
    const tenant = await plant(state === 'Erase databases' ? { tier: 'business' } : {});
    const asked = await offboardOnceIdle(tenant.slug);
    await stopIn(asked.body.executionArn, state);
    const { certificate } = await certificateOf(tenant);
    expect(
      certificate.erased.map(({ store }) => store),
      state,
    ).toContain('registry');
    // What was found before the interruption is not forgotten.
    const kinds = certificate.erased.flatMap(({ removed }) => removed.map(({ what }) => what));
    expect(kinds, state).toEqual(expect.arrayContaining(['placements', 'objects of exports', 'accounts']));
    return { tenant, certificate };
  };
  // More at once wait for each other on a machine with two cores.
  for (let first = 0; first < STATES.length; first += AT_ONCE) {
    await expectNothingLeft(await Promise.all(STATES.slice(first, first + AT_ONCE).map(stopped)));
  }
});

test('a legal hold of the grace period keeps the tenant until it is released', {
  timeout: 300_000,
}, async () => {
  const token = await operatorToken();
  const tenant = await plant();
  const hold = async (legalHold: string | null) => {
    const { status } = await call('PATCH', `/tenants/${tenant.slug}`, { token, body: { legalHold } });
    expect(status).toBe(200);
  };
  const asked = await offboardOnceIdle(tenant.slug);
  await hold('A court');
  const { executionArn } = asked.body;
  await vi.waitFor(
    async () => {
      const { status } = await states.send(new DescribeExecutionCommand({ executionArn }));
      expect(status).toBe('SUCCEEDED');
    },
    { timeout: 150_000, interval: ASK_EVERY_MS },
  );
  expect(await hasEntered(executionArn, 'Held')).toBe(true);
  const { body } = await call('GET', `/tenants/${tenant.slug}/offboarding`, { token });
  expect(body).toMatchObject({ status: 'running', phase: 'grace', canBeCancelled: true, executionArn });
  expect((await call('GET', `/tenants/${tenant.slug}`, { token })).body.status).toBe('offboarding');
  await hold(null);
  // The next recovery, which runs every five minutes.
  const recovery = await strata(['tick', 'offboarding-recovery'], { AWS_ENDPOINT_URL: platform().awsUrl });
  expect([recovery.code, recovery.error]).toEqual([0, '']);
  const { certificate } = await certificateOf(tenant);
  await expectNothingLeft([{ tenant, certificate }]);
});

test('what a tenant left with its dedicated database is erased: its final snapshot, and its key', {
  timeout: 300_000,
}, async () => {
  const token = await operatorToken();
  const tenant = await plant({ tier: 'enterprise' });
  const asked = await call('POST', `/tenants/${tenant.slug}/moves`, {
    token,
    body: { targetTier: 'business', force: true },
  });
  expect((await ended(String(asked.headers.get('location')))).status).toBe('succeeded');
  const rds = new RDSClient(administrator(platform().awsUrl));
  const snapshots = async () => {
    const { DBClusterSnapshots = [] } = await rds.send(new DescribeDBClusterSnapshotsCommand({}));
    return DBClusterSnapshots.filter(({ DBClusterSnapshotIdentifier: name }) =>
      name?.includes(tenant.tenantId),
    );
  };
  await vi.waitUntil(async () => (await snapshots()).length > 0, { timeout: 60_000, interval: 200 });
  const { certificate } = await offboarded(tenant);
  expect(await snapshots()).toEqual([]);
  const removed = certificate.erased.flatMap(({ removed: kinds }) => kinds.map(({ what }) => what));
  expect(removed).toEqual(expect.arrayContaining(['final snapshots', 'KMS keys of the tenant’s own']));
  await expectNothingLeft([{ tenant, certificate }]);
});
