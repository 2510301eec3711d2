import { sql } from 'kysely';
import { tenantStatement } from '../database/session/tenant-sql.ts';
import type { BrokenLink } from './verify-chain.ts';

/** The audit entry that keeps the result of a scheduled verification. Its resource is the tenant's log: `resource_id` is the tenant. */
export const VERIFICATION_ENTRY = {
  actor: 'platform:audit-verification',
  action: 'audit.verify',
  resourceType: 'audit_log',
} as const;

/** A scheduled verification of the whole chain and of its copies. */
export interface VerificationResult {
  /** RFC 3339. */
  readonly checkedAt: string;
  readonly status: 'intact' | 'broken';
  readonly seals: number;
  readonly entries: number;
  readonly expired: number;
  readonly firstBroken: BrokenLink | null;
}

/** The latest result: one row, or none before the first verification. A clone's log has results of its original, too. */
export function selectLatestResult(tenantId: string) {
  const { actor, action, resourceType } = VERIFICATION_ENTRY;
  return tenantStatement(sql<{
    created_at: string;
    request_data: Omit<VerificationResult, 'checkedAt'>;
  }>`SELECT created_at, request_data FROM ${sql.table('audit_log')}
    WHERE resource_type = ${resourceType} AND resource_id = ${tenantId}::uuid AND action = ${action} AND actor = ${actor}
    ORDER BY created_at DESC, log_id DESC LIMIT 1`);
}
