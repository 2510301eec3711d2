/**
 * Copies of a tenant's seals in the backup bucket, one object for each seal, and their comparison with the database.
 *
 * Seals are copied in their order, and each copy is made only where the one before it equals the database's seal. So the
 * copies are a chain too, and the newest one's hash stands for all of them: when it equals the hash of that seal in the
 * database, whose chain was verified, no seal before it has changed since it was copied. When it differs, all seals from
 * some number on differ, and halving finds the first.
 *
 * A copy is never replaced. Where the bucket has Object Lock, it cannot be deleted before its entries' retention is over.
 * After a move to another region the bucket there gets copies of the whole chain.
 */
import type pg from 'pg';
import * as z from 'zod';
import { ObjectMissing, type ObjectStore } from '../aws/object-store.ts';
import { sealCopiesPrefix, sealCopyKey } from '../contracts/audit-copies.ts';
import { qualified } from '../database/ddl/identifier.ts';
import { auditSeals } from '../database/tables/operations-tables.ts';
import { sealHash, sha256 } from '../tenant-data/audit-chain.ts';
import type { BrokenLink } from '../tenant-data/verify-chain.ts';
import { readTenant } from './unmoved-tenant.ts';

/** The object. Times and hashes as in `SealContent`. */
const sealCopy = z.object({
  tenantId: z.string(),
  sequence: z.number(),
  format: z.number(),
  previousHash: z.nullable(z.string()),
  entryCount: z.number(),
  root: z.string(),
  sealedUntil: z.string(),
  retentionMonths: z.number(),
  createdAt: z.string(),
  hash: z.string(),
  /** A line for each entry. */
  entries: z.string(),
});
type SealCopy = z.infer<typeof sealCopy>;

/** More than a seal of `ENTRIES_OF_SEAL` entries has. */
const MAX_COPY_BYTES = 16 * 2 ** 20;
const JSON_TYPE = 'application/json';

/** A tenant's chain and its copies. Transactions are short: none is open while S3 is asked. */
export interface CopiedChain {
  readonly owner: pg.ClientBase;
  readonly tenantId: string;
  readonly store: ObjectStore;
}

/** The first seal that is not the one that was copied, or undefined when all are. Reads no entry. */
export async function compareCopies(chain: CopiedChain): Promise<BrokenLink | undefined> {
  const { store, tenantId } = chain;
  const last = await lastSequence(chain);
  for await (const { key } of store.list(sealCopiesPrefix(tenantId), sealCopyKey(tenantId, last))) {
    const sequence = sequenceOf(key);
    // The copy of a seal that the database no longer has, unless a sealer has just made both.
    if (sequence > (await lastSequence(chain)))
      return { what: 'seal', how: 'removed', sequence, logId: null };
  }
  const newest = await newestCopy(chain, last);
  if (newest === 0 || (await isCopied(chain, newest))) return undefined;
  let [same, different] = [0, newest];
  while (different - same > 1) {
    const middle = Math.floor((same + different) / 2);
    if (await isCopied(chain, middle)) same = middle;
    else different = middle;
  }
  return { what: 'seal', how: 'altered', sequence: different, logId: null };
}

export interface CopyOptions {
  /** On `performance.now()`'s clock. */
  readonly deadline: number;
}

/** What was copied, and the seal at which the copies and the database part, where they do. */
export interface CopyOutcome {
  readonly copied: number;
  readonly done: boolean;
  readonly broken?: BrokenLink;
}

/** Copies the seals that have no copy. Copies nothing more from a seal on that is not the one that was copied. */
export async function copySeals(chain: CopiedChain, { deadline }: CopyOptions): Promise<CopyOutcome> {
  const { store, tenantId } = chain;
  const last = await lastSequence(chain);
  const newest = await newestCopy(chain, last);
  let copied = 0;
  if (newest === last) return { copied, done: true };
  if (newest > 0 && !(await isCopied(chain, newest))) {
    const broken = await compareCopies(chain);
    return { copied, done: true, ...(broken ? { broken } : {}) };
  }
  for (let sequence = newest + 1; sequence <= last; sequence++) {
    if (performance.now() > deadline) return { copied, done: false };
    const seal = await readSeal(chain, sequence);
    if (!seal) break;
    const isNew = await store.putTextOnce(sealCopyKey(tenantId, sequence), JSON.stringify(seal), JSON_TYPE);
    if (!isNew && !(await isCopied(chain, sequence))) {
      return { copied, done: true, broken: { what: 'seal', how: 'altered', sequence, logId: null } };
    }
    copied += Number(isNew);
  }
  return { copied, done: true };
}

