import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { type ApiPeer, startApiPeer } from './api-peer.ts';
import { strata } from './run-command.ts';

let peer: ApiPeer;
beforeAll(async () => {
  peer = await startApiPeer();
});
beforeEach(() => {
  peer.requests.length = 0;
});
afterAll(() => peer.close());

const run = (...args: string[]) =>
  strata(['rollouts', ...args], { STRATA_API_URL: peer.url, STRATA_TOKEN: 'a.b.c' });
const targets = { total: 3, pending: 3, deferred: 0, succeeded: 0, failed: 0 };
const rollout = {
  rolloutId: 'r-1',
  region: 'us',
  status: 'running',
  phase: 'canary',
  reason: null,
  schemaVersion: 3,
  targets,
  startedBy: 'deployment',
  startedAt: '2026-05-01T10:00:00.000000Z',
  finishedAt: null,
};
const failed = {
  ...rollout,
  status: 'failed',
  phase: 'waves',
  reason: '1 of 3 targets failed.',
  finishedAt: '2026-05-01T10:00:05.000000Z',
  targets: { ...targets, pending: 0, succeeded: 2, failed: 1 },
  failed: [
    { isolationModel: 'schema', cellId: 'us-1', slug: 'globex', tenantId: 't', reason: 'no\u001b[2J table' },
  ],
};

test('--start --watch tells each change, and a failed rollout is a failure with its targets', async () => {
  peer.on('POST /rollouts', { status: 202, headers: { location: '/rollouts/r-1' }, body: rollout });
  peer.on('GET /rollouts/r-1', { body: rollout }, { body: rollout }, { body: failed });
  const { code, out } = await run('--start', '--watch', '--except', 'acme, initech');
  expect(peer.requests[0]?.body).toEqual({ except: ['acme', 'initech'] });
  expect(code).toBe(1);
  expect(out.trimEnd().split('\n')).toEqual([
    'rollout r-1 to version 3 has started',
    'canary: 0 of 3 targets at version 3',
    'failed: 2 of 3 targets at version 3, 1 failed: 1 of 3 targets failed.',
    '  globex: no\\u001b[2J table',
  ]);
});

test('--watch shows how the latest one went, and the list is newest first', async () => {
  const earlier = {
    ...rollout,
    rolloutId: 'r-0',
    status: 'succeeded',
    startedAt: '2026-04-01T10:00:00.000000Z',
  };
  peer.on('GET /rollouts', { body: { items: [earlier, failed], nextCursor: null } });
  peer.on('GET /rollouts/r-1', { body: failed });
  expect((await run('--watch')).out).toContain('globex');
  const { code, out } = await run();
  expect(code).toBe(0);
  expect(out.match(/r-\d/g)).toEqual(['r-1', 'r-0']);
  expect(JSON.parse((await run('--json')).out)).toMatchObject([{ rolloutId: 'r-1' }, { rolloutId: 'r-0' }]);
});

test.each([
  [['--except', 'acme'], '--except goes with --start'],
  [['--json', '--start'], '--json lists rollouts'],
])('%j is a wrong command line', async (args, message) => {
  const { code, error } = await run(...args);
  expect(code).toBe(2);
  expect(error).toContain(message);
  expect(peer.requests).toEqual([]);
});
