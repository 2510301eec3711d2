import { constants, generateKeyPairSync, sign } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import {
  canonicalJson,
  type ErasureCertificate,
  fingerprintOf,
  forgeryOf,
  type SignedCertificate,
} from '../../functions/contracts/erasure-certificate.ts';
import { certificateOf } from '../../functions/offboarding/certify.ts';
import { ErasureIncomplete } from '../../functions/offboarding/errors.ts';
import type { OffboardingRecord } from '../../functions/offboarding/offboarding-records.ts';

const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const other = generateKeyPairSync('rsa', { modulusLength: 2048 });
const NOW = new Date('2026-11-30T12:00:00.000Z');

const record: OffboardingRecord = {
  offboardingId: '11111111-1111-4111-8111-111111111111',
  tenantId: '22222222-2222-4222-8222-222222222222',
  slug: 'initech',
  region: 'us',
  cause: 'request',
  status: 'running',
  phase: 'certify',
  formerStatus: 'active',
  partOf: null,
  exportId: null,
  executionArn: null,
  startedAt: '2026-11-20T12:00:00.123456Z',
  graceUntil: '2026-11-27T12:00:00.000000Z',
  erasingSince: '2026-11-27T12:00:01.000000Z',
  facts: {
    'database us-1': {
      found: { 'rows of employees': 3, placements: 1 },
      foundAt: '2026-11-27T12:00:02.000Z',
      verifiedAt: '2026-11-27T12:00:03.000Z',
    },
    'database us-2': {
      found: {},
      foundAt: '2026-11-27T12:00:02.000Z',
      verifiedAt: '2026-11-27T12:00:03.000Z',
    },
    'eu / bucket backups': {
      found: { 'objects of backups': 4 },
      foundAt: '2026-11-27T12:00:02.000Z',
      verifiedAt: '2026-11-27T12:00:03.000Z',
      kept: [{ what: 'locked', count: 2, until: '2026-12-30T00:00:00.000Z', why: 'Object Lock' }],
    },
  },
  isHeld: false,
  idleSeconds: 0,
};

function signed(certificate: ErasureCertificate, key = privateKey, of = publicKey): SignedCertificate {
  const spki = of.export({ format: 'der', type: 'spki' }).toString('base64');
  const value = sign('sha256', Buffer.from(canonicalJson(certificate)), {
    key,
    padding: constants.RSA_PKCS1_PSS_PADDING,
    saltLength: 32,
  }).toString('base64');
  return {
    certificate,
    signature: { algorithm: 'RSASSA_PSS_SHA_256', keyId: 'arn:aws:kms:us-east-1:1:key/1', value },
    publicKey: spki,
    publicKeySha256: fingerprintOf(spki),
  };
}

const certificate = certificateOf(record, { now: NOW, logRetentionDays: 90 });