/** The number of the newest copy up to `last`: copies are made in order, so all before it were made too. 0: none was. */
async function newestCopy({ store, tenantId }: CopiedChain, last: number): Promise<number> {
  const exists = async (sequence: number) => {
    try {
      await store.size(sealCopyKey(tenantId, sequence));
      return true;
    } catch (error) {
      if (error instanceof ObjectMissing) return false;
      throw error;
    }
  };
  // Few seals are new, so the distance doubles from the end of the chain.
  let missing = last + 1;
  let candidate = last;
  for (let distance = 1; candidate > 0; distance *= 2) {
    if (await exists(candidate)) break;
    missing = candidate;
    candidate -= distance;
  }
  let there = Math.max(candidate, 0);
  while (missing - there > 1) {
    const middle = Math.floor((there + missing) / 2);
    if (await exists(middle)) there = middle;
    else missing = middle;
  }
  return there;
}

/**
 * Whether the copy is the database's seal, and is whole itself. A copy that is not there says nothing against the seal:
 * the lifecycle rule deletes the oldest ones.
 */
async function isCopied(chain: CopiedChain, sequence: number): Promise<boolean> {
  const copy = await readCopy(chain, sequence);
  if (copy === undefined) return true;
  if (copy === 'unreadable') return false;
  const { hash, entries, tenantId, ...content } = copy;
  if (tenantId !== chain.tenantId || content.root !== sha256(entries)) return false;
  if (hash !== sealHash(tenantId, content)) return false;
  return hash === (await readHash(chain, sequence));
}

async function readCopy(
  { store, tenantId }: CopiedChain,
  sequence: number,
): Promise<SealCopy | 'unreadable' | undefined> {
  let text: string;
  try {
    text = await store.readText(sealCopyKey(tenantId, sequence), MAX_COPY_BYTES);
  } catch (error) {
    if (error instanceof ObjectMissing) return undefined;
    throw error;
  }
  try {
    return sealCopy.parse(JSON.parse(text));
  } catch {
    return 'unreadable';
  }
}

async function lastSequence(chain: CopiedChain): Promise<number> {
  const [row] = await query<{ last: number }>(chain, (seals) => [
    `select coalesce(max(sequence), 0) as last from ${seals}`,
  ]);
  return row!.last;
}

async function readHash(chain: CopiedChain, sequence: number): Promise<string | undefined> {
  const [row] = await query<{ hash: string }>(chain, (seals) => [
    `select hash from ${seals} where sequence = $1`,
    sequence,
  ]);
  return row?.hash;
}

const TIME = (column: string) =>
  `pg_catalog.to_char(${column} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`;

async function readSeal(chain: CopiedChain, sequence: number): Promise<SealCopy | undefined> {
  const [row] = await query<Omit<SealCopy, 'tenantId'>>(chain, (seals) => [
    `select sequence, format, previous_hash as "previousHash", entry_count as "entryCount", root,
            ${TIME('sealed_until')} as "sealedUntil", retention_months as "retentionMonths",
            ${TIME('created_at')} as "createdAt", hash, entries
     from ${seals} where sequence = $1`,
    sequence,
  ]);
  return row && { tenantId: chain.tenantId, ...row };
}

/** @param statement gets the table's name; returns the text and its parameters. */
function query<Row extends object>(
  { owner, tenantId }: CopiedChain,
  statement: (seals: string) => readonly [text: string, ...parameters: unknown[]],
): Promise<Row[]> {
  return readTenant(owner, tenantId, async ({ schema_name: schema }) => {
    const [text, ...parameters] = statement(qualified(schema, auditSeals.name));
    return (await owner.query<Row>(text, parameters)).rows;
  });
}

const sequenceOf = (key: string): number => Number(/(\d+)\.json$/.exec(key)?.[1] ?? 0);
