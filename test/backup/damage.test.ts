/** A backup is damaged in the bucket in many ways; each damage is refused by its error name. */
import {
  CopyObjectCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  PutObjectCommand,
  type S3Client,
} from '@aws-sdk/client-s3';
import type pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import {
  BackupObjectDamaged,
  BackupObjectMissing,
  ManifestAltered,
  ManifestForeign,
  ManifestMissing,
  ManifestNewer,
  RestoredRowsDiffer,
  TablesNewer,
} from '../../functions/backups/errors.ts';
import {
  type BackupManifest,
  type ManifestPart,
  manifestKey,
  readManifest,
  sha256Of,
} from '../../functions/backups/manifest.ts';
import { compareWithManifest, restorePart, verifyObjects } from '../../functions/backups/read-back.ts';
import { TENANT_SCHEMA_VERSION } from '../../functions/database/tables/schema-version.ts';
import { isTransient } from '../../functions/database/transient-error.ts';
import { insertBulkRows } from '../bench/move/bulk-rows.ts';
import { type BackedUp, BackupWorld } from './backup-world.ts';
import { clientOf } from './s3-client.ts';

let world: BackupWorld;
let s3: S3Client;
let tenant: BackedUp;
let manifest: BackupManifest & { readonly prefix: string };
let other: BackupManifest & { readonly prefix: string };
let owner: pg.Client;
let schemaName: string;
/** A table that is large enough to have several parts. */
const table = () => manifest.tables.find(({ name }) => name === 'audit_log')!;
const part = (index = 1) => table().parts[index]!;

beforeAll(async () => {
  world = await BackupWorld.start();
  s3 = clientOf(world.bucket.endpoint);
  tenant = await world.addTenant('schema');
  const superuser = await tenant.database.connect('superuser');
  await insertBulkRows(superuser, tenant.schemaName, 4_000);
  const neighbour = await world.addTenant('schema');
  manifest = await world.backUp(tenant, { partBytes: 100_000 });
  other = await world.backUp(neighbour);
  owner = await world.cell.connect('owner');
  schemaName = await world.emptySchema(manifest.schemaVersion);
});
afterAll(async () => {
  s3?.destroy();
  await world?.stop();
});

const location = (): Parameters<typeof readManifest>[1] => ({
  tenantId: tenant.tenantId,
  backupId: manifest.backupId,
  prefix: manifest.prefix,
});

async function bytesOf(key: string): Promise<Buffer> {
  const { Body } = await s3.send(new GetObjectCommand({ Bucket: world.bucket.name, Key: key }));
  return Buffer.from(await Body!.transformToByteArray());
}
const put = (key: string, body: Buffer | string) =>
  s3.send(new PutObjectCommand({ Bucket: world.bucket.name, Key: key, Body: body }));
const remove = (key: string) => s3.send(new DeleteObjectCommand({ Bucket: world.bucket.name, Key: key }));

/** Runs `work` while the object has other content. */
async function whileDamaged(key: string, damage: () => Promise<unknown>, work: () => Promise<void>) {
  const original = await bytesOf(key);
  await damage();
  try {
    await work();
  } finally {
    await put(key, original);
  }
}

async function expectRefused(error: new (...values: never[]) => Error, damaged: ManifestPart = part()) {
  await expect(verifyObjects(world.bucket.store, manifest)).rejects.toThrow(error);
  await expect(restorePart(owner, { schemaName }, table(), damaged, world.bucket.store)).rejects.toThrow(
    error,
  );
  // No row was loaded, and the connection can still be used.
  const { rows } = await owner.query(`select count(*)::int as n from ${schemaName}.audit_log`);
  expect(rows).toEqual([{ n: 0 }]);
}

