import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Export } from '../../../infra/cli/exports/export-json.ts';
import { progressText, reportText } from '../../../infra/cli/runs/watch-run.ts';
import { type ApiPeer, startApiPeer } from './api-peer.ts';
import { strata } from './run-command.ts';

const ARCHIVE = 'the archive';
const directory = mkdtempSync(join(tmpdir(), 'strata-exports-command-'));
let answer: { status: number; content: string };
const storage = createServer((_request, response) => {
  response.writeHead(answer.status);
  response.end(answer.content);
});
let peer: ApiPeer;
beforeAll(async () => {
  peer = await startApiPeer();
  await new Promise<void>((resolve) => storage.listen(0, '127.0.0.1', resolve));
});
afterAll(async () => {
  await peer.close();
  storage.close();
  rmSync(directory, { recursive: true });
});

const run = (...args: string[]) => strata(args, { STRATA_API_URL: peer.url, STRATA_TOKEN: 'a.b.c' });

const planned: Export = {
  exportId: 'e-1',
  tenantId: 't',
  status: 'running',
  phase: 'planned',
  reason: null,
  progress: { partsDone: 0, partsTotal: 0, rowsDone: 0, bytesDone: 0 },
  backupId: null,
  rows: null,
  bytes: null,
  sha256: null,
  startedAt: '2026-05-01T10:00:00.000000Z',
  snapshotAt: null,
  finishedAt: null,
  expiresAt: '2026-05-08T10:00:00.000000Z',
  url: null,
};
const writing: Export = {
  ...planned,
  phase: 'write',
  progress: { partsDone: 5, partsTotal: 20, rowsDone: 12_345, bytesDone: 1_500_000 },
};
const succeeded = (): Export => ({
  ...writing,
  status: 'succeeded',
  phase: 'finished',
  rows: 50_000,
  bytes: 6_100_000,
  sha256: createHash('sha256').update(ARCHIVE).digest('hex'),
  finishedAt: '2026-05-01T10:00:12.500000Z',
  url: `http://127.0.0.1:${(storage.address() as AddressInfo).port}/archive?X-Amz-Signature=1`,
});

/** What the API answers from now on: one export, which has come to this. */
function becomes(...states: Export[]): void {
  peer.on('POST /tenants/globex/exports', {
    status: 202,
    headers: { location: '/tenants/t/exports/e-1' },
    body: planned,
  });
  peer.on('GET /tenants/globex/exports/e-1', ...states.map((body) => ({ body })));
}

test('the live view shows what is written, the report how it went', () => {
  const view = { tenant: 'globex', now: Date.parse(planned.startedAt) + 4_000 };
  expect(progressText(planned, view)).toBe('globex  planned  4.0 s');
  expect(progressText(writing, view)).toMatch(
    /^globex {2}write {2}\[█+░+\] +25% {2}5 of 20 parts {2}12,345 rows {2}1\.5 MB {2}4\.0 s$/,
  );
  expect(reportText(succeeded())).toBe('succeeded in 12.5 s, 50,000 rows, 6.1 MB, kept until 2026-05-08');
});

test('without a flag it says where to look', async () => {
  becomes(planned);
  expect(await run('export', 'globex')).toMatchObject({
    code: 0,
    out: 'export e-1 of globex has started\nsee it with: strata exports globex\n',
  });
});

test('--out waits, downloads the archive and compares it', async () => {
  becomes(planned, writing, succeeded());
  answer = { status: 200, content: ARCHIVE };
  const file = join(directory, 'globex.tar.gz');
  const { code, out } = await run('export', 'globex', '--out', file);
  expect(out.trimEnd().split('\n')).toEqual([
    'export e-1 of globex has started',
    'globex: planned',
    'globex: write',
    'globex: finished',
    'succeeded in 12.5 s, 50,000 rows, 6.1 MB, kept until 2026-05-08',
    `written to ${file}`,
  ]);
  expect([code, readFileSync(file, 'utf8')]).toEqual([0, ARCHIVE]);
});

test.each([
  ['another content', { status: 200, content: 'something else' }, 'the SHA-256 of the download differs'],
  ['a refusal', { status: 403, content: '' }, 'the download failed with HTTP status 403'],
])('a download with %s leaves no file', async (_what, content, reason) => {
  becomes(succeeded());
  answer = content;
  const file = join(directory, 'none.tar.gz');
  const { code, error } = await run('export', 'globex', '--out', file);
  expect([code, error.trimEnd()]).toEqual([1, expect.stringContaining(reason)]);
  expect([existsSync(file), existsSync(`${file}.part`)]).toEqual([false, false]);
});

test('an export that failed is a failure, with its reason', async () => {
  becomes({ ...writing, status: 'failed', reason: 'no\u001b[2J backup', finishedAt: planned.startedAt });
  const { code, out } = await run('export', 'globex', '--watch');
  expect([code, out.trimEnd().split('\n').at(-1)]).toEqual([1, 'failed in 0.0 s: no\\u001b[2J backup']);
});

test('the list is newest first', async () => {
  const older = { ...succeeded(), exportId: 'e-0', startedAt: '2026-04-30T10:00:00.000000Z' };
  peer.on('GET /tenants/globex/exports', { body: { items: [older, writing], nextCursor: null } });
  const { code, out } = await run('exports', 'globex');
  const [titles, first, second] = out.trimEnd().split('\n');
  expect([code, titles]).toEqual([0, expect.stringMatching(/^STARTED +EXPORT +STATUS/)]);
  expect([first, second]).toEqual([expect.stringContaining('e-1'), expect.stringContaining('e-0')]);
});
