import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type ApiPeer, aMove, endedMove, startApiPeer } from './api-peer.ts';
import { strata } from './run-command.ts';

let peer: ApiPeer;
beforeAll(async () => {
  peer = await startApiPeer();
});
beforeEach(() => {
  peer.requests.length = 0;
});
afterAll(() => peer.close());

const run = (...args: string[]) => strata(args, { STRATA_API_URL: peer.url, STRATA_TOKEN: 'a.b.c' });
const asked = () => peer.requests.filter(({ method }) => method === 'POST');

/** As far as the command line minds it. */
function aRestore(change: object = {}): object {
  const { moveId: _m, target: _t, ...move } = aMove();
  return {
    ...move,
    restoreId: 'r-1',
    mode: 'replace',
    backupId: 'b-1',
    at: null,
    undoes: null,
    cloneOf: null,
    mask: false,
    discarded: null,
    canBeUndone: false,
    ...change,
  };
}

const { moveId: _m, target: _t, ...succeeded } = endedMove('succeeded');

describe('restore', () => {
  test('--at asks for the rows of a time, follows the restore, and lists what it has set aside', async () => {
    const at = '2026-01-31T12:00:00.000Z';
    peer.on('POST /tenants/globex/restores', { status: 202, body: aRestore({ at, backupId: null }) });
    const write = {
      at: '2026-01-31T12:34:56.000Z',
      actor: 'ann@x.test',
      action: 'employee.create',
      resourceId: 'e-1',
    };
    const ended = aRestore({ ...succeeded, at, discarded: { writes: 2, latest: [write] } });
    peer.on('GET /tenants/globex/restores/r-1', { body: aRestore({ at }) }, { body: ended });
    const { code, out } = await run('restore', 'globex', '--at', '2026-01-31T12:00:00Z', '--watch');
    expect(code).toBe(0);
    expect(asked().map(({ path, body }) => [path, body])).toEqual([
      ['/tenants/globex/restores', { at: '2026-01-31T12:00:00Z', mode: 'replace' }],
    ]);
    expect(out).toContain(`restore r-1 of its rows of ${at} into globex has started`);
    expect(out).toContain('it has set aside 2 later writes:');
    expect(out).toMatch(/2026-01-31 12:34 {2}employee\.create e-1 {2}by ann@x\.test/);
  });

  test('a time outside the window is refused with the window', async () => {
    const detail = 'The tenant can be restored to times from 2026-01-01 to 2026-01-02.';
    peer.on('POST /tenants/globex/restores', { status: 400, body: { status: 400, detail } });
    const { code, error } = await run('restore', 'globex', '--at', '2020-01-01T00:00:00Z');
    expect(code).toBe(1);
    expect(error).toContain(detail);
  });

  test.each([['--as', 'copy', '--admin', 'a@b.test'], ['--mask'], ['--mask', '--mode', 'replace']])(
    'what is for clones only (%s …) replaces nothing',
    async (...forClones) => {
      const { code, error } = await run('restore', 'globex', '--backup', 'b-1', ...forClones);
      expect([code, error]).toEqual([
        2,
        '--as, --admin and --mask are for --mode clone; nothing was restored\n',
      ]);
      expect(peer.requests).toEqual([]);
    },
  );

  test('--backup with --mode clone names the new tenant', async () => {
    const body = aRestore({ mode: 'clone', cloneOf: 't' });
    peer.on('POST /tenants/globex/restores', { status: 202, body });
    const { code, out } = await run(
      ...['restore', 'globex', '--backup', 'b-1', '--mode', 'clone'],
      ...['--as', 'copy', '--admin', 'a@b.test', '--mask'],
    );
    expect([code, out]).toEqual([
      0,
      'restore r-1 of backup b-1 into copy has started\nsee it with: strata restores copy\n',
    ]);
    expect(asked()[0]?.body).toEqual({
      backupId: 'b-1',
      mode: 'clone',
      slug: 'copy',
      adminEmail: 'a@b.test',
      mask: true,
    });
  });

  test.each([
    ['neither a backup nor a time', []],
    ['both', ['--backup', 'b-1', '--at', '2026-01-31T12:00:00Z']],
    ['a clone without a name', ['--backup', 'b-1', '--mode', 'clone', '--admin', 'a@b.test']],
  ])('with %s is wrong usage, and nothing is asked', async (_what, args) => {
    const { code, error } = await run('restore', 'globex', ...args);
    expect(code).toBe(2);
    expect(error).toMatch(/--at|--as/);
    expect(peer.requests).toEqual([]);
  });

  test('a restore that fails is a failure', async () => {
    peer.on('POST /tenants/globex/restores', { status: 202, body: aRestore() });
    const { moveId: _, target: __, ...failed } = endedMove('failed', 'no\u001b[2J object');
    peer.on('GET /tenants/globex/restores/r-1', { body: aRestore(failed) });
    const { code, out } = await run('restore', 'globex', '--backup', 'b-1', '--watch');
    expect(code).toBe(1);
    expect(out).toContain('no\\u001b[2J object');
  });
});

describe('undo', () => {
  test('takes the latest restore back that can be', async () => {
    const items = [
      aRestore({ restoreId: 'r-1', startedAt: '2026-01-01T00:00:00Z', canBeUndone: true }),
      aRestore({ restoreId: 'r-3', startedAt: '2026-01-03T00:00:00Z' }),
      aRestore({ restoreId: 'r-2', startedAt: '2026-01-02T00:00:00Z', canBeUndone: true }),
    ];
    peer.on('GET /tenants/globex/restores', { body: { items } });
    peer.on('POST /tenants/globex/restores/r-2/undo', { status: 202, body: aRestore({ restoreId: 'r-4' }) });
    const { code, out } = await run('undo', 'globex');
    expect([code, out.split('\n')[0]]).toEqual([0, 'undo r-4 of restore r-2 of globex has started']);
  });

  test('of a tenant without such a restore is a failure, and nothing is asked', async () => {
    peer.on('GET /tenants/globex/restores', { body: { items: [aRestore()] } });
    expect(await run('undo', 'globex')).toMatchObject({
      code: 1,
      error: 'no restore of globex can be undone\n',
    });
    expect(asked()).toEqual([]);
  });
});