describe('an object', () => {
  test('that is cut off at its end is refused', () =>
    whileDamaged(
      part().key,
      async () => put(part().key, (await bytesOf(part().key)).subarray(0, -10)),
      () => expectRefused(BackupObjectDamaged),
    ));

  test('with one changed bit at any position is refused', async () => {
    const original = await bytesOf(part().key);
    for (const at of [0, 5, Math.floor(original.length / 2), original.length - 1]) {
      const flipped = Buffer.from(original);
      flipped[at]! ^= 1;
      await whileDamaged(
        part().key,
        () => put(part().key, flipped),
        () => expectRefused(BackupObjectDamaged),
      );
    }
  });

  test('under the key of another object is refused', () =>
    whileDamaged(
      part().key,
      () =>
        s3.send(
          new CopyObjectCommand({
            Bucket: world.bucket.name,
            Key: part().key,
            CopySource: `${world.bucket.name}/${part(0).key}`,
          }),
        ),
      () => expectRefused(BackupObjectDamaged),
    ));

  test('that is missing is refused', () =>
    whileDamaged(
      part().key,
      () => remove(part().key),
      () => expectRefused(BackupObjectMissing),
    ));

  test('that is replaced after it was verified is refused while it is loaded', () =>
    whileDamaged(
      part().key,
      async () => {
        await verifyObjects(world.bucket.store, manifest);
        const changed = await bytesOf(part().key);
        changed[changed.length - 30]! ^= 4;
        await put(part().key, changed);
      },
      async () => {
        await expect(restorePart(owner, { schemaName }, table(), part(), world.bucket.store)).rejects.toThrow(
          BackupObjectDamaged,
        );
      },
    ));

  test('with a matching checksum but other rows is refused by the content hash of the manifest', async () => {
    const lying = { ...part(), contentHash: '0'.repeat(24) };
    await expect(restorePart(owner, { schemaName }, table(), lying, world.bucket.store)).rejects.toThrow(
      BackupObjectDamaged,
    );
  });
});

describe('S3 is read back', () => {
  afterEach(() => world.bucket.disturb(undefined));
  const loaded = async () =>
    (await owner.query(`select count(*)::int as n from ${schemaName}.audit_log`)).rows[0].n;
  const restore = (index: number) =>
    restorePart(owner, { schemaName }, table(), part(index), world.bucket.store);

  test.each([
    ['that is busy', 'busy', { $metadata: { httpStatusCode: 503 } }],
    ['that breaks the connection in the middle of an object', 'cut', { code: 'ECONNRESET' }],
  ] as const)('%s: refused as what it is, and nothing is loaded', async (_what, kind, error) => {
    world.bucket.disturb(({ method }) => ({ kind: method === 'GET' ? kind : 'pass' }));
    await expect(verifyObjects(world.bucket.store, manifest)).rejects.toMatchObject(error);
    const refusal = await restore(1).catch((reason: unknown) => reason);
    expect(refusal).toMatchObject(error);
    // The workflow retries after such an error.
    expect(isTransient(refusal)).toBe(true);
    expect(await loaded()).toBe(0);
  });

  test('slowly, and all rows are loaded', async () => {
    world.bucket.disturb(() => ({ kind: 'pass', afterMs: 50 }));
    await restore(1);
    expect(await loaded()).toBe(part(1).rows);
    await owner.query(`delete from ${schemaName}.audit_log`);
  });
});

test('verification continues at the object at which its deadline stopped it', async () => {
  const all = manifest.tables.flatMap(({ parts }) => parts).length;
  let verified = 0;
  for (let calls = 0; ; calls++) {
    const step = await verifyObjects(world.bucket.store, manifest, { from: verified, deadline: 0 });
    expect(step).toEqual({ done: false, verified });
    const rest = {
      tables: [{ ...table(), parts: manifest.tables.flatMap(({ parts }) => parts).slice(0, verified + 1) }],
    };
    verified = (await verifyObjects(world.bucket.store, rest, { from: verified })).verified;
    if (verified === all) break;
    expect(calls).toBeLessThan(all);
  }
});

test('restored rows that differ from the backup are reported', async () => {
  const schema = await world.emptySchema(manifest.schemaVersion);
  await world.restore(manifest, schema);
  const place = { tenantId: tenant.tenantId, isolationModel: 'schema' as const, schemaName: schema };
  const compare = () => compareWithManifest(owner, place, table());
  await compare();
  await owner.query(`update ${schema}.audit_log set user_agent = user_agent || ' '
                     where log_id = (select log_id from ${schema}.audit_log limit 1)`);
  await expect(compare()).rejects.toThrow(RestoredRowsDiffer);
});

