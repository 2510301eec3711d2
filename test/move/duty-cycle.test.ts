import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { DutyCycle, dutyCycle } from '../../functions/moves/duty-cycle.ts';
import { insertBulkRows } from '../bench/move/bulk-rows.ts';
import { createWorld, type World, type WorldTenant } from '../isolation/tenant-world.ts';
import { arrivalIn, hopOf, placeOf, StepLog, startHopWorld } from './hop-world.ts';
import type { LocalSecrets } from './local-secrets.ts';
import { reshapeSteps } from './reshape-steps.ts';

afterEach(() => vi.unstubAllEnvs());

/** Occupies this thread. */
function work(ms: number): void {
  for (const until = performance.now() + ms; performance.now() < until; );
}

describe('a mover', () => {
  test.each([
    [0.5, 1],
    [0.25, 3],
  ])('with a duty cycle of %d rests %d times as long as a batch took', async (share, times) => {
    const duty = new DutyCycle(60_000, share);
    work(20);
    await duty.rest(0.1);
    expect(duty.restedMs).toBeGreaterThanOrEqual(19 * times);
  });

  test('does not rest with a duty cycle of 1, nor after its last batch', async () => {
    const tireless = new DutyCycle(60_000, 1);
    work(20);
    await tireless.rest(0.5);
    expect(tireless.restedMs).toBeLessThan(10);
    const done = new DutyCycle(60_000, 0.1);
    work(20);
    await done.rest(1);
    expect(done.restedMs).toBeLessThan(10);
  });

  test('does not rest where all of the work would take too long with that', async () => {
    const duty = new DutyCycle(1_000, 0.1);
    work(20);
    // A hundredth in 20 ms: two seconds in all.
    await duty.rest(0.01);
    expect(duty.restedMs).toBeLessThan(10);
  });

  test.each(['0', '1.5', '-1', 'half'])('is refused a duty cycle of %s', (text) => {
    vi.stubEnv('MOVE_DUTY_CYCLE', text);
    expect(() => dutyCycle()).toThrow('MOVE_DUTY_CYCLE');
  });
});

describe('the copy of a reshape', () => {
  let world: World;
  let secrets: LocalSecrets;
  beforeAll(async () => {
    world = await createWorld(1, { pooled: false });
    secrets = await startHopWorld();
  });
  afterAll(async () => {
    await world.end();
    await secrets.stop();
  });

  test.each([
    ['shared', 'schema'],
    ['schema', 'shared'],
  ] as const)('from %s to %s rests between batches, and tells for how long', async (model, into) => {
    const tenant = world.tenants.find(({ isolationModel }) => isolationModel === model) as WorldTenant;
    const { tenantId, schemaName } = tenant;
    const superuser = await world.cell.connect('superuser');
    await insertBulkRows(superuser, schemaName, 8_000, model === 'shared' ? tenantId : undefined);
    const copies: Record<string, unknown>[] = [];
    // The same attempt copies anew where nothing was kept of an earlier copy.
    const target = await arrivalIn(world.cell, secrets, into, { tenantId, epoch: 2 });
    const hop = hopOf('reshape', tenantId, placeOf(world.cell, tenant), target);
    await new StepLog(hop).run(reshapeSteps.prepare);
    for (const share of ['1', '0.5']) {
      vi.stubEnv('MOVE_DUTY_CYCLE', share);
      const log = new StepLog(hop);
      await log.run(reshapeSteps.copy);
      copies.push(log.kept);
    }
    const [tireless, gentle] = copies;
    expect(gentle!.copiedRows).toBe(tireless!.copiedRows);
    expect(tireless!.copyRestedMs).toBeLessThan(20);
    expect(gentle!.copyRestedMs).toBeGreaterThan(tireless!.copyRestedMs as number);
  });
});
