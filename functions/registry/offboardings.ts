import { type InferResult, sql } from 'kysely';
import type { SignedCertificate } from '../contracts/erasure-certificate.ts';
import { ResourceNotFound } from '../resources/errors.ts';
import type { RegistryExecutor } from './data-api.ts';
import { rfc3339 } from './registry-expressions.ts';
import { type RegistrySql, registrySql } from './registry-sql.ts';

/** The offboarding of a tenant as the API shows it. */
export interface OffboardingView {
  readonly offboardingId: string;
  readonly tenantId: string;
  readonly status: 'running' | 'succeeded' | 'failed' | 'aborted';
  readonly phase: string;
  readonly reason: string | null;
  readonly cause: 'request' | 'subscription';
  /** The final export; null until it is started, and after the erasure has deleted it. */
  readonly exportId: string | null;
  /** Until then it can be cancelled; null until the final export is made. */
  readonly graceUntil: string | null;
  readonly canBeCancelled: boolean;
  readonly executionArn: string | null;
  readonly startedBy: string;
  readonly startedAt: string;
  readonly finishedAt: string | null;
}

const selectOffboardings = (db: RegistrySql) =>
  db
    .selectFrom('tenant_offboardings as o')
    .select(['o.offboarding_id', 'o.tenant_id', 'o.status', 'o.phase', 'o.reason', 'o.cause', 'o.export_id'])
    .select(['o.execution_arn', 'o.started_by'])
    .select((eb) => [
      rfc3339(eb.ref('o.started_at')).as('started_at'),
      rfc3339(eb.ref('o.grace_until')).as('grace_until'),
      rfc3339(eb.ref('o.finished_at')).as('finished_at'),
      sql<boolean>`o.status = 'running' and o.erasing_since is null`.as('can_be_cancelled'),
    ])
    .where('o.part_of', 'is', null);

type OffboardingRow = InferResult<ReturnType<typeof selectOffboardings>>[number];

/** The tenant's latest offboarding. @throws {ResourceNotFound} */
export async function getOffboarding(registry: RegistryExecutor, tenantId: string): Promise<OffboardingView> {
  const row = await selectOffboardings(registrySql(registry))
    .where('o.tenant_id', '=', tenantId)
    .orderBy('o.started_at', 'desc')
    .orderBy('o.offboarding_id', 'desc')
    .limit(1)
    .executeTakeFirst();
  if (!row) throw new ResourceNotFound('no offboarding');
  return toView(row);
}

/** @throws {ResourceNotFound} the tenant is not offboarded. */
export async function getCertificate(
  registry: RegistryExecutor,
  tenantId: string,
): Promise<SignedCertificate> {
  const row = await registrySql(registry)
    .selectFrom('tenant_offboardings')
    .select('certificate')
    .where('tenant_id', '=', tenantId)
    .where('status', '=', 'succeeded')
    .where('certificate', 'is not', null)
    .executeTakeFirst();
  if (!row?.certificate) throw new ResourceNotFound('no certificate');
  return JSON.parse(row.certificate) as SignedCertificate;
}

function toView(row: OffboardingRow): OffboardingView {
  return {
    offboardingId: row.offboarding_id,
    tenantId: row.tenant_id,
    status: row.status,
    phase: row.phase,
    reason: row.reason,
    cause: row.cause,
    exportId: row.export_id,
    graceUntil: row.grace_until,
    canBeCancelled: row.can_be_cancelled,
    executionArn: row.execution_arn,
    startedBy: row.started_by,
    startedAt: row.started_at,
    finishedAt: row.finished_at,
  };
}
