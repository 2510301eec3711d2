/**
 * The audit chains of one database, tenant after tenant, call after call: `seal` seals what is old enough and copies the
 * new seals to the backup bucket, `verify` recomputes the whole chain and compares it with the copies. A tenant that
 * fails is reported and skipped; the next run tries it again.
 *
 * The result of a verification is an entry of the tenant's own log (`audit.verify`), so it moves with the tenant, is
 * sealed itself, and `GET /audit-log/verification` finds it there.
 */
import { sql } from 'kysely';
import type pg from 'pg';
import * as z from 'zod';
import type { ObjectStore } from '../aws/object-store.ts';
import { isConnectionLost } from '../database/session/sql-state.ts';
import { tenantStatement } from '../database/session/tenant-sql.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { chainTables } from '../tenant-data/audit-chain.ts';
import { VERIFICATION_ENTRY } from '../tenant-data/verification-result.ts';
import { type BrokenLink, verifyPage } from '../tenant-data/verify-chain.ts';
import { addFigures } from './figures.ts';
import { compareCopies, copySeals } from './seal-copies.ts';
import { run, type SealedTenant, sealEntries } from './seal-entries.ts';
import { inUnmovedTenant, readTenant, TenantLeftAlone } from './unmoved-tenant.ts';
import { listTenants, type UpkeptDatabase } from './upkept-databases.ts';

const TENANTS_OF_PAGE = 200;

export const chainTask = z.enum(['seal', 'verify']);

const count = z.int().nonnegative();
export const chainFigures = z.object({
  tenants: count,
  /** Sealed, or verified. */
  seals: count,
  entries: count,
  copies: count,
  /** Tenants whose chain is broken. */
  broken: count,
  /** Tenants that were skipped because of a move. */
  postponed: count,
  failures: count,
});
export type ChainFigures = z.infer<typeof chainFigures>;

export const NO_CHAIN_FIGURES: ChainFigures = {
  tenants: 0,
  seals: 0,
  entries: 0,
  copies: 0,
  broken: 0,
  postponed: 0,
  failures: 0,
};

/** All tenants up to `after` are done; of the next one, the seals up to `verified.through`. */
export const chainCursor = z.object({
  after: z.uuid().optional(),
  verified: z
    .object({ tenantId: z.uuid(), through: count, seals: count, entries: count, expired: count })
    .optional(),
});
export type ChainCursor = z.infer<typeof chainCursor>;

export interface ChainOptions {
  readonly task: z.infer<typeof chainTask>;
  /** The bucket of the copies. */
  readonly storeFor: (tenant: SealedTenant) => ObjectStore;
  /** On `performance.now()`'s clock. */
  readonly deadline: number;
  readonly cursor?: ChainCursor | undefined;
  /** Called for each tenant whose chain is broken. */
  readonly onBroken: (tenantId: string, link: BrokenLink) => void;
  readonly onFailure: (failure: { readonly tenantId: string; readonly error: unknown }) => void;
}

export interface ChainOutcome {
  readonly done: boolean;
  readonly cursor?: ChainCursor;
  /** Of this call. */
  readonly figures: ChainFigures;
}

/**
 * @param owner the owner's connection to the database itself.
 * @throws {RegistryError} and the driver's error where the connection was lost.
 */
