import { PassThrough } from 'node:stream';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { ApiClient } from '../../../infra/cli/api-client.ts';
import { watchMove } from '../../../infra/cli/moves/watch-move.ts';
import { screenOn } from '../../../infra/cli/screen.ts';
import { type ApiPeer, aMove, endedMove, MOVE_ID, phase, startApiPeer } from './api-peer.ts';
import { type Outcome, strata } from './run-command.ts';

let peer: ApiPeer;
beforeAll(async () => {
  peer = await startApiPeer();
});
beforeEach(() => {
  peer.requests.length = 0;
});
afterAll(() => peer.close());

const run = (...args: string[]): Promise<Outcome> =>
  strata(args, { STRATA_API_URL: peer.url, STRATA_TOKEN: 'a.b.c' });
const path = `/tenants/globex/moves/${MOVE_ID}`;
const started = { status: 202, headers: { location: path }, body: aMove() };
const copying = aMove({ phases: [phase('prepare'), phase('copy', { status: 'running', finishedAt: null })] });

describe('move', () => {
  test.each([
    [['enterprise'], { targetTier: 'enterprise' }],
    [['cell:us-2', '--force'], { targetCell: 'us-2', force: true }],
    [['residency:eu'], { targetResidency: 'eu' }],
  ])('%j asks for %j', async (args, body) => {
    peer.on('POST /tenants/globex/moves', started);
    const { code, out } = await run('move', 'globex', ...args);
    expect(code).toBe(0);
    expect(out).toContain(`watch it with: strata watch globex ${MOVE_ID}\n`);
    expect(peer.requests).toMatchObject([{ method: 'POST', path: '/tenants/globex/moves', body }]);
    expect(peer.requests[0]!.body).toEqual(body);
  });

  test('--dry-run shows the plan, and what forbids it is a failure', async () => {
    const plan = {
      dryRun: true,
      plan: aMove().plan,
      sizes: {
        rows: 1_300,
        bytes: 73_173,
        tables: [
          { name: 'roles', rows: 0, bytes: 8_192 },
          { name: 'teams', rows: 0, bytes: 8_192 },
          { name: 'skills', rows: 100, bytes: 6_789 },
          { name: 'employees', rows: 1_200, bytes: 50_000 },
        ],
      },
      estimate: { seconds: 3.21, writePauseMs: 15 },
      forbidden: [] as object[],
    };
    peer.on('POST /tenants/globex/moves', { body: plan });
    const allowed = await run('move', 'globex', 'business', '--dry-run');
    expect(allowed).toMatchObject({ code: 0, error: '' });
    expect(allowed.out.trimEnd().split('\n')).toEqual([
      'reshape shared@us-1 → schema@us-1',
      'TABLE              ROWS  BYTES',
      'employees         1,200  50.0 kB',
      'skills              100  6.8 kB',
      '(2 empty tables)      0  16.4 kB',
      '1,300 rows, 73.2 kB: about 3.2 s, writes paused for about 15.0 ms',
    ]);
    expect(peer.requests[0]!.body).toEqual({ targetTier: 'business', dryRun: true });
    const none = {
      ...plan,
      plan: [],
      estimate: null,
      forbidden: [{ rule: 'cell', detail: 'No cell has room.' }],
    };
    peer.on('POST /tenants/globex/moves', { body: none });
    const nowhere = await run('move', 'globex', 'business', '--dry-run');
    expect(nowhere.code).toBe(1);
    expect(nowhere.out).toContain('1,300 rows, 73.2 kB: no estimate, because there is no move to make\n');
    const forbidden = [{ rule: 'max-users', detail: 'It has 60 users.' }];
    peer.on('POST /tenants/globex/moves', { body: { ...plan, forbidden } });
    const refused = await run('move', 'globex', 'business', '--dry-run');
    expect(refused.code).toBe(1);
    expect(refused.out).toContain('forbidden (max-users): It has 60 users.\n');
  });

  test('--watch tells each change on a line of its own, then the report', async () => {
    peer.on('POST /tenants/globex/moves', started);
    // Not there yet, then away for a moment: watching goes on.
    peer.on(
      `GET ${path}`,
      { status: 404, body: {} },
      { body: copying },
      { status: 503, body: {} },
      { body: copying },
      {
        body: endedMove('succeeded'),
      },
    );
    const { code, out, error } = await run('move', 'globex', 'business', '--watch');
    expect([code, error]).toEqual([0, '']);
    expect(out.trimEnd().split('\n')).toEqual([
      `move ${MOVE_ID} of globex to business has started`,
      'prepare: begun',
      'prepare: done in 2.5 s',
      'copy: begun',
      'copy: done in 2.5 s, 1,234 rows, 56.8 kB',
      'succeeded in 12.3 s, writes paused 12.9 ms, 1,234 rows, 56.8 kB, 3 requests retried',
    ]);
  });
});