describe('a certificate', () => {
  test('lists each store with what was removed, and what is kept until when', () => {
    expect(certificate.erased).toEqual([
      expect.objectContaining({
        store: 'database us-1',
        region: 'us',
        removed: [
          { what: 'rows of employees', count: 3 },
          { what: 'placements', count: 1 },
        ],
      }),
      expect.objectContaining({ store: 'database us-2', removed: [] }),
      expect.objectContaining({ store: 'bucket backups', region: 'eu' }),
    ]);
    const until = (store: string, what: RegExp, region = 'us') =>
      certificate.kept
        .filter((one) => one.store === store && one.region === region && what.test(one.what))
        .map((one) => one.until?.slice(0, 10) ?? null);
    expect(until('database us-1', /backups/)).toEqual(['2026-12-14']);
    // The tenant has never been there.
    expect(until('database us-2', /backups/)).toEqual([]);
    expect(until('registry', /continuous backups/)).toEqual(['2027-01-04']);
    expect(until('registry', /continuous backups/, 'eu')).toEqual(['2027-01-04']);
    expect(until('logs', /./)).toEqual(['2027-02-28']);
    expect(until('workflows', /./)).toEqual(['2027-02-28']);
    expect(until('bucket backups', /locked/, 'eu')).toEqual(['2026-12-30']);
    // A week after the erasure has begun, from when on nobody is removed, and a day for the task.
    for (const region of ['us', 'eu'])
      expect(until('user pool', /people who were removed/, region)).toEqual(['2026-12-05']);
    expect(until('registry', /one row of tenants/)).toEqual([null]);
    expect(until('registry', /event_outbox/)).toEqual(['2026-12-07']);
    expect(until('registry', /event_sequences/, 'eu')).toEqual([null]);
    expect([certificate.requestedAt, certificate.erasureBegunAt]).toEqual([
      '2026-11-20T12:00:00.123Z',
      '2026-11-27T12:00:01.000Z',
    ]);
  });

  test('lists the archive of events and the snapshots of AWS Backup where the installation has them', () => {
    const lines = ({ kept }: ErasureCertificate) =>
      kept
        .filter(({ store, what }) => store === 'event archive' || what.includes('AWS Backup'))
        .map(({ store, region, until }) => `${region} ${store} ${until?.slice(0, 10)}`);
    expect(lines(certificate)).toEqual([]);
    const retention = { logRetentionDays: 90, eventArchiveDays: 30, vaultDays: 60 };
    expect(lines(certificateOf(record, { now: NOW, ...retention }))).toEqual([
      'us database us-1 2027-01-29',
      'us event archive 2026-12-30',
      'eu event archive 2026-12-30',
    ]);
  });

  test('is not issued while a store was not searched again', () => {
    const { verifiedAt: _, ...unverified } = record.facts['database us-1']!;
    const facts = { ...record.facts, 'database us-1': unverified };
    expect(() => certificateOf({ ...record, facts }, { now: NOW, logRetentionDays: 90 })).toThrow(
      ErasureIncomplete,
    );
  });

  test('is genuine under its own key, and under the key that the reader trusts', () => {
    const pem = publicKey.export({ format: 'pem', type: 'spki' }).toString();
    expect(forgeryOf(signed(certificate))).toBeUndefined();
    expect(forgeryOf(signed(certificate), pem)).toBeUndefined();
  });

  test.each<[string, (genuine: SignedCertificate) => unknown]>([
    ['a changed count', (one) => ({ ...one, certificate: { ...certificate, slug: 'other' } })],
    ['another signature', (one) => ({ ...one, signature: { ...one.signature, value: 'AAAA' } })],
    ['another algorithm', (one) => ({ ...one, signature: { ...one.signature, algorithm: 'none' } })],
    ['another fingerprint', (one) => ({ ...one, publicKeySha256: '00' })],
    ['another version', (one) => ({ ...one, certificate: { ...certificate, version: 2 } })],
    ['another format', (one) => ({ ...one, certificate: { ...certificate, format: 'x' } })],
    ['no public key', ({ publicKey: _, ...one }) => one],
    [
      'a public key that is none',
      (one) => ({ ...one, publicKey: 'AAAA', publicKeySha256: fingerprintOf('AAAA') }),
    ],
    ['nothing', () => null],
    ['a number that no certificate has', (one) => ({ ...one, certificate: { ...certificate, x: 0.5 } })],
  ])('with %s is no genuine one', (_what, change) => {
    expect(forgeryOf(change(signed(certificate)) as SignedCertificate)).toEqual(expect.any(String));
  });

  test('that another key has signed is genuine under that key only', () => {
    const foreign = signed(certificate, other.privateKey, other.publicKey);
    expect(forgeryOf(foreign)).toBeUndefined();
    const trusted = publicKey.export({ format: 'der', type: 'spki' }).toString('base64');
    expect(forgeryOf(foreign, trusted)).toBe('its signature is not that of the key');
  });
});

test('canonical JSON sorts members by their UTF-16 units and has no white space', () => {
  expect(canonicalJson({ b: [1, null, 'é'], a: { ä: 'x', z: '"' }, '\u{1F600}': 1, '\uFB33': 2 })).toBe(
    '{"a":{"z":"\\"","ä":"x"},"b":[1,null,"é"],"\u{1F600}":1,"\uFB33":2}',
  );
});
