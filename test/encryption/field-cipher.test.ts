import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { generateDataKey, unwrapDataKey } from '../../functions/aws/data-keys.ts';
import { KeyUnavailable, WrappedKeyInvalid } from '../../functions/aws/errors.ts';
import { DataKeyCache, type KeyService } from '../../functions/tenant-data/data-key-cache.ts';
import { readValue } from '../../functions/tenant-data/encrypted-value.ts';
import { EncryptedValueDamaged } from '../../functions/tenant-data/errors.ts';
import { FieldCipher, type ValuePlace } from '../../functions/tenant-data/field-cipher.ts';
import { sampled } from '../full-run.ts';
import { type LocalKeys, startLocalKeys } from './local-keys.ts';

let keys: LocalKeys;
beforeAll(async () => {
  keys = await startLocalKeys();
});
afterAll(() => keys?.stop());

/** KMS itself, and how often it was called. */
class CountedService implements KeyService {
  generated = 0;
  unwrapped = 0;

  generate(keyArn: string, tenantId: string) {
    this.generated += 1;
    return generateDataKey(keyArn, tenantId);
  }

  unwrap(keyArn: string, wrapped: Buffer, tenantId: string) {
    this.unwrapped += 1;
    return unwrapDataKey(keyArn, wrapped, tenantId);
  }
}

const place = (fields: Partial<ValuePlace> = {}): ValuePlace => ({
  tenantId: randomUUID(),
  table: 'employees',
  column: 'ssn_encrypted',
  row: randomUUID(),
  ...fields,
});

test('a value comes back as it was, by any container', async () => {
  const here = place();
  const texts = ['078-05-1120', 'ä€😀', '\u{80}', 'x'.repeat(500), '0.00'];
  for (const text of texts) {
    const sealed = await new FieldCipher().seal(here, text, { keyArn: keys.regionKeyArn });
    // A shorter one may be among the random bytes by chance.
    if (Buffer.byteLength(text) > 3) expect(sealed.includes(Buffer.from(text))).toBe(false);
    expect(await new FieldCipher().open(here, sealed)).toBe(text);
  }
});

test('the same text is never the same ciphertext, and its length does not show', async () => {
  const cipher = new FieldCipher();
  const here = place();
  const seal = (text: string) => cipher.seal(here, text, { keyArn: keys.regionKeyArn });
  const [one, other, long] = await Promise.all([seal('90000.00'), seal('90000.00'), seal('123456789012.00')]);
  expect(one?.equals(other as Buffer)).toBe(false);
  expect(one?.length).toBe(long?.length);
});

test('a value of another row, column, table or tenant is refused', async () => {
  const cipher = new FieldCipher();
  const here = place();
  const sealed = await cipher.seal(here, '078-05-1120', { keyArn: keys.regionKeyArn });
  const foreign = [
    { ...here, row: randomUUID() },
    { ...here, column: 'salary_encrypted' },
    { ...here, table: 'other' },
    { ...here, tenantId: randomUUID() },
  ];
  for (const there of foreign) {
    await expect(cipher.open(there, sealed)).rejects.toThrow(EncryptedValueDamaged);
  }
});

test('a value whose header names another tenant is refused by its tag and by KMS', async () => {
  const cipher = new FieldCipher();
  const [here, there] = [place(), place()];
  const sealed = await cipher.seal(here, '078-05-1120', { keyArn: keys.regionKeyArn });
  const forged = Buffer.from(sealed);
  Buffer.from(there.tenantId.replaceAll('-', ''), 'hex').copy(forged, 17);
  await expect(cipher.open({ ...here, tenantId: there.tenantId }, forged)).rejects.toThrow(
    EncryptedValueDamaged,
  );
  const { wrappedKey } = readValue(sealed);
  await expect(unwrapDataKey(keys.regionKeyArn, wrappedKey, there.tenantId)).rejects.toThrow(
    WrappedKeyInvalid,
  );
});

