import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { sampled } from '../full-run.ts';
import { MovingTenant } from './moving-tenant.ts';
import { backUp, restore, undo } from './restore-runs.ts';
import { newEmployee } from './running-platform.ts';

interface Write {
  readonly key: string;
  readonly sentAt: number;
  readonly answeredAt: number;
}

/** A writer that adds one key after the other to a document, and readers of it. */
class DocumentLoad {
  readonly failures: string[] = [];
  readonly writes: Write[] = [];
  readonly #tenant: MovingTenant;
  readonly #path: string;
  readonly #clients: Promise<void>[] = [];
  #stopping = false;

  constructor(tenant: MovingTenant, employeeId: string) {
    this.#tenant = tenant;
    this.#path = `/employees/${employeeId}`;
  }

  start(): void {
    this.#clients.push(this.#write());
    for (let n = 0; n < 2; n++) this.#clients.push(this.#read());
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#clients);
  }

  /** Resolves when that many more writes were acknowledged. */
  async written(count: number): Promise<void> {
    const goal = this.writes.length + count;
    while (this.writes.length < goal && this.failures.length === 0) await delay(5);
  }

  /** Keys that the document has. */
  async keys(): Promise<string[]> {
    const { body } = await this.#tenant.send('GET', this.#path);
    return Object.keys(body.profileData ?? {});
  }

  async #write(): Promise<void> {
    for (let n = 0; !this.#stopping; n++) {
      const key = `w${n}`;
      const sentAt = Date.now();
      const { status, body } = await this.#tenant.send('PATCH', this.#path, { profileData: { [key]: n } });
      if (status === 200) this.writes.push({ key, sentAt, answeredAt: Date.now() });
      else this.failures.push(`PATCH ${key} answered ${status}: ${JSON.stringify(body)}`);
      await delay(20);
    }
  }

  async #read(): Promise<void> {
    while (!this.#stopping) {
      const { status, body } = await this.#tenant.send('GET', this.#path);
      if (status !== 200) this.failures.push(`GET answered ${status}: ${JSON.stringify(body)}`);
      await delay(20);
    }
  }
}

test.concurrent.each(sampled(['starter'], ['starter', 'business', 'enterprise']))(
  'a %s tenant is restored under writers: no request fails, and each write is in one of the two places',
  async (tier) => {
    const tenant = await MovingTenant.create({ tier });
    const hired = await tenant.send('POST', '/employees', newEmployee());
    const loads = [new DocumentLoad(tenant, hired.body.employeeId)];
    const [load] = loads as [DocumentLoad];
    const { backupId } = await backUp(tenant.slug);
    load.start();
    await load.written(10);

    const restored = await restore(tenant.slug, { backupId });

    expect(restored, JSON.stringify(restored)).toMatchObject({ status: 'succeeded', reason: null });
    await load.written(10);
    await load.stop();
    expect(load.failures).toEqual([]);
    const swappedAt = Date.parse(restored.report.hops[0].committedAt);
    expect(restored.report.writePauseMs).toBeLessThan(1_000);
    const inTenant = new Set(await load.keys());
    const undone = await undo(tenant.slug, restored.restoreId);
    expect(undone).toMatchObject({ status: 'succeeded', reason: null });
    const inUndoPlace = new Set(await load.keys());

    for (const { key, sentAt, answeredAt } of load.writes) {
      expect([key, inTenant.has(key) !== inUndoPlace.has(key)]).toEqual([key, true]);
      if (answeredAt < swappedAt) expect([key, inUndoPlace.has(key)]).toEqual([key, true]);
      // The time of the swap is read a moment after it.
      if (sentAt > swappedAt) expect([key, inTenant.has(key)]).toEqual([key, true]);
    }
    // One after the other: those before the swap, then those behind it.
    expect(load.writes.map(({ key }) => inTenant.has(key)).join()).toMatch(/^(false,)+(true,?)+$/);
    expect(restored.discarded.writes).toBeGreaterThanOrEqual(
      load.writes.filter(({ answeredAt }) => answeredAt < swappedAt).length,
    );
  },
  180_000,
);
