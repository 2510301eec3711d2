/**
 * The cache beside the real store: readers, writers, evictions, outages, moves and restores in random order, in two
 * containers. Never does a client get a value older than the last write or restore that was answered before its read began:
 * while the server is reachable at once, and after an outage within the time that values live.
 */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { CacheServer } from '../../functions/aws/cache-server.ts';
import { TenantAccess } from '../../functions/placement/tenant-router.ts';
import type { Actor } from '../../functions/tenant-data/audit-log.ts';
import { RELEASE } from '../../functions/tenant-data/cache-scripts.ts';
import { employees } from '../../functions/tenant-data/employees.ts';
import { TenantCache } from '../../functions/tenant-data/tenant-cache.ts';
import { sampled } from '../full-run.ts';
import { type Container, createWorld, type World, type WorldTenant } from '../isolation/tenant-world.ts';
import type { CuttingRelay } from '../placement/cutting-relay.ts';
import { newEmployee } from '../request/tenant-requests.ts';
import { TestValkey, valkeyInstalled } from './test-valkey.ts';

/** How long values live: short, so that a test can wait for the end of an outage's effect. */
const VALUE_MS = 400;
const ACTOR: Actor = {
  kind: 'user',
  userId: undefined,
  name: 'admin@tenant.test',
  role: 'member',
  ipAddress: undefined,
  userAgent: undefined,
};

let valkey: TestValkey;
let world: World;
/** As the function that moves tenants has it: it reaches the server at all times. */
let mover: TenantCache;
beforeAll(async () => {
  if (!valkeyInstalled) return;
  [valkey, world] = await Promise.all([TestValkey.start(), createWorld(1, { pooled: false })]);
  valkey.trust();
  mover = new TenantCache(valkey.server(), { closeLimitMs: 5_000 });
});
afterAll(async () => {
  await valkey?.stop();
  await world?.end();
});

/** A container looks a tenant up more often than it can move twice; here it never does by itself. */
const MAX_MOVES = 2;
const KEYS = 2;
const CONTAINERS = 2;
const key = fc.nat({ max: KEYS - 1 });
const container = fc.nat({ max: CONTAINERS - 1 });
/** `delay`: how many turns of the event loop it waits before it begins. */
const step = fc.record({
  delay: fc.nat({ max: 20 }),
  action: fc.oneof(
    { weight: 6, arbitrary: fc.record({ kind: fc.constant('read' as const), key, container }) },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('write' as const), key, container }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('evict' as const), key }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('restart' as const) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('outage' as const) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('move' as const) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('restore' as const) }) },
  ),
});
type Action =
  typeof step extends fc.Arbitrary<infer Step extends { action: object }> ? Step['action'] : never;

interface Execution {
  readonly container: Container;
  readonly access: TenantAccess;
  readonly server: CacheServer;
}

/** What a client may find. */
interface Register {
  readonly employeeId: string;
  /** Number of the last write that was answered. */
  acknowledged: number;
  /** Until then, values of before an outage may be found; on `performance.now()`'s clock. */
  excusedUntil: number;
  /** Writes of one row follow one another. */
  writing: Promise<unknown>;
  next: number;
}

class Run {
  readonly #tenant: WorldTenant;
  readonly #executions: Execution[];
  readonly #registers: Register[];
  #relay: CuttingRelay;
  readonly #port: number;
  #outages = 0;
  #outage: Promise<unknown> = Promise.resolve();
  #moving: Promise<unknown> = Promise.resolve();
  #moves = 0;

  private constructor(
    tenant: WorldTenant,
    { executions, registers, relay }: { executions: Execution[]; registers: Register[]; relay: CuttingRelay },
  ) {
    this.#tenant = tenant;
    this.#executions = executions;
    this.#registers = registers;
    this.#relay = relay;
    this.#port = relay.port;
  }

  static async start(tenant: WorldTenant): Promise<Run> {
    await valkey.inspector.flushall();
    const relay = await valkey.relay();
    const executions = Array.from({ length: CONTAINERS }, () => {
      const server = valkey.server({ port: relay.port, pauseMs: 20 });
      const cache = new TenantCache(server, { valueMs: VALUE_MS, writeLimitMs: 5_000 });
      // Answers of the directory stay fresh: only the database tells a container of a move.
      const own = world.container({ freshForMs: 60_000 });
      const access = new TenantAccess(tenant.tenantId, tenant.tenantId, own.router, undefined, { cache });
      return { container: own, access, server };
    });
    const registers: Register[] = [];
    for (let n = 0; n < KEYS; n++) {
      const { email, firstName, lastName } = newEmployee();
      const { answer } = await employees.create((executions[0] as Execution).access, ACTOR, {
        values: { email, first_name: firstName, last_name: lastName, job_title: '0' },
        parents: {},
        locate: (id) => id,
        idempotency: undefined,
      });
      const { employeeId } = answer.body as { employeeId: string };
      registers.push({
        employeeId,
        acknowledged: 0,
        excusedUntil: 0,
        writing: Promise.resolve(),
        next: 1,
      });
    }
    return new Run(tenant, { executions, registers, relay });
  }

  do(action: Action): Promise<unknown> {
    switch (action.kind) {
      case 'read':
        return this.#read(action.container, action.key);
      case 'write':
        return this.#write(action.container, action.key);
      case 'evict':
        return this.#evict(action.key);
      case 'restart':
        return valkey.inspector.flushall();
      case 'outage':
        return this.#interrupt();
      case 'move':
        return this.#move();
      case 'restore':
        return this.#restore();
    }
  }

