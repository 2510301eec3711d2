import { execFileSync } from 'node:child_process';
import { globSync, readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type IdentityDocument, signToken } from '../../infra/local/index.ts';
import { sharedAssembly } from '../infra/synthesized-app.ts';
import { OwnPlatform } from './own-platform.ts';

/** One tenant of each model. */
const SLUGS = { initech: 'starter', globex: 'business', acme: 'enterprise' } as const;
const OUTAGE_MS = 60_000;
const RECOVERY_MS = 60_000;
/** Three seconds on a busy machine make too few requests for their slowest hundredth to mean anything. */
const [QUANTILE, GRACE_MS] = [0.99, 50];

interface Person {
  readonly tenantId: string;
  readonly slug: string;
  readonly token: string;
  readonly userId: string;
}

let platform: OwnPlatform;
const admins: Person[] = [];
const removed: Person[] = [];
let operator: string;

beforeAll(async () => {
  const STRATA_ASSEMBLY = (await sharedAssembly('local')).directory;
  platform = new OwnPlatform(resolve(import.meta.dirname, '../..'), undefined, { STRATA_ASSEMBLY });
  await platform.start('--empty');
  operator = await tokenOf({ email: 'operator@strata.test', scope: 'strata/operator' });
  await Promise.all(
    Object.entries(SLUGS).map(async ([slug, tier]) => {
      const input = { name: slug, slug, tier, adminEmail: `admin@${slug}.test` };
      const execution = await platform.finished(await platform.startOnboarding(input));
      expect(execution).toMatchObject({ status: 'SUCCEEDED' });
    }),
  );
  for (const slug of Object.keys(SLUGS)) {
    const { tenantId } = (await call('GET', `/tenants/${slug}`, operator)).body as { tenantId: string };
    const email = `viewer@${slug}.test`;
    const { userId } = (await call('POST', `/tenants/${slug}/users`, operator, { email, role: 'viewer' }))
      .body as { userId: string };
    removed.push({ tenantId, slug, userId, token: await tokenOf({ tenantId, email, role: 'viewer' }) });
    const admin = `admin@${slug}.test`;
    admins.push({
      tenantId,
      slug,
      userId: '',
      token: await tokenOf({ tenantId, email: admin, role: 'admin' }),
    });
  }
});
afterAll(async () => {
  // A stopped server does not end on SIGTERM.
  signalRegistry('SIGCONT');
  await platform.stop();
});

function tokenOf(subject: Record<string, string>): Promise<string> {
  const { identity } = platform;
  return signToken(identity as Required<IdentityDocument>, { scope: '', ...subject } as never);
}

async function call(method: string, path: string, token: string, body?: object) {
  const begin = performance.now();
  const answer = await fetch(`${platform.apiUrl}${path}`, {
    method,
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    ...(body ? { body: JSON.stringify(body) } : {}),
  });
  const text = await answer.text();
  const retryAfter = answer.headers.get('retry-after');
  return {
    status: answer.status,
    body: text && JSON.parse(text),
    took: performance.now() - begin,
    retryAfter,
  };
}

/** Process ids, each with its parent's. */
function processes(): [pid: number, parent: number][] {
  if (process.platform !== 'linux') {
    const listed = execFileSync('ps', ['-A', '-o', 'pid=,ppid='], { encoding: 'utf8' }).trim().split('\n');
    return listed.map((line) => line.trim().split(/\s+/).map(Number) as [number, number]);
  }
  // A small Linux has no `ps`.
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
        return [[Number(pid), Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1])]];
      } catch {
        // It has ended.
        return [];
      }
    });
}

let pidFile: string | undefined;
function signalRegistry(signal: NodeJS.Signals): void {
  pidFile ??= globSync('**/*registry*/data/postmaster.pid', { cwd: platform.stateDir })[0];
  try {
    const postmaster = Number.parseInt(readFileSync(join(platform.stateDir, pidFile ?? ''), 'utf8'), 10);
    process.kill(postmaster, signal);
    if (signal === 'SIGKILL') return;
    // Its backends would go on answering over the connections that are open.
    for (const [pid, parent] of processes()) if (parent === postmaster) process.kill(pid, signal);
  } catch {
    // It is down already.
  }
}

let people = 0;
/** One request after the other for `ms`, so that one container answers them all: it knows every tenant. */
async function load(ms: number): Promise<number[]> {
  const latencies: number[] = [];
  for (const end = performance.now() + ms; performance.now() < end; ) {
    for (const { slug, token } of admins) {
      const read = await call('GET', '/employees?limit=5', token);
      expect(read, slug).toMatchObject({ status: 200 });
      const employee = { email: `e${people++}@${slug}.test`, firstName: 'A', lastName: 'B' };
      const write = await call('POST', '/employees', token, employee);
      expect(write, slug).toMatchObject({ status: 201 });
      latencies.push(read.took, write.took);
      await delay(10);
    }
    for (const { token } of removed) expect((await call('GET', '/employees', token)).status).toBe(403);
  }
  return latencies;
}

const slow = (latencies: number[]) =>
  latencies.toSorted((a, b) => a - b)[Math.floor(latencies.length * QUANTILE)] ?? 0;

const setActive = async (isActive: boolean) => {
  for (const { slug, userId } of removed)
    expect(await call('PATCH', `/tenants/${slug}/users/${userId}`, operator, { isActive })).toMatchObject({
      status: 200,
    });
};
async function statusesOfRemoved(): Promise<number[]> {
  const statuses: number[] = [];
  // In turn, so that it is the container of `load` that notices the change.
  for (const { token } of removed) statuses.push((await call('GET', '/employees', token)).status);
  return statuses;
}

/** Ends with the registry answering again, or about to. */
const OUTAGES: Record<string, (over: Promise<unknown>) => Promise<void>> = {
  async hung(over) {
    signalRegistry('SIGSTOP');
    await over;
    signalRegistry('SIGCONT');
  },
  // The platform starts it again each time.
  async killed(over) {
    let up = true;
    void over.finally(() => {
      up = false;
    });
    for (; up; await delay(20)) signalRegistry('SIGKILL');
  },
};

describe.each(Object.entries(OUTAGES))('a registry that is %s under load', (_how, outage) => {
  test('cached tenants are served throughout, removed users are not, and all recovers by itself', async () => {
    await setActive(true);
    await expect.poll(statusesOfRemoved, { timeout: 10_000 }).toEqual([200, 200, 200]);
    await setActive(false);
    await expect.poll(statusesOfRemoved, { timeout: 10_000 }).toEqual([403, 403, 403]);
    await load(500);
    const quiet = slow(await load(OUTAGE_MS));

    const loaded = load(OUTAGE_MS);
    const [latencies] = await Promise.all([loaded, outage(loaded.catch(() => {}))]);
    expect(slow(latencies)).toBeLessThan(Math.max(2 * quiet, quiet + GRACE_MS));
    expect(Math.max(...latencies)).toBeLessThan(5_000);

    await expect
      .poll(async () => (await call('GET', '/tenants', operator)).status, {
        timeout: RECOVERY_MS,
        interval: 200,
      })
      .toBe(200);
    await setActive(true);
    await expect.poll(statusesOfRemoved, { timeout: RECOVERY_MS, interval: 200 }).toEqual([200, 200, 200]);
  }, 300_000);
});
