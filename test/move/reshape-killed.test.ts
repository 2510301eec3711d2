/**
 * The process of a step dies at a commit, when the server has answered, and at the very last one before the server gets it. Then the move is finished by another process, or rolled back with nothing left.
 */
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { releaseClaim } from '../../functions/database/transfer/claim.ts';
import { MoveCommitted } from '../../functions/database/transfer/errors.ts';
import { rollBackReshape } from '../../functions/moves/reshape/roll-back-reshape.ts';
import type { Place } from '../../functions/places/place.ts';
import { until } from '../enter-tenant.ts';
import { FULL_RUN, sampled } from '../full-run.ts';
import { TestDatabase, type TestTenant } from '../test-database.ts';
import { catalogueOfMoves } from './catalogue-of-moves.ts';
import { addPeople, emailsAt } from './few-people.ts';
import { arrivalIn, hopOf, placeOf, StepLog, startHopWorld } from './hop-world.ts';
import type { LocalSecrets } from './local-secrets.ts';
import { mortal, mustLive, patchClients } from './mortal-mover.ts';
import { reshape, reshapeSteps } from './reshape-steps.ts';

let database: TestDatabase;
let secrets: LocalSecrets;
let owner: pg.Client;
let superuser: pg.Client;
let unpatch: () => void;
beforeAll(async () => {
  unpatch = patchClients();
  database = await TestDatabase.clone();
  secrets = await startHopWorld();
  owner = await database.connect('owner');
  superuser = await database.connect('superuser');
});
afterAll(async () => {
  unpatch?.();
  await database.drop();
  await secrets.stop();
});

type StepName = keyof typeof reshapeSteps;
const names = Object.keys(reshapeSteps) as StepName[];

async function begin(model: 'shared' | 'schema'): Promise<{ tenant: TestTenant; log: StepLog }> {
  const tenant = await database.addTenant(model);
  await addPeople(database, placeOf(database, tenant), tenant.tenantId, 'before');
  const { tenantId } = tenant;
  const target = await arrivalIn(database, secrets, model === 'shared' ? 'schema' : 'shared', {
    tenantId,
    epoch: 2,
  });
  return { tenant, log: new StepLog(hopOf('reshape', tenantId, placeOf(database, tenant), target)) };
}

/** Runs the step, whose process dies; answers whether it did, or the step was over before. */
async function die(log: StepLog, step: StepName, at: number, moment: 'before' | 'after'): Promise<boolean> {
  log.beforeTelling = mustLive;
  return (await mortal(at, () => log.run(reshapeSteps[step]), moment)).died;
}

/** Of each model, the steps in which it dies in `npm test`. */
const SAMPLES = {
  shared: { finished: ['cut-over'], rolledBack: ['index', 'cut-over'] },
  schema: { finished: ['copy'], rolledBack: ['catch-up'] },
} as const satisfies Record<string, Record<string, StepName[]>>;

/** How many commits each step makes. */
async function countCommits(model: 'shared' | 'schema'): Promise<Map<StepName, number>> {
  const { log } = await begin(model);
  const counts = new Map<StepName, number>();
  for (const step of names) {
    counts.set(step, (await mortal(Infinity, () => log.run(reshapeSteps[step]))).commits);
  }
  return counts;
}

/** Every one; `npm test` takes the last, and of a cut-over, which commits the move, both sides of it. */
function pointsOf(step: StepName, commits: number): [at: number, moment: 'before' | 'after'][] {
  if (!FULL_RUN && step !== 'cut-over') return [[commits, 'after']];
  const points = FULL_RUN ? Array.from({ length: commits }, (_, index) => index + 1) : [commits];
  return [...points.map((at): [number, 'after'] => [at, 'after']), [commits, 'before']];
}

async function whereNow(tenantId: string, { source, target }: StepLog['hop']): Promise<Place> {
  const { rows } = await owner.query('SELECT epoch FROM tenancy.placement WHERE tenant_id = $1', [tenantId]);
  return Number(rows[0].epoch) === target.epoch ? target : source;
}

describe.each(['shared', 'schema'] as const)('from %s', (model) => {
  // The shared tables have their indexes.
  const stepsThatCommit = names.filter((step) => model === 'shared' || step !== 'index');
  /** `npm test` takes other steps from each model. */
  const stepsOf = (ending: keyof (typeof SAMPLES)['shared']) =>
    sampled<StepName[]>([...SAMPLES[model][ending]], stepsThatCommit);
  let counts: Map<StepName, number>;
  beforeAll(async () => {
    counts = await countCommits(model);
  });

  test.each(stepsOf('finished'))(
    'dies in %s: the tenant is in one place, writable, and the move is finished',
    async (step) => {
      for (const [at, moment] of pointsOf(step, counts.get(step) ?? 0)) {
        const label = `${step}, ${moment} COMMIT ${at}`;
        const { tenant, log } = await begin(model);
        for (const earlier of names.slice(0, names.indexOf(step))) await log.run(reshapeSteps[earlier]);
        const before = new Set(await emailsAt(database, log.hop.source, tenant.tenantId));
        expect(await die(log, step, at, moment), label).toBe(true);
        const place = await whereNow(tenant.tenantId, log.hop);
        await addPeople(database, place, tenant.tenantId, 'after');
        for (const again of names.slice(names.indexOf(step))) await log.run(reshapeSteps[again]);
        await releaseClaim(owner, log.hop.attempt);
        const emails = await emailsAt(database, log.hop.target, tenant.tenantId);
        expect(emails.length, label).toBe(before.size * 2);
        expect(typeof log.kept.committedAt, label).toBe('string');
      }
    },
    240_000,
  );

  test.each(stepsOf('rolledBack'))(
    'dies in %s: rolled back, nothing is left of it, and the next attempt succeeds',
    async (step) => {
      for (const at of FULL_RUN ? [1, counts.get(step) ?? 0] : [counts.get(step) ?? 0]) {
        const label = `${step}, after COMMIT ${at}`;
        const { tenant, log } = await begin(model);
        const { tenantId } = tenant;
        const before = await catalogueOfMoves(superuser, tenantId);
        for (const earlier of names.slice(0, names.indexOf(step))) await log.run(reshapeSteps[earlier]);
        expect(await die(log, step, at, 'after'), label).toBe(true);
        if ((await whereNow(tenantId, log.hop)) === log.hop.target) {
          await expect(rollBackReshape(log.hop), label).rejects.toThrow(MoveCommitted);
          continue;
        }
        await rollBackReshape(log.hop);
        await rollBackReshape(log.hop);
        await until(async () => (await catalogueOfMoves(superuser, tenantId)).join() === before.join());
        const target = await arrivalIn(database, secrets, log.hop.target.isolationModel, {
          tenantId,
          epoch: 2,
          number: 2,
        });
        const next = new StepLog(hopOf('reshape', tenantId, log.hop.source, target, 2));
        await reshape(next);
        expect((await emailsAt(database, target, tenantId)).length, label).toBeGreaterThan(0);
      }
    },
    240_000,
  );
});
