import { resolve } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ClientLoad, type Send } from '../../infra/cli/client-load.ts';
import { tracesOf } from '../platform/tenant-traces.ts';
import { OwnPlatform } from './own-platform.ts';

const platform = new OwnPlatform(resolve(import.meta.dirname, '../..'));
const TIMEOUT_MS = 180_000;
const SLUG = 'nomad';
let tenantId: string;

beforeAll(async () => {
  await platform.start('--empty');
  const input = { name: 'Nomad', slug: SLUG, tier: 'starter', adminEmail: `admin@${SLUG}.test` };
  expect(await platform.finished(await platform.startOnboarding(input))).toMatchObject({
    status: 'SUCCEEDED',
  });
  ({ tenantId } = await (await platform.client()).get<{ tenantId: string }>(`/tenants/${SLUG}`));
}, 60_000);
afterAll(() => platform.stop());

/** Every state with an effect. */
const STATES = [
  'Begin',
  'Next hop',
  'Create credentials',
  'Prepare',
  'Register with proxy',
  'Copy',
  'Build indexes',
  'Catch up',
  'Cut over',
  'Settle',
  'Launch',
  'Bootstrap',
  'Compare',
  'Finish',
] as const;
/** Between the ends both kinds of hop are made, one after the other. */
const nextTier = (tier: string) => (tier === 'enterprise' ? 'starter' : 'enterprise');

const sender = (): Promise<Send> => platform.sender({ tenantId, email: `admin@${SLUG}.test` });

test.each(STATES)(
  'the platform killed at "%s" of a move: one home, writable, with all data, and the same move can be finished',
  async (state) => {
    const { tier } = await (await platform.client()).get<{ tier: string }>(`/tenants/${SLUG}`);
    // Each kill leaves some employees, more than a Starter may have in the end.
    const input = { tenantId, targetTier: nextTier(tier), force: true };
    const load = new ClientLoad(await sender(), {
      prefix: `k${STATES.indexOf(state)}`,
      writers: 2,
      readers: 1,
      restMs: 10,
      atMost: 10,
    });
    load.start();
    await load.written(5);
    const killed = await platform.startExecution('tenant-move', input);
    await platform.entered(killed, state);
    load.forgive();
    await platform.kill();
    await load.stop();
    expect(load.violations).toEqual([]);

    await platform.start();
    const send = await sender();
    // At once, before anything was recovered: a fence ends by itself.
    const written = await send('POST', '/employees', {
      email: `after-${state.replaceAll(' ', '-')}@kill.test`,
      firstName: 'A',
      lastName: 'B',
    });
    expect(written.status, JSON.stringify(written.body)).toBe(201);
    expect(await load.verify(send)).toEqual([]);
    expect((await platform.execution(killed)).status).not.toBe('RUNNING');
    const homes = (await tracesOf(platform, tenantId)).filter((trace) => trace.includes(': home '));
    expect(homes).toHaveLength(1);

    const again = await platform.finished(await platform.startExecution('tenant-move', input));
    // Where the kill came a moment too late, the first execution had done it all.
    if (again.error !== 'NothingToMove')
      expect(again, again.cause).toMatchObject({ status: 'SUCCEEDED', error: undefined });
    const after = await (await platform.client()).get<{ tier: string }>(`/tenants/${SLUG}`);
    expect(after.tier).toBe(input.targetTier);
    expect(await load.verify(await sender())).toEqual([]);
  },
  TIMEOUT_MS,
);
