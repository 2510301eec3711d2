import { constants, generateKeyPairSync, sign } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { canonicalJson, fingerprintOf } from '../../../functions/contracts/erasure-certificate.ts';
import { type ApiPeer, startApiPeer } from './api-peer.ts';
import { strata } from './run-command.ts';

const directory = mkdtempSync(join(tmpdir(), 'strata-offboarding-command-'));
let peer: ApiPeer;
beforeAll(async () => {
  peer = await startApiPeer();
});
afterAll(async () => {
  await peer.close();
  rmSync(directory, { recursive: true });
});

const run = (...args: string[]) => strata(args, { STRATA_API_URL: peer.url, STRATA_TOKEN: 'a.b.c' });

const offboarding = {
  offboardingId: 'o-1',
  tenantId: 't',
  status: 'running',
  phase: 'planned',
  reason: null,
  cause: 'request',
  exportId: null,
  graceUntil: null,
  canBeCancelled: true,
  executionArn: 'arn',
  startedBy: 'me',
  startedAt: '2026-11-30T10:00:00.000000Z',
  finishedAt: null,
};

const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
function signed() {
  const time = '2026-11-30T10:00:00.000Z';
  const certificate = {
    format: 'strata-erasure-certificate',
    version: 1,
    certificateId: 'o-1',
    tenantId: 't',
    slug: 'initech',
    region: 'us',
    cause: 'request',
    requestedAt: time,
    graceUntil: time,
    erasureBegunAt: time,
    issuedAt: time,
    finalExport: null,
    erased: [
      {
        store: 'database us-1',
        region: 'us',
        removed: [{ what: 'rows of employees', count: 3 }],
        foundAt: time,
        verifiedAt: time,
        verifiedBy: 'a search',
      },
      { store: 'keys', region: 'us', removed: [], foundAt: time, verifiedAt: time, verifiedBy: 'a search' },
    ],
    kept: [
      {
        store: 'logs',
        region: 'us',
        what: 'lines',
        count: null,
        until: '2027-02-28T10:00:00.000Z',
        why: 'policy',
      },
      { store: 'registry', region: 'us', what: 'row', count: 1, until: null, why: 'policy' },
    ],
  };
  const value = sign('sha256', Buffer.from(canonicalJson(certificate)), {
    key: privateKey,
    padding: constants.RSA_PKCS1_PSS_PADDING,
    saltLength: 32,
  }).toString('base64');
  const der = publicKey.export({ format: 'der', type: 'spki' }).toString('base64');
  return {
    certificate,
    signature: { algorithm: 'RSASSA_PSS_SHA_256', keyId: 'arn', value },
    publicKey: der,
    publicKeySha256: fingerprintOf(der),
  };
}

test('offboard erases nothing without --yes, and follows the phases with --watch', async () => {
  const refused = await run('offboard', 'initech');
  expect([refused.code, refused.error]).toEqual([1, expect.stringContaining('add --yes')]);
  expect(peer.requests).toEqual([]);
  peer.on('DELETE /tenants/initech', { status: 202, body: offboarding });
  const graceUntil = '2026-12-07T10:00:00.000000Z';
  peer.on(
    'GET /tenants/initech/offboarding',
    { body: offboarding },
    { body: { ...offboarding, phase: 'grace', graceUntil } },
    { body: { ...offboarding, phase: 'finished', status: 'succeeded' } },
  );
  const { code, out } = await run('offboard', 'initech', '--yes', '--watch');
  expect([code, out.trim().split('\n')]).toEqual([
    0,
    [
      'the offboarding of initech is running; it refuses requests from now on',
      'initech: planned',
      `initech: grace until ${graceUntil}`,
      'initech: finished',
      'succeeded',
    ],
  ]);
});

test('cancel-offboarding asks for the cancellation, and shows a refusal', async () => {
  peer.on('POST /tenants/initech/offboarding/cancel', { body: { ...offboarding, status: 'aborted' } });
  expect((await run('cancel-offboarding', 'initech')).out).toContain('is cancelled');
  peer.on('POST /tenants/globex/offboarding/cancel', {
    status: 409,
    body: { type: 'x', title: 'Conflict', status: 409, detail: 'The grace period is over.' },
    headers: { 'content-type': 'application/problem+json' },
  });
  const late = await run('cancel-offboarding', 'globex');
  expect([late.code, late.error]).toEqual([1, expect.stringContaining('The grace period is over.')]);
});

test('certificate shows what was removed and what is kept, and writes the document', async () => {
  const document = signed();
  peer.on('GET /tenants/initech/erasure-certificate', { body: document });
  const { code, out } = await run('certificate', 'initech');
  expect(code).toBe(0);
  expect(out).toContain('us database us-1: 3 rows of employees');
  expect(out).toContain('us keys: nothing was there');
  expect(out).toContain('us logs: lines, until 2027-02-28');
  expect(out).toContain('us registry: 1 row, stays');
  expect(out).toContain(document.publicKeySha256);
  const file = join(directory, 'certificate.json');
  expect((await run('certificate', 'initech', '--out', file)).code).toBe(0);
  expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual(document);
});

test('certificate --verify needs no platform: it tells a genuine document from a changed one', async () => {
  const offline = (...args: string[]) => strata(args, { STRATA_API_URL: 'http://127.0.0.1:1' });
  const files = {
    genuine: 'genuine.json',
    changed: 'changed.json',
    text: 'text.json',
    pem: 'key.pem',
    other: 'other.pem',
  };
  const path = (name: keyof typeof files) => join(directory, files[name]);
  const document = signed();
  writeFileSync(path('genuine'), JSON.stringify(document));
  const slug = { ...document.certificate, slug: 'globex' };
  writeFileSync(path('changed'), JSON.stringify({ ...document, certificate: slug }));
  writeFileSync(path('text'), 'no JSON');
  writeFileSync(path('pem'), publicKey.export({ format: 'pem', type: 'spki' }));
  const other = generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey;
  writeFileSync(path('other'), other.export({ format: 'pem', type: 'spki' }));

  const genuine = await offline('certificate', '--verify', path('genuine'));
  expect([genuine.code, genuine.out]).toEqual([0, expect.stringContaining(document.publicKeySha256)]);
  expect((await offline('certificate', '--verify', path('genuine'), '--key', path('pem'))).code).toBe(0);
  const foreign = await offline('certificate', '--verify', path('genuine'), '--key', path('other'));
  expect([foreign.code, foreign.out]).toEqual([1, 'not genuine: its signature is not that of the key\n']);
  expect((await offline('certificate', '--verify', path('changed'))).code).toBe(1);
  expect((await offline('certificate', '--verify', path('text'))).error).toContain('is not JSON');
  expect((await offline('certificate', '--verify', join(directory, 'none'))).error).toContain(
    'cannot be read',
  );
  expect((await offline('certificate')).error).toContain('name a tenant');
});