  async end(): Promise<void> {
    await this.#outage;
    // After everything, each container finds the last write of each row.
    for (const { excusedUntil } of this.#registers) {
      await expect.poll(() => performance.now() > excusedUntil, { interval: 20 }).toBe(true);
    }
    for (let from = 0; from < CONTAINERS; from++) {
      for (let row = 0; row < KEYS; row++) await this.#read(from, row);
    }
    this.#relay.close();
    for (const { server, container: own } of this.#executions) {
      server.end();
      await own.end();
    }
  }

  async #read(from: number, row: number): Promise<void> {
    const { access } = this.#executions[from] as Execution;
    const register = this.#registers[row] as Register;
    const [least, begun] = [register.acknowledged, performance.now()];
    const { item } = await employees.get(access, { employee_id: register.employeeId }, ACTOR);
    if (begun < register.excusedUntil) return;
    expect(Number(item.jobTitle)).toBeGreaterThanOrEqual(least);
  }

  #write(from: number, row: number): Promise<void> {
    const { access } = this.#executions[from] as Execution;
    const register = this.#registers[row] as Register;
    const write = register.writing.then(async () => {
      const before = this.#outages;
      const wasInterrupted = this.#isInterrupted;
      const version = register.next++;
      await employees.update(
        access,
        ACTOR,
        { employee_id: register.employeeId },
        { job_title: String(version) },
        undefined,
      );
      // A container may not have reached the server for a part of that time.
      if (wasInterrupted || this.#isInterrupted || before !== this.#outages)
        register.excusedUntil = performance.now() + VALUE_MS;
      register.acknowledged = version;
    });
    register.writing = write.catch(() => {});
    return write;
  }

  #isInterrupted = false;

  /** The containers lose the server, and get it back. */
  #interrupt(): Promise<void> {
    const outage = this.#outage.then(async () => {
      this.#outages += 1;
      this.#isInterrupted = true;
      this.#relay.close();
      for (let n = 0; n < 5; n++) await this.#read(n % CONTAINERS, n % KEYS);
      this.#relay = await valkey.relay(this.#port);
      for (const { server } of this.#executions) {
        const probe = () => server.run(RELEASE, `tenant:${this.#tenant.tenantId}:probe`, ['none']);
        await expect.poll(probe, { interval: 10 }).toBeDefined();
      }
      this.#isInterrupted = false;
    });
    this.#outage = outage;
    return outage;
  }

  async #evict(row: number): Promise<void> {
    const { employeeId } = this.#registers[row] as Register;
    const keys = await valkey.inspector.keys(`tenant:${this.#tenant.tenantId}:employee:${employeeId}:*`);
    if (keys.length > 0) await valkey.inspector.del(...keys);
  }

  #move(): Promise<void> {
    const move = this.#moving.then(() => this.#advance());
    this.#moving = move;
    return move;
  }

  /** Later than the writes before it, and earlier than those after it, so that the rows it brings have a version. */
  #restore(): Promise<void> {
    const earlier = this.#registers.map(({ writing }) => writing);
    const restore = Promise.all([this.#moving, ...earlier]).then(() => this.#advance({ restores: true }));
    for (const register of this.#registers) register.writing = restore.catch(() => {});
    this.#moving = restore;
    return restore;
  }

  /**
   * The database and the registry have the tenant under the next epoch; containers learn of it from the database.
   * @param restores its rows are other ones there, which no write of the cache's protocol has brought.
   */
  async #advance({ restores = false } = {}): Promise<void> {
    if (this.#moves >= MAX_MOVES) return;
    this.#moves += 1;
    const { tenantId, database } = this.#tenant;
    const superuser = await database.connect('superuser');
    const { rows } = await superuser.query<{ epoch: string }>(
      'SELECT epoch FROM tenancy.placement WHERE tenant_id = $1',
      [tenantId],
    );
    const epoch = Number(rows[0]?.epoch);
    const close = async () => {
      if (restores) expect(await mover.close({ tenantId, epoch }, 'restore')).toBe(true);
    };
    await close();
    // The lock waits for the writes of the former epoch, as a fence does.
    await superuser.query('BEGIN');
    await superuser.query('SELECT pg_advisory_xact_lock(tenancy.lock_key($1::uuid))', [tenantId]);
    const restored = restores ? this.#registers.map(({ employeeId, next }) => ({ employeeId, next })) : [];
    for (const { employeeId, next } of restored) {
      const { schemaName } = this.#tenant;
      await superuser.query(`UPDATE ${schemaName}.employees SET job_title = $1 WHERE employee_id = $2`, [
        String(next),
        employeeId,
      ]);
    }
    await superuser.query('UPDATE tenancy.placement SET epoch = epoch + 1 WHERE tenant_id = $1', [tenantId]);
    await superuser.query('COMMIT');
    await superuser.end();
    await world.registry.query(
      'UPDATE tenant_database_routing SET epoch = :epoch::bigint WHERE tenant_id = :tenantId::uuid',
      { epoch: epoch + 1, tenantId },
    );
    // As before the end of a restore is reported: a restarted server has lost the first one.
    await close();
    if (restores) for (const register of this.#registers) register.acknowledged = register.next++;
  }
}

const turns = async (count: number) => {
  for (let n = 0; n < count; n++) await new Promise<void>((resolve) => setImmediate(resolve));
};

describe.skipIf(!valkeyInstalled).each(['shared', 'schema'] as const)(
  'a client of a tenant in %s',
  (model) => {
    test('never gets a value older than the last write that was answered', async () => {
      const tenant = world.tenants.find(({ isolationModel }) => isolationModel === model) as WorldTenant;
      await fc.assert(
        fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async (steps) => {
          const run = await Run.start(tenant);
          try {
            await Promise.all(steps.map(({ delay, action }) => turns(delay * 5).then(() => run.do(action))));
          } finally {
            await run.end();
          }
        }),
        { numRuns: sampled(4, 100) },
      );
    }, 600_000);
  },
);
