import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import type { Backup } from '../../../infra/cli/backups/backup-json.ts';
import { progressText, reportText } from '../../../infra/cli/runs/watch-run.ts';
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

const run = (...args: string[]) => strata(args, { STRATA_API_URL: peer.url, STRATA_TOKEN: 'a.b.c' });

const planned: Backup = {
  backupId: 'b-1',
  tenantId: 't',
  tier: 'business',
  isolationModel: 'schema',
  status: 'running',
  phase: 'planned',
  reason: null,
  progress: { partsDone: 0, partsTotal: 0, rowsDone: 0, bytesDone: 0 },
  rows: null,
  bytes: null,
  lastDrill: null,
  startedAt: '2026-05-01T10:00:00.000000Z',
  finishedAt: null,
  expiresAt: '2026-05-15T10:00:00.000000Z',
};
const copying: Backup = {
  ...planned,
  phase: 'copy',
  progress: { partsDone: 5, partsTotal: 20, rowsDone: 12_345, bytesDone: 1_500_000 },
};
const succeeded: Backup = {
  ...copying,
  status: 'succeeded',
  phase: 'finished',
  rows: 50_000,
  bytes: 6_100_000,
  finishedAt: '2026-05-01T10:00:12.500000Z',
};
const failed: Backup = {
  ...copying,
  status: 'failed',
  reason: 'no\u001b[2J table',
  finishedAt: '2026-05-01T10:00:02.000000Z',
};

test('the live view shows what is written of what is planned', () => {
  const view = { tenant: 'globex', now: Date.parse(planned.startedAt) + 4_000 };
  expect(progressText(planned, view)).toBe('globex  planned  4.0 s');
  expect(progressText(copying, view)).toMatch(
    /^globex {2}copy {2}\[█+░+\] +25% {2}5 of 20 parts {2}12,345 rows {2}1\.5 MB {2}4\.0 s$/,
  );
});

test('the report says how it went and until when it is kept, or why it failed', () => {
  expect(reportText(succeeded)).toBe('succeeded in 12.5 s, 50,000 rows, 6.1 MB, kept until 2026-05-15');
  expect(reportText(failed)).toBe('failed in 2.0 s: no\\u001b[2J table');
});

test('--watch tells each change; a backup that failed is a failure', async () => {
  peer.on('POST /tenants/globex/backups', {
    status: 202,
    headers: { location: '/tenants/t/backups/b-1' },
    body: planned,
  });
  peer.on('GET /tenants/globex/backups/b-1', { body: planned }, { body: copying }, { body: failed });
  const { code, out } = await run('backup', 'globex', '--watch');
  expect(code).toBe(1);
  expect(out.trimEnd().split('\n')).toEqual([
    'backup b-1 of globex has started',
    'globex: planned',
    'globex: copy',
    'failed in 2.0 s: no\\u001b[2J table',
  ]);
});

test('without --watch it says where to look', async () => {
  peer.on('POST /tenants/globex/backups', { status: 202, body: planned });
  expect(await run('backup', 'globex')).toMatchObject({
    code: 0,
    out: 'backup b-1 of globex has started\nsee it with: strata backups globex\n',
  });
});

test('a refusal is one line', async () => {
  peer.on('POST /tenants/globex/backups', {
    status: 409,
    headers: { 'content-type': 'application/problem+json' },
    body: {
      type: 'urn:strata:problem:conflict',
      title: 'Conflict',
      status: 409,
      detail: 'A backup of the tenant is running already.',
    },
  });
  const { code, out, error } = await run('backup', 'globex');
  expect([code, out]).toEqual([1, '']);
  expect(error).toContain('A backup of the tenant is running already.');
  expect(error.trimEnd().split('\n')).toHaveLength(1);
});

test('the list is newest first, with the latest drill', async () => {
  const drilled: Backup = {
    ...succeeded,
    backupId: 'b-0',
    startedAt: '2026-04-30T10:00:00.000000Z',
    expiresAt: '2026-05-14T10:00:00.000000Z',
    lastDrill: { status: 'succeeded', at: '2026-04-30T12:00:00.000000Z' },
  };
  peer.on('GET /tenants/globex/backups', { body: { items: [drilled, failed], nextCursor: null } });
  const { code, out } = await run('backups', 'globex');
  expect(code).toBe(0);
  const [titles, first, second] = out.trimEnd().split('\n');
  expect(titles).toMatch(/^STARTED +BACKUP +TIER +STATUS +PHASE +ROWS +BYTES +KEPT UNTIL +RESTORE DRILL$/);
  expect(first).toMatch(/^2026-05-01 10:00 +b-1 +business +failed +copy +- +- +2026-05-15 10:00 +-$/);
  expect(second).toMatch(
    /^2026-04-30 10:00 +b-0 +business +succeeded +finished +50,000 +6\.1 MB +2026-05-14 10:00 +succeeded 2026-04-30 12:00$/,
  );
  const json = JSON.parse((await run('backups', 'globex', '--json')).out);
  expect(json).toEqual([failed, drilled]);
});
