import { randomUUID } from 'node:crypto';
import type { TenantStatus } from '../contracts/tenant.ts';
import type { AuditActor } from '../registry/audit-log.ts';
import type { DataApi, RegistryExecutor } from '../registry/data-api.ts';
import { recordAndStart } from '../registry/record-and-start.ts';
import { now } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';
import type { TenantRecord } from '../registry/tenant-record.ts';
import { getTenant } from '../registry/tenant-record.ts';
import { requireMatch } from '../resources/entity-tag.ts';
import { OffboardingInProgress, OffboardingNotStarted, TenantHeld, TenantNotOffboardable } from './errors.ts';
import {
  endOffboarding,
  findOffboarding,
  insertOffboarding,
  type OffboardingRecord,
} from './offboarding-records.ts';
import { type FindOtherClone, refuseOtherWork } from './other-work.ts';

export interface RequestOffboardingOptions {
  readonly actor: AuditActor;
  readonly cause: OffboardingRecord['cause'];
  /** The ARN of the execution of that name. */
  readonly executionArnOf: (name: string) => string;
  /** Calls `StartExecution` of `tenant-offboarding`. */
  readonly start: (name: string, input: object) => Promise<void>;
  /** Absent where there is one region. */
  readonly findOtherClone?: FindOtherClone | undefined;
  /** The tenant's entity tag that the client has seen. */
  readonly ifMatch?: string | undefined;
}

/** Name of an offboarding's execution. A later one continues it after the first has died. */
export const executionName = (offboardingId: string, later = ''): string =>
  `offboarding-${offboardingId}${later && `-${later}`}`;

/**
 * Requests the offboarding of a tenant. From now on it refuses requests, so that the final export has everything.
 * @param reference id or slug.
 * @returns the offboarding's id.
 * @throws {TenantNotFound | VersionMismatch | TenantNotOffboardable | OffboardingInProgress | TenantHeld | TenantBusy} nothing was
 * changed. And {RegionUnavailable}: a region that does not answer may have a clone of the tenant.
 * @throws {OffboardingNotStarted} it is recorded as failed, and the tenant is as it was.
 */
export async function requestOffboarding(
  registry: Pick<DataApi, 'transaction'>,
  reference: string,
  { actor, cause, executionArnOf, start, findOtherClone, ifMatch }: RequestOffboardingOptions,
): Promise<string> {
  const newId = randomUUID();
  let tenantId = '';
  return recordAndStart(registry, undefined, {
    newId,
    lock: async (transaction) => {
      const tenant = await getTenant(transaction, reference, { lock: true });
      requireMatch(ifMatch, tenant);
      return tenant;
    },
    find: findOffboarding,
    record: async (transaction, tenant) => {
      tenantId = tenant.tenantId;
      const formerStatus = requireOffboardable(tenant);
      if (tenant.legalHold !== null) throw new TenantHeld();
      await refuseOtherWork(transaction, tenantId, { findOtherClone });
      const executionArn = executionArnOf(executionName(newId));
      await insertOffboarding(
        transaction,
        {
          offboardingId: newId,
          tenantId,
          region: tenant.region,
          cause,
          formerStatus,
          executionArn,
          startedBy: actor.id,
          phase: 'planned',
        },
        actor,
      );
      await setTenantStatus(transaction, tenantId, 'offboarding');
    },
    start: (offboardingId) => start(executionName(offboardingId), { tenantId, offboardingId }),
    notStarted: (options) => new OffboardingNotStarted(options),
    giveUp: async (transaction, reason) => {
      const record = await findOffboarding(transaction, newId);
      if (record) await returnTenant(transaction, record, { status: 'failed', reason }, actor);
    },
  });
}

/** @throws {OffboardingInProgress | TenantNotOffboardable} */
function requireOffboardable({ status }: Pick<TenantRecord, 'status'>): 'active' | 'suspended' | 'failed' {
  if (status === 'active' || status === 'suspended' || status === 'failed') return status;
  if (status === 'offboarding') throw new OffboardingInProgress();
  throw new TenantNotOffboardable(`The tenant is ${status}.`);
}

/** Ends an offboarding without an erasure: the tenant is again what it was. @returns whether it was running. */
export async function returnTenant(
  transaction: RegistryExecutor,
  record: OffboardingRecord,
  end: { readonly status: 'failed' | 'aborted'; readonly reason: string },
  actor: AuditActor,
): Promise<boolean> {
  if (!(await endOffboarding(transaction, record, end, actor))) return false;
  await setTenantStatus(transaction, record.tenantId, record.formerStatus);
  return true;
}

/** Changes the status of a tenant that is being offboarded, or is about to be. */
export async function setTenantStatus(
  transaction: RegistryExecutor,
  tenantId: string,
  status: TenantStatus,
): Promise<void> {
  await registrySql(transaction)
    .updateTable('tenants')
    .set({ status, updated_at: now })
    .where('tenant_id', '=', tenantId)
    .execute();
}