describe('watch', () => {
  test('goes on with the follow-up move once it has begun, and ends as it ends', async () => {
    const executionArn = `arn:aws:states:eu-west-1:1:execution:tenant-move:onward-${MOVE_ID}`;
    const crossed = endedMove('succeeded');
    const followUp = { region: 'eu', executionArn };
    peer.on(`GET ${path}`, { body: { ...crossed, report: { ...crossed.report, followUp } } });
    const next = { ...aMove({ phases: [phase('prepare')] }), moveId: 'next', executionArn };
    const list = (...items: object[]) => ({ body: { items, nextCursor: null } });
    peer.on('GET /tenants/globex/moves', list(crossed), list(crossed, next));
    const failed = endedMove('failed', 'The sides differ.');
    peer.on('GET /tenants/globex/moves/next', { body: next }, { body: failed });
    const { code, out } = await run('watch', 'globex', MOVE_ID);
    expect(code).toBe(1);
    expect(out).toContain(
      'a follow-up move in eu brings the tenant to the place of its tier\nprepare: begun\n',
    );
    expect(out.trimEnd()).toMatch(/failed in .*: The sides differ\.$/);
  });

  test.each([
    ['failed', 'The sides differ.'],
    ['aborted', 'It was asked to stop.'],
  ] as const)('of a move that is %s ends with its reason and exit code 1', async (status, reason) => {
    peer.on(`GET ${path}`, { body: endedMove(status, reason) });
    const { code, out } = await run('watch', 'globex', MOVE_ID);
    expect(code).toBe(1);
    expect(out.trimEnd().split('\n').at(-1)).toMatch(new RegExp(`^${status} in 12.3 s, .*: ${reason}$`));
  });

  test('without an id takes the move that runs, else the latest', async () => {
    const older = { ...endedMove('failed'), moveId: 'older', startedAt: '2026-04-01T00:00:00.000Z' };
    const latest = { ...endedMove('succeeded'), moveId: 'latest' };
    const running = { ...aMove(), startedAt: '2026-04-15T00:00:00.000Z' };
    peer.on('GET /tenants/globex/moves', { body: { items: [older, running, latest], nextCursor: null } });
    peer.on(`GET ${path}`, { body: endedMove('succeeded') });
    expect(await run('watch', 'globex')).toMatchObject({ code: 0 });
    peer.on('GET /tenants/globex/moves', { body: { items: [older, latest], nextCursor: null } });
    peer.on('GET /tenants/globex/moves/latest', { body: latest });
    expect(await run('watch', 'globex')).toMatchObject({ code: 0 });
    expect(peer.requests.map((request) => request.path.split('/').at(-1))).toContain('latest');
    peer.on('GET /tenants/globex/moves', { body: { items: [], nextCursor: null } });
    expect(await run('watch', 'globex')).toMatchObject({ code: 1, error: 'globex has never moved\n' });
  });

  test('does not wait for what is refused for good', async () => {
    const body = { type: 'urn:strata:problem:forbidden', title: 'Forbidden' };
    peer.on(`GET ${path}`, { status: 403, body });
    expect(await run('watch', 'globex', MOVE_ID)).toMatchObject({ code: 1, error: 'Forbidden (HTTP 403)\n' });
    expect(peer.requests).toHaveLength(1);
  });
});

test('abort asks the running move to stop, and only that', async () => {
  peer.on('GET /tenants/globex/moves', { body: { items: [aMove()], nextCursor: null } });
  peer.on(`POST ${path}/abort`, { status: 202, body: aMove() });
  expect(await run('abort', 'globex')).toMatchObject({
    code: 0,
    out: `requested that move ${MOVE_ID} of globex stops\n`,
  });
  peer.on('GET /tenants/globex/moves', { body: { items: [endedMove('succeeded')], nextCursor: null } });
  peer.requests.length = 0;
  expect(await run('abort', 'globex')).toMatchObject({ code: 1, error: 'no move of globex is running\n' });
  expect(peer.requests.filter(({ method }) => method === 'POST')).toEqual([]);
});

describe('on a terminal', () => {
  /** What `watchMove` writes to a terminal of 100 columns. */
  async function drawn(): Promise<string> {
    const terminal = Object.assign(new PassThrough(), { isTTY: true, columns: 100 });
    const chunks: Buffer[] = [];
    terminal.on('data', (chunk: Buffer) => chunks.push(chunk));
    const screen = screenOn(terminal as unknown as NodeJS.WriteStream);
    await watchMove(new ApiClient(peer.url, 'a.b.c'), screen, { tenant: 'globex', path });
    return Buffer.concat(chunks).toString('utf8');
  }

  test('each view takes the place of the one before, and the report stays below', async () => {
    peer.on(`GET ${path}`, { body: copying }, { body: endedMove('succeeded') });
    const [first, second] = (await drawn()).split('\x1b[0J');
    // The first view ends with the way back up, over all of its lines.
    expect(first).toMatch(new RegExp(`\\[${first!.split('\n').length - 1}A$`));
    expect(first).toContain('▸ copy');
    expect(second).toContain('✔ copy');
    expect(second!.trimEnd().split('\n').at(-1)).toContain('succeeded in 12.3 s');
  });
});