describe('a manifest', () => {
  const key = () => manifestKey(manifest.prefix);
  const whileIs = (text: string, work: () => Promise<void>) =>
    whileDamaged(key(), () => put(key(), text), work);
  const text = async () => String(await bytesOf(key()));

  test('that is missing is refused: the upload is no backup', () =>
    whileDamaged(
      key(),
      () => remove(key()),
      () => expect(readManifest(world.bucket.store, location())).rejects.toThrow(ManifestMissing),
    ));

  test('of another tenant is refused', async () => {
    await whileIs(String(await bytesOf(manifestKey(other.prefix))), () =>
      expect(readManifest(world.bucket.store, location())).rejects.toThrow(ManifestForeign),
    );
  });

  test('of a newer format is refused by its version', async () => {
    const newer = JSON.stringify({
      ...JSON.parse(await text()),
      formatVersion: 2,
      checksum: 'of another kind',
    });
    await whileIs(newer, () =>
      expect(readManifest(world.bucket.store, location())).rejects.toThrow(ManifestNewer),
    );
  });

  test.each([
    ['a figure differs', (before: string) => before.replace('"rows":', '"rows":1')],
    ['it is cut off', (before: string) => before.slice(0, -20)],
    ['it is not an object', () => '"text"'],
    ['it is empty', () => ''],
  ])('is refused if %s', async (_what, damage) => {
    await whileIs(damage(await text()), () =>
      expect(readManifest(world.bucket.store, location())).rejects.toThrow(ManifestAltered),
    );
  });

  /** Forges a manifest with a valid checksum, which needs no secret. */
  const forge = (before: string, change: (body: BackupManifest) => Partial<BackupManifest>) => {
    const { checksum: _, ...body } = JSON.parse(before);
    const changed = { ...body, ...change(body) };
    return JSON.stringify({ ...changed, checksum: sha256Of(JSON.stringify(changed)) });
  };
  const inAuditLog =
    (change: (parts: readonly ManifestPart[]) => readonly ManifestPart[]) =>
    (body: BackupManifest): Partial<BackupManifest> => ({
      tables: body.tables.map((each) =>
        each.name === 'audit_log' ? { ...each, parts: [...change(each.parts)] } : each,
      ),
    });
  test.each([
    [
      'it names objects of another tenant',
      inAuditLog((parts) =>
        parts.map((each, index) => (index === 0 ? { ...each, key: other.tables[0]!.parts[0]!.key } : each)),
      ),
      ManifestAltered,
    ],
    ['it omits a part', inAuditLog((parts) => parts.slice(1)), ManifestAltered],
    [
      'a part has another hash',
      inAuditLog((parts) =>
        parts.map((each, index) => (index === 0 ? { ...each, contentHash: '0'.repeat(24) } : each)),
      ),
      ManifestAltered,
    ],
    ['it has a part twice', inAuditLog((parts) => [...parts, parts[0]!]), ManifestAltered],
    [
      'its tables are from a newer release',
      () => ({ schemaVersion: TENANT_SCHEMA_VERSION + 1 }),
      TablesNewer,
    ],
  ])('that was forged is refused if %s', async (_what, change, error) => {
    await whileIs(forge(await text(), change), () =>
      expect(readManifest(world.bucket.store, location())).rejects.toThrow(error),
    );
  });

  test('that was forged is refused if the registry has the hash of the original', async () => {
    const before = await text();
    const manifestSha256 = sha256Of(before);
    await expect(readManifest(world.bucket.store, { ...location(), manifestSha256 })).resolves.toMatchObject({
      backupId: manifest.backupId,
    });
    const forged = forge(before, () => ({ snapshotAt: '2020-01-01T00:00:00.000Z' }));
    await whileIs(forged, async () => {
      await expect(readManifest(world.bucket.store, { ...location(), manifestSha256 })).rejects.toThrow(
        ManifestAltered,
      );
    });
  });
});
