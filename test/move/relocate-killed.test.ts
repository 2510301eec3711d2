/**
 * The mover is killed behind each of its commits, in turn. Then the same steps are run again to the end, or the attempt
 * is rolled back: the tenant is in one place, writable, with all its rows, and nothing is left over.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { tenantSql } from '../../functions/database/session/tenant-sql.ts';
import { readPlacement } from '../../functions/database/transfer/fence.ts';
import { cleanUpRelocate } from '../../functions/moves/relocate/clean-up-relocate.ts';
import { endReplication } from '../../functions/moves/relocate/replication.ts';
import { rollBackRelocate } from '../../functions/moves/relocate/roll-back-relocate.ts';
import { FULL_RUN } from '../full-run.ts';
import { mortal, patchClients } from './mortal-mover.ts';
import {
  createRelocationWorld,
  linesOf,
  type RelocationWorld,
  type WorldTenant,
} from './relocation-world.ts';
import { type PhaseName, runRelocation } from './run-relocation.ts';

let world: RelocationWorld;
let unpatch: () => void;
beforeAll(async () => {
  process.env.MOVE_MAX_PAUSE_MS = '1000';
  world = await createRelocationWorld();
  unpatch = patchClients();
});
afterAll(async () => {
  unpatch?.();
  await world?.end();
});

const emails = tenantSql.selectFrom('employees').select('email').orderBy('email');
const write = ({ access }: WorldTenant, email: string) =>
  access.batch('write', [
    tenantSql.insertInto('employees').values({ email, first_name: 'A', last_name: 'B' }),
  ]);

async function killed(n: number, from: PhaseName, to: PhaseName, ending: 'finished' | 'rolled back') {
  const tenant = await world.addTenant();
  const others = new Set(await world.inventory());
  const before = linesOf([...others], tenant);
  await write(tenant, 'a@x.test');
  const hop = await world.hop(tenant, world.y);
  const kept = {};
  if (from !== 'prepare') await runRelocation(hop, { to: before_(from), kept });
  const { died } = await mortal(n, () => runRelocation(hop, { from, to, kept }));
  await write(tenant, 'b@x.test');
  const source = await world.x.connect('owner');
  const committed = (await readPlacement(source, tenant.tenantId))?.state === 'moved';
  await source.end();
  if (ending === 'rolled back' && !committed) {
    await rollBackRelocate(hop);
    expect(linesOf(await world.inventory(), tenant), `killed behind commit ${n}`).toEqual(before);
  } else {
    await runRelocation(hop, { from, kept });
    await world.settle(tenant, hop);
    await cleanUpRelocate(hop, performance.now() + 10_000);
    expect(linesOf(await world.inventory(), tenant), `killed behind commit ${n}`).toEqual([
      `x: placement ${tenant.tenantId} 2 moved `,
      `y: placement ${tenant.tenantId} 2 active `,
      `y: role ${hop.target.roleName}`,
      `y: schema ${hop.target.schemaName}`,
    ]);
    expect(kept).toMatchObject({ pauses: expect.any(Array), writePauseMs: expect.any(Number) });
  }
  await write(tenant, 'c@x.test');
  const [rows] = await tenant.access.batch('read', [emails]);
  expect(rows.map(({ email }) => email)).toEqual(['a@x.test', 'b@x.test', 'c@x.test']);
  return died;
}

const ORDER: readonly PhaseName[] = ['prepare', 'copy', 'index', 'catch-up', 'cut-over', 'compare'];
const before_ = (phase: PhaseName) => ORDER[ORDER.indexOf(phase) - 1]!;

/** `sample`: the commits at which `npm test` kills, before the commit of the move and behind it. `commits`: how many the phases make at least. */
const PHASES = [
  { from: 'prepare', to: 'copy', sample: [6], commits: 9 },
  { from: 'index', to: 'index', sample: [], commits: 40 },
  { from: 'catch-up', to: 'catch-up', sample: [], commits: 5 },
  { from: 'cut-over', to: 'cut-over', sample: [2, 3], commits: 5 },
  { from: 'compare', to: 'compare', sample: [], commits: 25 },
] as const satisfies readonly { from: PhaseName; to: PhaseName; sample: number[]; commits: number }[];
const endings = ['finished', 'rolled back'] as const;

if (FULL_RUN) {
  test.for(PHASES)('killed behind every commit from $from to $to', { timeout: 600_000 }, async (phases) => {
    const { from, to, commits } = phases;
    for (let n = 1; ; n++) {
      const died = await killed(n, from, to, endings[n % 2]!);
      if (died) await killed(n, from, to, endings[(n + 1) % 2]!);
      else {
        // As many as there are, or the test would kill no mover.
        expect(n).toBeGreaterThan(commits);
        break;
      }
    }
  });
} else {
  const sampledPhases = PHASES.filter(({ sample }) => sample.length > 0);
  test.for(sampledPhases)('killed from $from to $to', async ({ from, to, sample }) => {
    for (const n of sample) expect(await killed(n, from, to, endings[(n + 1) % 2]!)).toBe(true);
  });
}

/** The commits at which a roll back or an end is killed, until it was not any more. */
async function killedAt(sample: number, kill: (n: number) => Promise<boolean>): Promise<void> {
  if (FULL_RUN) for (let n = 1; await kill(n); n++);
  else expect(await kill(sample)).toBe(true);
}

test('killed while it is rolled back, it is rolled back by the next one', { timeout: 600_000 }, async () => {
  await killedAt(5, async (n) => {
    const tenant = await world.addTenant();
    const before = linesOf(await world.inventory(), tenant);
    const hop = await world.hop(tenant, world.y);
    await runRelocation(hop, { to: 'prepare' });
    const { died } = await mortal(n, () => rollBackRelocate(hop));
    await rollBackRelocate(hop);
    expect(linesOf(await world.inventory(), tenant), `killed behind commit ${n}`).toEqual(before);
    return died;
  });
});

test('killed while it is ended, it is ended by the next one', { timeout: 600_000 }, async () => {
  await killedAt(2, async (n) => {
    const tenant = await world.addTenant();
    const hop = await world.hop(tenant, world.y);
    await runRelocation(hop);
    const { died } = await mortal(n, () => endReplication(hop));
    await world.settle(tenant, hop);
    await mortal(1, () => cleanUpRelocate(hop, performance.now() + 10_000));
    await cleanUpRelocate(hop, performance.now() + 10_000);
    expect(linesOf(await world.inventory(), tenant), `killed behind commit ${n}`).toHaveLength(4);
    return died;
  });
});
