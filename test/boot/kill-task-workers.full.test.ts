import { rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { ApiClient } from '../../infra/cli/api-client.ts';
import { ClientLoad, type Send } from '../../infra/cli/client-load.ts';
import {
  type IdentityDocument,
  identityDocumentName,
  type Platform,
  signToken,
  startPlatform,
} from '../../infra/local/index.ts';
import { sharedAssembly } from '../infra/synthesized-app.ts';
import { newDirectory, unusedPorts } from '../local/running-fixture.ts';
import { tracesOf } from '../platform/tenant-traces.ts';
import { WorkerKiller } from './worker-killer.ts';

const directory = newDirectory();
const killer = new WorkerKiller();
let platform: Platform;
let operator: ApiClient;

beforeAll(async () => {
  killer.install();
  const [apiPort, awsPort] = await unusedPorts();
  platform = await startPlatform({
    projectDir: resolve(import.meta.dirname, '../..'),
    cdkOut: (await sharedAssembly('local')).directory,
    stateDir: join(directory, 'state'),
    apiPort,
    awsPort,
    waitScale: 0.002,
    log: () => {},
  });
  operator = new ApiClient(platform.apiUrl, await token({ scope: 'strata/operator' }));
});
afterAll(async () => {
  await platform?.stop();
  killer.uninstall();
  rmSync(directory, { recursive: true, force: true });
});

function token(subject: { tenantId?: string; scope: string }): Promise<string> {
  const identity = platform.context.state.load<IdentityDocument>(identityDocumentName, {});
  const email = subject.tenantId ? 'admin@killed.test' : 'operator@strata.test';
  return signToken(identity as Required<IdentityDocument>, { email, role: 'admin', ...subject });
}

async function onboard(): Promise<string> {
  const body = { name: 'Killed', slug: 'killed', adminEmail: 'admin@killed.test' };
  await operator.post('/tenants', body);
  await vi.waitUntil(
    async () => (await operator.get<{ status: string }>('/tenants/killed')).status === 'active',
    {
      timeout: 30_000,
    },
  );
  return (await operator.get<{ tenantId: string }>('/tenants/killed')).tenantId;
}

/** Milliseconds after which the worker is killed: before it has done anything, in the middle, and about when it is done. */
const MOVES = [
  { to: 'enterprise', afterMs: 0 },
  { to: 'starter', afterMs: 4 },
  { to: 'business', afterMs: 12 },
  { to: 'enterprise', afterMs: 30 },
  { to: 'starter', afterMs: 80 },
];

test('a move ends well although the worker of each of its tasks is killed at work, under load', async () => {
  const tenantId = await onboard();
  const bearer = await token({ tenantId, scope: '' });
  const send: Send = async (method, path, body) => {
    const response = await fetch(`${platform.apiUrl}${path}`, {
      method,
      headers: { authorization: `Bearer ${bearer}`, 'content-type': 'application/json' },
      ...(body ? { body: JSON.stringify(body) } : {}),
    });
    const text = await response.text();
    return { status: response.status, body: text === '' ? undefined : JSON.parse(text) };
  };
  const load = new ClientLoad(send, { prefix: 'killed', writers: 2, readers: 1, restMs: 20, atMost: 40 });
  load.start();
  await load.written(10);
  for (const { to: targetTier, afterMs } of MOVES) {
    killer.arm(/^tasks\/move-(?!survey)\w+\.handler (?!clean-up|roll-back|$)/, afterMs);
    const { moveId } = await operator.post<{ moveId: string }>('/tenants/killed/moves', {
      targetTier,
    });
    let move: { status: string; reason: string | null } = { status: 'running', reason: null };
    const over = async () => {
      move = await operator.get(`/tenants/killed/moves/${moveId}`);
      return move.status !== 'running';
    };
    await vi.waitUntil(over, { timeout: 120_000, interval: 50 }).catch(() => {});
    const story = `killed ${afterMs} ms into ${[...killer.killed].join(', ')}: ${JSON.stringify(move)}`;
    expect(move, story).toMatchObject({ status: 'succeeded' });
    expect(killer.killed.size).toBeGreaterThanOrEqual(8);
    await load.written(10);
  }
  killer.disarm();
  await load.stop();
  expect(load.violations).toEqual([]);
  expect(await load.verify()).toEqual([]);
  const at = { stateDir: join(directory, 'state'), awsUrl: platform.awsUrl };
  const left = async () => {
    const traces = await tracesOf(at, tenantId);
    const home =
      traces
        .find((trace) => trace.includes(': home '))
        ?.split(' ')
        .at(-1) ?? '';
    // A home in a schema has that schema, its role and a secret; one in the shared tables has rows.
    return traces.filter((trace) => !trace.endsWith(home) && !trace.includes(': rows '));
  };
  // The secret of a dedicated database is its stack's, and stays.
  const unexpected = async () => (await left()).filter((trace) => !trace.startsWith('secret'));
  const cleaned = async () => (await unexpected()).length === 0;
  await vi.waitUntil(cleaned, { timeout: 60_000, interval: 500 }).catch(() => {});
  expect(await unexpected()).toEqual([]);
  expect((await left()).length).toBeLessThanOrEqual(1);
}, 300_000);
