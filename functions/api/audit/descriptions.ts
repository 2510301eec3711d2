import * as z from 'zod/mini';
import { component, pageOf } from '../../http/openapi/component.ts';
import { describeTenantContext } from '../../http/openapi/describe-context.ts';
import type { VerificationResult } from '../../tenant-data/verification-result.ts';
import type { BrokenLink } from '../../tenant-data/verify-chain.ts';
import type { Verification } from './audit-log-routes.ts';
import { operations } from './handler.ts';
import { routes } from './routes.ts';

const fields = z.record(z.string(), z.unknown());
const hashes = z.record(z.string(), z.string());

const changes = component(
  'AuditChanges',
  z.object({
    before: z.optional(fields),
    after: z.optional(fields),
    beforeSha256: z.optional(hashes),
    afterSha256: z.optional(hashes),
  }),
);

const entry = component(
  'AuditEntry',
  z.object({
    logId: z.uuid(),
    createdAt: z.iso.datetime(),
    actor: z.nullable(z.string()),
    userId: z.nullable(z.uuid()),
    action: z.string(),
    resourceType: z.string(),
    resourceId: z.nullable(z.uuid()),
    responseStatus: z.nullable(z.int()),
    changes: z.nullable(changes),
    requestData: z.nullable(fields),
    ipAddress: z.nullable(z.string()),
    userAgent: z.nullable(z.string()),
  }),
);

const count = z.int();

const brokenLink = component(
  'BrokenLink',
  z.object({
    what: z.enum(['entry', 'seal']),
    how: z.enum(['altered', 'reordered', 'removed', 'added']),
    sequence: z.nullable(z.int()),
    logId: z.nullable(z.uuid()),
  }) satisfies z.ZodMiniType<BrokenLink>,
);

const result = component(
  'AuditVerificationResult',
  z.object({
    checkedAt: z.iso.datetime(),
    status: z.enum(['intact', 'broken']),
    seals: count,
    entries: count,
    expired: count,
    firstBroken: z.nullable(brokenLink),
  }) satisfies z.ZodMiniType<VerificationResult>,
);

const verification = component(
  'AuditVerification',
  z.object({
    status: z.enum(['intact', 'broken']),
    firstBroken: z.nullable(brokenLink),
    seals: count,
    entries: count,
    expired: count,
    unsealed: count,
    nextCursor: z.nullable(z.string()),
    lastScheduled: z.nullable(result),
  }) satisfies z.ZodMiniType<Verification>,
);

export const audit = describeTenantContext({
  tags: { Audit: 'Who did what to which resource, and the proof that nothing of it was changed.' },
  routes,
  operations,
  descriptions: {
    'auditLog.list': {
      tag: 'Audit',
      summary: 'List audit entries',
      description:
        'Newest first; `sort=createdAt` begins with the oldest. `from` is included, `to` is not. `changes` has the fields that differ, or the SHA-256 of their values when these are larger than 16 KB together; secret and encrypted fields are `***`. Refused requests are entries of the action `request.refused`.',
      answers: { 200: pageOf('AuditEntry', entry) },
    },
    'auditLog.verify': {
      tag: 'Audit',
      summary: 'Verify the audit log',
      description:
        'Recomputes a page of the chain of seals and names the first broken link: an entry or seal that was altered, removed, added or reordered. Follow `nextCursor` to verify the whole log. `lastScheduled` is the last scheduled verification, which also compares the copies of the seals outside of the database.',
      answers: { 200: verification },
    },
  },
});
