/**
 * `manifest.json`: the last object that is written; it makes the other objects a backup. It describes the content of
 * each object, so a restore needs no registry, and works with any release that knows the format.
 */
import { createHash } from 'node:crypto';
import * as z from 'zod';
import { ObjectMissing, type ObjectStore } from '../aws/object-store.ts';
import { TENANT_SCHEMA_VERSION } from '../database/tables/schema-version.ts';
import { ManifestAltered, ManifestForeign, ManifestMissing, ManifestNewer, TablesNewer } from './errors.ts';
import { sumOfHashes } from './row-digest.ts';

/** Increase it with every change that an older release would misread. */
export const MANIFEST_VERSION = 1;

const time = z.iso.datetime();
const count = z.int().nonnegative();
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const contentHash = z.string().regex(/^[0-9a-f]{24}$/);
const identifierText = z.string().regex(/^[a-z_][a-z0-9_]{0,62}$/);

/** The tenant's row of the registry. Fields that a later release adds are kept. */
const tenant = z.looseObject({
  tenantId: z.uuid(),
  slug: z.string(),
  name: z.string(),
  tier: z.enum(['starter', 'business', 'enterprise']),
  dataResidency: z.string(),
});

const user = z.looseObject({ userId: z.uuid(), email: z.string(), role: z.string() });

const part = z.object({
  key: z.string().min(1),
  rows: count,
  rawBytes: count,
  storedBytes: count,
  sha256,
  contentHash,
});

const table = z.object({
  name: identifierText,
  /** In the order of the fields in the COPY stream. */
  columns: z.array(identifierText).min(1),
  rows: count,
  rawBytes: count,
  contentHash,
  parts: z.array(part),
});

const manifestSchema = z.object({
  formatVersion: z.literal(MANIFEST_VERSION),
  backupId: z.uuid(),
  createdAt: time,
  /** The time of the rows in the backup. */
  snapshotAt: time,
  tenant,
  users: z.array(user),
  placement: z.object({
    isolationModel: z.enum(['shared', 'schema', 'dedicated']),
    epoch: z.int().positive(),
    region: z.string(),
    cellId: z.string().nullable(),
  }),
  schemaVersion: z.int().positive(),
  /** In foreign-key order. */
  tables: z.array(table),
});

export type BackupManifest = z.output<typeof manifestSchema>;
export type ManifestTable = BackupManifest['tables'][number];
export type ManifestPart = ManifestTable['parts'][number];
export type BackedUpTenant = BackupManifest['tenant'];
export type BackedUpUser = BackupManifest['users'][number];

/** The prefix of a backup's objects, and the tenant and backup that its manifest must name. */
export interface BackupLocation {
  readonly tenantId: string;
  readonly backupId: string;
  /** Ends with `/`. */
  readonly prefix: string;
  /** SHA-256 of the manifest, from the registry; absent if the registry is lost. */
  readonly manifestSha256?: string;
}

export const manifestKey = (prefix: string) => `${prefix}manifest.json`;

/** A manifest is small beside its backup: a part of a table takes about 300 bytes. */
export const MAX_MANIFEST_BYTES = 64 * 2 ** 20;

/**
 * Serializes the manifest and adds a checksum of its other fields.
 * @throws {z.ZodError} the manifest is incomplete.
 */
export function writeManifest(manifest: BackupManifest): string {
  const body = manifestSchema.parse(manifest);
  return JSON.stringify({ ...body, checksum: checksumOf(body) });
}

/**
 * Reads the manifest. It refuses every manifest except the one that was written for this backup, and it refuses tables
 * of a newer schema version.
 * @throws {ManifestMissing | ManifestAltered | ManifestForeign | ManifestNewer | TablesNewer} and S3's errors.
 */
export async function readManifest(store: ObjectStore, location: BackupLocation): Promise<BackupManifest> {
  const text = await store
    .readText(manifestKey(location.prefix), MAX_MANIFEST_BYTES)
    .catch((error: unknown) => {
      if (error instanceof ObjectMissing) throw new ManifestMissing({ cause: error });
      throw error;
    });
  return checkManifest(text, location);
}

/** @see readManifest */
export function checkManifest(text: string, location: BackupLocation): BackupManifest {
  const document = parseObject(text);
  const { checksum, ...body } = document;
  // Checked first, because a newer format may have another kind of checksum.
  if (typeof body.formatVersion === 'number' && body.formatVersion > MANIFEST_VERSION)
    throw new ManifestNewer(body.formatVersion, MANIFEST_VERSION);
  if (checksum !== checksumOf(body)) throw new ManifestAltered('its checksum differs');
  const known = manifestSchema.safeParse(body);
  if (!known.success) throw new ManifestAltered('it is incomplete', { cause: known.error });
  const manifest = known.data;
  if (manifest.tenant.tenantId !== location.tenantId || manifest.backupId !== location.backupId)
    throw new ManifestForeign();
  if (location.manifestSha256 !== undefined && location.manifestSha256 !== sha256Of(text))
    throw new ManifestAltered('its hash in the registry differs');
  if (manifest.schemaVersion > TENANT_SCHEMA_VERSION)
    throw new TablesNewer(manifest.schemaVersion, TENANT_SCHEMA_VERSION);
  for (const table of manifest.tables) checkTable(table, location.prefix);
  return manifest;
}

/**
 * The checksum is no signature, so the keys are checked: a forged manifest must not lead to another tenant's objects.
 */
function checkTable({ name, rows, rawBytes, contentHash, parts }: ManifestTable, prefix: string): void {
  if (parts.some(({ key }) => !key.startsWith(`${prefix}${name}.`) || key.indexOf('/', prefix.length) >= 0))
    throw new ManifestAltered(`it names objects that do not belong to ${name}`);
  const sum = (figure: 'rows' | 'rawBytes') => parts.reduce((total, part) => total + part[figure], 0);
  const hash = sumOfHashes(parts.map((part) => part.contentHash));
  if (sum('rows') !== rows || sum('rawBytes') !== rawBytes || hash !== contentHash)
    throw new ManifestAltered(`the parts of ${name} are incomplete`);
}

export const sha256Of = (text: string): string => createHash('sha256').update(text).digest('hex');

/** Hash of the JSON text of the other fields. Parsing and serializing it again keeps the order of the keys. */
const checksumOf = (body: object): string => sha256Of(JSON.stringify(body));

function parseObject(text: string): Record<string, unknown> {
  try {
    const document: unknown = JSON.parse(text);
    if (typeof document === 'object' && document !== null) return { ...document };
  } catch (cause) {
    throw new ManifestAltered('it is not JSON', { cause });
  }
  throw new ManifestAltered('it is not a JSON object');
}
