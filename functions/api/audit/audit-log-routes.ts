import * as z from 'zod/mini';
import { instant, pageOf, pageParameters, requiredText, uuid } from '../../http/input-schemas.ts';
import { invalidInput } from '../../http/problem.ts';
import { tenantRoute } from '../../http/tenant-api.ts';
import { InvalidCursor } from '../../resources/errors.ts';
import { chainTables } from '../../tenant-data/audit-chain.ts';
import { listAuditEntries } from '../../tenant-data/audit-entries.ts';
import { selectLatestResult, type VerificationResult } from '../../tenant-data/verification-result.ts';
import { type BrokenLink, type VerifiedPage, verifyPage } from '../../tenant-data/verify-chain.ts';

export const list = tenantRoute(
  'admin',
  {
    query: z.strictObject({
      ...pageParameters,
      actor: z.optional(requiredText(300)),
      action: z.optional(requiredText(100)),
      resourceType: z.optional(requiredText(100)),
      resourceId: z.optional(uuid),
      from: z.optional(instant),
      to: z.optional(instant),
      sort: z.optional(z.enum(['createdAt', '-createdAt'], 'must be createdAt or -createdAt')),
    }),
  },
  async ({ tenant, query: { limit, cursor, sort, ...filter } }) => {
    const { from, to } = filter;
    if (from !== undefined && to !== undefined && Date.parse(to) < Date.parse(from))
      throw invalidInput([{ parameter: 'to', detail: 'must not be before from' }]);
    return { status: 200, body: await listAuditEntries(tenant, filter, pageOf({ limit, cursor }), sort) };
  },
);

/** A page of the verification of a tenant's audit log. */
export interface Verification extends Omit<VerifiedPage, 'broken' | 'through' | 'done'> {
  /** `broken` when this page, or the last scheduled verification, has found a broken link. */
  readonly status: 'intact' | 'broken';
  readonly firstBroken: BrokenLink | null;
  /** Begins the next page; null at the end. */
  readonly nextCursor: string | null;
  /** Null before the first one. Only it compares the copies of seals outside of the database. */
  readonly lastScheduled: VerificationResult | null;
}

export const verify = tenantRoute(
  'admin',
  { query: z.strictObject({ cursor: pageParameters.cursor }) },
  async ({ tenant, query: { cursor } }) => {
    const after = cursor === undefined ? 0 : sequenceOf(cursor);
    const { page, last } = await tenant.transaction('read', async (transaction) => {
      const [[latest], found] = await Promise.all([
        transaction.query(selectLatestResult(tenant.tenantId)),
        verifyPage({
          tenantId: tenant.tenantId,
          tables: chainTables(),
          after,
          query: (statement) => transaction.query(statement),
        }),
      ]);
      return { page: found, last: latest };
    });
    const lastScheduled = last ? { checkedAt: last.created_at, ...last.request_data } : null;
    const { broken, through, done, ...figures } = page;
    const firstBroken = broken ?? lastScheduled?.firstBroken ?? null;
    const body: Verification = {
      status: firstBroken ? 'broken' : 'intact',
      firstBroken,
      ...figures,
      nextCursor: done ? null : cursorAfter(through),
      lastScheduled,
    };
    return { status: 200, body };
  },
);

const cursorAfter = (sequence: number) => Buffer.from(JSON.stringify([sequence])).toString('base64url');

/** The last verified seal. @throws {InvalidCursor} for every text that `cursorAfter` did not make. */
function sequenceOf(cursor: string): number {
  let parts: unknown;
  try {
    parts = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'));
  } catch {
    throw new InvalidCursor('not a cursor');
  }
  const [sequence] = Array.isArray(parts) && parts.length === 1 ? parts : [];
  if (!Number.isSafeInteger(sequence) || sequence < 1 || sequence > 2 ** 31 - 1) {
    throw new InvalidCursor('not a cursor');
  }
  return sequence;
}