test('no byte can be changed, removed or added', async () => {
  const cipher = new FieldCipher();
  const here = place();
  const sealed = await cipher.seal(here, '078-05-1120', { keyArn: keys.regionKeyArn });
  const step = sampled(7, 1);
  for (let at = 0; at < sealed.length; at += step) {
    const altered = Buffer.from(sealed);
    altered[at] = (altered[at] as number) ^ 1;
    const opening = cipher.open(here, altered);
    // A changed ARN is another key, which KMS does not have.
    await expect(opening, `byte ${at}`).rejects.toSatisfy(
      (error) => error instanceof EncryptedValueDamaged || error instanceof KeyUnavailable,
    );
  }
  for (let length = 0; length < sealed.length; length += sampled(40, 1)) {
    await expect(cipher.open(here, sealed.subarray(0, length))).rejects.toThrow(EncryptedValueDamaged);
  }
  await expect(cipher.open(here, Buffer.concat([sealed, Buffer.of(0)]))).rejects.toThrow(
    EncryptedValueDamaged,
  );
});

test('an encrypted value keeps its id when it is encrypted again, and nothing else', async () => {
  const cipher = new FieldCipher();
  const here = place();
  const otherKey = await keys.newKey();
  const sealed = await cipher.seal(here, '078-05-1120', { keyArn: keys.regionKeyArn });
  const again = await cipher.reseal(here, here, sealed, { keyArn: otherKey });
  const [before, after] = [readValue(sealed), readValue(again)];
  expect(after.valueId.equals(before.valueId)).toBe(true);
  expect(after.keyArn).toBe(otherKey);
  expect(after.wrappedKey.equals(before.wrappedKey)).toBe(false);
  expect(await cipher.open(here, again)).toBe('078-05-1120');
});

test('a data key serves one tenant, for a time and a number of values that are bounded', async () => {
  let now = 1_700_000_000_000;
  const service = new CountedService();
  const cache = new DataKeyCache(service, { maxUses: 3, maxAgeMs: 1_000, now: () => now });
  const [one, other] = [randomUUID(), randomUUID()];
  const wrappedFor = async (tenantId: string, notBefore?: number) =>
    (await cache.toSeal(tenantId, keys.regionKeyArn, notBefore)).wrapped.toString('base64');

  const first = await wrappedFor(one);
  expect(await wrappedFor(other)).not.toBe(first);
  expect([await wrappedFor(one), await wrappedFor(one)]).toEqual([first, first]);
  const fourth = await wrappedFor(one);
  expect(fourth).not.toBe(first);
  now += 999;
  expect(await wrappedFor(one)).toBe(fourth);
  now += 1;
  const late = await wrappedFor(one);
  expect(late).not.toBe(fourth);
  // A rotation demands a key that was made after its start, by a clock that may be ahead.
  const start = now / 1_000 + 60;
  const fresh = await cache.toSeal(one, keys.regionKeyArn, start);
  expect(fresh.madeAt).toBeGreaterThanOrEqual(start);
  expect(fresh.wrapped.toString('base64')).not.toBe(late);
  expect(service.generated).toBe(5);
});

test('an unwrapped key is kept for a bounded time, and callers at once wait for one call', async () => {
  let now = 1_700_000_000_000;
  const service = new CountedService();
  const { wrapped } = await generateDataKey(keys.regionKeyArn, 'a');
  const cache = new DataKeyCache(service, { maxAgeMs: 1_000, now: () => now });
  const open = () => cache.toOpen('a', keys.regionKeyArn, wrapped);
  await Promise.all([open(), open(), open()]);
  expect(service.unwrapped).toBe(1);
  now += 1_000;
  await open();
  expect(service.unwrapped).toBe(2);
});

test('while a key is disabled nothing is encrypted or decrypted anew, and it works again afterwards', async () => {
  const keyArn = await keys.newKey();
  const here = place();
  const sealed = await new FieldCipher().seal(here, '078-05-1120', { keyArn });
  await keys.disable(keyArn);
  const cipher = new FieldCipher();
  await expect(cipher.open(here, sealed)).rejects.toThrow(KeyUnavailable);
  await expect(cipher.seal(here, 'x', { keyArn })).rejects.toThrow(KeyUnavailable);
  await keys.enable(keyArn);
  expect(await cipher.open(here, sealed)).toBe('078-05-1120');
});
