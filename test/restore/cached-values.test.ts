/** What containers have cached of a place is not used any more when the end of the restore that replaced it is reported. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { CredentialStore } from '../../functions/database/session/credentials.ts';
import { DatabasePools } from '../../functions/database/session/pools.ts';
import {
  closeFormerValues,
  endFormerValues,
  type SourceCaches,
} from '../../functions/moves/former-values.ts';
import type { Hop } from '../../functions/moves/hop.ts';
import { recoverMoves } from '../../functions/moves/recover-moves.ts';
import { TenantDirectory } from '../../functions/placement/tenant-directory.ts';
import { TenantAccess, TenantRouter } from '../../functions/placement/tenant-router.ts';
import type { Actor } from '../../functions/tenant-data/audit-log.ts';
import { employees } from '../../functions/tenant-data/employees.ts';
import { TenantCache } from '../../functions/tenant-data/tenant-cache.ts';
import type { BackedUp } from '../backup/backup-world.ts';
import { TestValkey, valkeyInstalled } from '../cache/test-valkey.ts';
import { newEmployee } from '../request/tenant-requests.ts';
import { RestoreWorld } from './restore-world.ts';

const ACTOR: Actor = {
  kind: 'user',
  userId: undefined,
  name: 'admin@tenant.test',
  role: 'member',
  ipAddress: undefined,
  userAgent: undefined,
};

let world: RestoreWorld;
let valkey: TestValkey;
beforeAll(async () => {
  if (!valkeyInstalled) return;
  [world, valkey] = await Promise.all([RestoreWorld.start(), TestValkey.start()]);
  valkey.trust();
});
afterAll(async () => {
  await valkey?.stop();
  await world?.stop();
});
afterEach(() => {
  if (world) world.caches = undefined;
});

/** The caches as a function of moves has them. */
const reachable = (): SourceCaches => cachesAt(valkey.port);

function cachesAt(port: number, valueMs = 30_000): SourceCaches {
  const cache = new TenantCache(valkey.server({ port }), { valueMs });
  return { of: () => ({ cache }) };
}

/** One execution environment. It never looks a tenant up again by itself, as if the registry did not answer. */
class Container {
  readonly #access: TenantAccess;
  readonly #pools = new DatabasePools(new CredentialStore(), { cap: 4, pipeline: true });

  constructor(tenantId: string) {
    const directory = new TenantDirectory(world.registry, { freshForMs: 3_600_000 });
    const router = new TenantRouter(directory, this.#pools);
    const cache = new TenantCache(valkey.server(), { writeLimitMs: 5_000, waitMs: 5_000 });
    this.#access = new TenantAccess(tenantId, tenantId, router, undefined, { cache });
  }

  async hire(): Promise<string> {
    const { email, firstName, lastName } = newEmployee();
    const { answer } = await employees.create(this.#access, ACTOR, {
      values: { email, first_name: firstName, last_name: lastName, job_title: 'of the backup' },
      parents: {},
      locate: (id) => id,
      idempotency: undefined,
    });
    return (answer.body as { employeeId: string }).employeeId;
  }

  promote(employeeId: string): Promise<unknown> {
    const title = { job_title: 'of later' };
    return employees.update(this.#access, ACTOR, { employee_id: employeeId }, title, undefined);
  }

  async titleOf(employeeId: string): Promise<unknown> {
    return (await employees.get(this.#access, { employee_id: employeeId }, ACTOR)).item.jobTitle;
  }

  end(): Promise<void> {
    return this.#pools.end();
  }
}

describe.skipIf(!valkeyInstalled)('a container that has not heard of a restore', () => {
  let tenant: BackedUp;
  let container: Container;
  let employeeId: string;
  let backupId: string;
  beforeAll(async () => {
    if (!valkeyInstalled) return;
    tenant = await world.addTenant('schema');
    container = new Container(tenant.tenantId);
    employeeId = await container.hire();
    ({ backupId } = await world.backUp(tenant));
    await container.promote(employeeId);
  });
  afterAll(() => container?.end());

  const cachedTitle = async () => {
    await container.titleOf(employeeId);
    return container.titleOf(employeeId);
  };
  const ask = () => world.ask(tenant.tenantId, { mode: 'replace', backupId });

  test('answers with the restored rows as soon as that has succeeded, and so after an undo', async () => {
    world.caches = reachable();
    expect(await cachedTitle()).toBe('of later');
    const restored = await ask();
    await world.run(restored);
    expect(await world.view(restored)).toMatchObject({ status: 'succeeded' });
    expect(await cachedTitle()).toBe('of the backup');
    const undone = await world.undo(restored);
    expect(await world.view(undone)).toMatchObject({ status: 'succeeded' });
    expect(await container.titleOf(employeeId)).toBe('of later');
  });

  test('answers with the restored rows from the commit on', async () => {
    world.caches = reachable();
    expect(await cachedTitle()).toBe('of later');
    const restored = await ask();
    await world.run(restored, '0 compare');
    expect(await container.titleOf(employeeId)).toBe('of the backup');
    world.caches = undefined;
    await world.run(restored, undefined, '0 compare');
    await world.undo(restored);
  });

  test('does so after a recovery too, where the dead cut-over had not reached the cache', async () => {
    // It learns of the undo before.
    await container.promote(employeeId);
    expect(await cachedTitle()).toBe('of later');
    const restored = await ask();
    await world.run(restored, '0 compare');
    const dead = { statusOf: async () => 'ended' as const, caches: reachable() };
    expect((await recoverMoves(world.registry, dead)).moves).toEqual([restored.restoreId]);
    expect(await world.view(restored)).toMatchObject({ status: 'succeeded' });
    expect(await container.titleOf(employeeId)).toBe('of the backup');
  });
});

describe.skipIf(!valkeyInstalled)('what is cached of the source of a hop', () => {
  const VALUE_MS = 400;
  const place = (region: string, epoch: number) => ({ region, epoch });
  const hopOf = (facts: object) =>
    ({ attempt: { tenantId: crypto.randomUUID(), attemptId: 'a' }, source: place('us', 3), ...facts }) as Hop;
  const restoring = () => hopOf({ target: place('us', 4), filling: { from: 'schema' } });
  const leaving = () => hopOf({ target: place('eu', 4) });
  const moving = () => hopOf({ target: place('us', 4) });
  const closedFor = async ({ attempt }: Hop) =>
    (await valkey.keys()).filter((key) => key.startsWith(`tenant:${attempt.tenantId}:`));

  test('is closed before the commit where the target has other rows or another cache, and not otherwise', async () => {
    const caches = reachable();
    for (const hop of [restoring(), leaving()]) {
      await closeFormerValues(caches, hop);
      expect(await closedFor(hop)).toContain(`tenant:${hop.attempt.tenantId}:place:e3`);
    }
    const hop = moving();
    await closeFormerValues(caches, hop);
    expect(await closedFor(hop)).toEqual([]);
  });

  test('has expired when its end is reported without the cache', async () => {
    const relay = await valkey.relay();
    relay.close();
    const durationOf = async (caches: SourceCaches, hop: Hop) => {
      const begun = performance.now();
      await endFormerValues(caches, hop);
      return performance.now() - begun;
    };
    const unreachable = cachesAt(relay.port, VALUE_MS);
    expect(await durationOf(unreachable, restoring())).toBeGreaterThanOrEqual(VALUE_MS);
    expect(await durationOf(unreachable, moving())).toBeLessThan(VALUE_MS);
    const hop = leaving();
    await endFormerValues(reachable(), hop);
    expect(await closedFor(hop)).toContain(`tenant:${hop.attempt.tenantId}:place:e3`);
  });
});