export async function keepChains(
  registry: RegistryExecutor,
  owner: pg.ClientBase,
  database: Pick<UpkeptDatabase, 'key'>,
  options: ChainOptions,
): Promise<ChainOutcome> {
  const { task, deadline, cursor, onBroken, onFailure } = options;
  let figures = NO_CHAIN_FIGURES;
  let after = cursor?.after;
  let verified = cursor?.verified;
  for (;;) {
    const page = await listTenants(registry, database, { after, limit: TENANTS_OF_PAGE });
    if (page.length === 0) return { done: true, figures };
    for (const tenant of page) {
      const { tenantId } = tenant;
      const here = { after, ...(verified?.tenantId === tenantId ? { verified } : {}) };
      if (performance.now() > deadline) return { done: false, cursor: here, figures };
      try {
        const work = { owner, tenant, store: options.storeFor(tenant), deadline };
        const result = task === 'seal' ? await seal(work) : await verify(work, here.verified);
        figures = addFigures(figures, { ...result.figures, broken: result.broken ? 1 : 0 });
        if (result.broken) onBroken(tenantId, result.broken);
        if (!result.done) return { done: false, cursor: { after, ...(result.cursor ?? {}) }, figures };
        figures = addFigures(figures, { tenants: 1 });
      } catch (error) {
        if (isConnectionLost(error)) throw error;
        if (error instanceof TenantLeftAlone) {
          if (error.reason === 'moving') figures = addFigures(figures, { postponed: 1 });
        } else {
          figures = addFigures(figures, { failures: 1 });
          onFailure({ tenantId, error });
        }
      }
      after = tenantId;
      verified = undefined;
    }
  }
}

interface ChainWork {
  readonly owner: pg.ClientBase;
  readonly tenant: SealedTenant;
  readonly store: ObjectStore;
  readonly deadline: number;
}

interface ChainResult {
  readonly done: boolean;
  readonly cursor?: Pick<ChainCursor, 'verified'>;
  readonly figures: Partial<ChainFigures>;
  readonly broken?: BrokenLink | undefined;
}

async function seal({ owner, tenant, store, deadline }: ChainWork): Promise<ChainResult> {
  const { seals, entries, outcome } = await sealEntries(owner, tenant, { deadline });
  if (outcome === 'unfinished') return { done: false, figures: { seals, entries } };
  if (outcome !== 'done') {
    return { done: true, figures: { seals, entries, postponed: outcome === 'moving' ? 1 : 0 } };
  }
  const { copied, done, broken } = await copySeals({ owner, tenantId: tenant.tenantId, store }, { deadline });
  return { done, figures: { seals, entries, copies: copied }, broken };
}

async function verify(
  { owner, tenant, store, deadline }: ChainWork,
  from: ChainCursor['verified'],
): Promise<ChainResult> {
  const { tenantId } = tenant;
  let verified = from ?? { tenantId, through: 0, seals: 0, entries: 0, expired: 0 };
  let figures: Partial<ChainFigures> = {};
  for (;;) {
    const page = await readTenant(owner, tenantId, ({ schema_name: schema }) =>
      verifyPage({
        tenantId,
        tables: chainTables(schema),
        after: verified.through,
        query: (statement) => run(owner, statement),
      }),
    );
    verified = {
      tenantId,
      through: page.through,
      seals: verified.seals + page.seals,
      entries: verified.entries + page.entries,
      expired: verified.expired + page.expired,
    };
    figures = {
      seals: (figures.seals ?? 0) + page.seals,
      entries: (figures.entries ?? 0) + page.entries,
    };
    if (page.done) {
      const broken = page.broken ?? (await compareCopies({ owner, tenantId, store }));
      await inUnmovedTenant(owner, tenantId, async ({ schema_name: schema }) => {
        await run(owner, insertResult(schema, { ...verified, broken: broken ?? null }));
      });
      return { done: true, figures, broken };
    }
    if (performance.now() > deadline) return { done: false, cursor: { verified }, figures };
  }
}

function insertResult(
  schema: string,
  {
    tenantId,
    seals,
    entries,
    expired,
    broken,
  }: NonNullable<ChainCursor['verified']> & { readonly broken: BrokenLink | null },
) {
  const { actor, action, resourceType } = VERIFICATION_ENTRY;
  const result = JSON.stringify({
    status: broken ? 'broken' : 'intact',
    seals,
    entries,
    expired,
    firstBroken: broken,
  });
  return tenantStatement(sql<object>`INSERT INTO ${chainTables(schema).log}
      (actor, action, resource_type, resource_id, request_data)
    VALUES (${actor}, ${action}, ${resourceType}, ${tenantId}::uuid, ${result}::jsonb)`);
}
