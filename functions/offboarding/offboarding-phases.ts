/**
 * The phases of an offboarding that need the registry only, up to the erasure. Each may run again after any interruption,
 * and then continues from the record.
 */
import * as z from 'zod';
import { type AuditActor, recordAudit } from '../registry/audit-log.ts';
import type { DataApi } from '../registry/data-api.ts';
import type { ExportView } from '../registry/exports.ts';
import { now } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';
import { getTenant, referenceColumn } from '../registry/tenant-record.ts';
import { boundTransaction } from '../registry/transaction-limits.ts';
import { RegionUnavailable } from '../resources/errors.ts';
import {
  FinalExportFailed,
  InvalidOffboardingInput,
  OffboardingOvertaken,
  TenantBusy,
  TenantHeld,
} from './errors.ts';
import {
  changeOffboarding,
  findOffboarding,
  type OffboardingRecord,
  runningOffboarding,
  selectOffboardings,
} from './offboarding-records.ts';
import { type FindOtherClone, refuseOtherWork } from './other-work.ts';
import { requestOffboarding, returnTenant, setTenantStatus } from './request-offboarding.ts';

type Registry = Pick<DataApi, 'query' | 'transaction'>;

const input = z.strictObject({
  tenantId: z.string().max(63).optional(),
  slug: z.string().max(63).optional(),
  offboardingId: z.uuid().optional(),
});

/** What an execution works on. */
export interface BegunOffboarding {
  readonly offboardingId: string;
  readonly tenantId: string;
  /** The erasure has begun: an earlier execution died in it. */
  readonly erasing: boolean;
  /** It was cancelled, or has ended. */
  readonly ended: boolean;
}

/**
 * The first phase of an execution: finds the record of its request. An execution that an operator has started by hand
 * records the offboarding itself.
 * @throws {InvalidOffboardingInput} and the refusals of {@link requestOffboarding}.
 */
export async function beginOffboarding(
  registry: Registry,
  value: unknown,
  executionArn: string,
  findOtherClone?: FindOtherClone,
): Promise<BegunOffboarding> {
  const { data } = input.safeParse(value);
  const reference = data?.tenantId ?? data?.slug;
  if (!data || reference === undefined || (data.tenantId !== undefined && data.slug !== undefined))
    throw new InvalidOffboardingInput();
  if (data.offboardingId !== undefined) {
    const record = await findOffboarding(registry, data.offboardingId);
    if (!record) throw new InvalidOffboardingInput();
    // Another execution continues it.
    if (record.executionArn !== executionArn) throw new OffboardingOvertaken();
    return begun(record);
  }
  const [own] = await selectOffboardings(registry, (all) => all.where('o.execution_arn', '=', executionArn));
  if (own) return begun(own);
  const offboardingId = await requestOffboarding(registry, reference, {
    actor: { id: executionArn, type: 'workflow' },
    cause: 'request',
    // It runs already.
    executionArnOf: () => executionArn,
    start: async () => {},
    findOtherClone,
  });
  return begun(await runningOffboarding(registry, offboardingId));
}

const begun = ({ offboardingId, tenantId, erasingSince, status }: OffboardingRecord): BegunOffboarding => ({
  offboardingId,
  tenantId,
  erasing: erasingSince !== null,
  ended: status !== 'running',
});

/** How the final export is made: by the feature of exports, which this one does not know. */
export interface FinalExports {
  /** Starts one. @throws its refusals. */
  readonly request: (tenantId: string) => Promise<string>;
  readonly read: (tenantId: string, exportId: string) => Promise<ExportView>;
  /** How many the tenant has had since a time, RFC 3339. */
  readonly count: (tenantId: string, since: string) => Promise<number>;
}

/** Tries at the final export, when its workflow is stopped or lost with a machine. */
const MOST_EXPORTS = 3;

/**
 * The final export of a tenant that has data. Call it until it is done.
 * @throws {FinalExportFailed | OffboardingOvertaken} and the refusals of the export's request.
 */
export async function exportFinally(
  registry: Registry,
  offboardingId: string,
  { request, read, count }: FinalExports,
): Promise<{ readonly done: boolean }> {
  const { tenantId, exportId, formerStatus, graceUntil, erasingSince, startedAt } = await runningOffboarding(
    registry,
    offboardingId,
  );
  const requestOne = async () => {
    const started = await request(tenantId);
    await changeOffboarding(registry, offboardingId, { phase: 'export', exportId: started });
    return { done: false };
  };
  // The onboarding of a failed tenant has not succeeded: there are no rows to export.
  // After the grace period has begun, the export is done; it may have expired since, when a legal hold has lasted.
  if (formerStatus === 'failed' || graceUntil !== null || erasingSince !== null) return { done: true };
  if (exportId === null) return requestOne();
  const { status, reason } = await read(tenantId, exportId);
  if (status === 'running') return { done: false };
  if (status === 'aborted' && (await count(tenantId, startedAt)) < MOST_EXPORTS) return requestOne();
  if (status !== 'succeeded') throw new FinalExportFailed(reason ?? 'it was stopped');
  return { done: true };
}

/** The grace period begins, unless it has begun. @returns its end, RFC 3339. @throws {OffboardingOvertaken} */
export async function beginGrace(
  registry: Registry,
  offboardingId: string,
  graceMinutes: number,
): Promise<{ readonly graceUntil: string }> {
  const record = await runningOffboarding(registry, offboardingId);
  if (record.graceUntil === null) {
    await changeOffboarding(registry, offboardingId, { phase: 'grace', graceMinutes });
  }
  const { graceUntil } = await runningOffboarding(registry, offboardingId);
  return { graceUntil: graceUntil! };
}

/**
 * The point of no return, under the lock of the tenant's row: no other work of the tenant runs, and none begins later,
 * because the tenant is `offboarded`. Hops of former moves no longer need their sources, and proxies no secrets of them.
 *
 * The erasure cannot be refused in a region that the tenant has left. It waits until the work there has ended: an
 * export that was requested before the move would write objects after the search of the bucket.
 * @throws {TenantHeld} nothing was changed: the offboarding waits for the release of the hold, see {@link failOffboarding}.
 * @throws {TenantBusy} nothing was changed; call it again later.
 * @throws {OffboardingOvertaken} it was cancelled.
 */
export async function beginErasure(
  registry: Registry,
  offboardingId: string,
  actor: AuditActor,
  findOtherClone?: FindOtherClone,
): Promise<void> {
  await registry.transaction(async (transaction) => {
    await boundTransaction(transaction);
    const known = await runningOffboarding(transaction, offboardingId);
    const { tenantId } = known;
    if (known.erasingSince !== null) {
      // A part begins with its record, in a region that the tenant has left: no work begins there any more, but what had
      // begun before may still write. The tenant's own region was asked before its erasure began.
      if (known.partOf !== null) await refuseOtherWork(transaction, tenantId);
      return;
    }
    const { legalHold } = await getTenant(transaction, tenantId, { lock: true });
    const record = await runningOffboarding(transaction, offboardingId);
    if (record.erasingSince !== null) return;
    if (legalHold !== null) throw new TenantHeld();
    await refuseOtherWork(transaction, tenantId, {
      ownExport: record.exportId,
      findOtherClone: findOtherClone && untilRegionsAnswer(findOtherClone),
    });
    await changeOffboarding(transaction, offboardingId, { phase: 'erase', erasing: true });
    await setTenantStatus(transaction, tenantId, 'offboarded');
    await endHops(transaction, tenantId);
    await recordAudit(transaction, {
      actor,
      action: 'offboarding.erase',
      tenantId,
      resource: { type: 'offboarding', id: offboardingId },
      data: {},
    });
  });
}

/** A region that does not answer may have a clone of the tenant: the erasure waits for it. */
const untilRegionsAnswer =
  (find: FindOtherClone): FindOtherClone =>
  (tenantId) =>
    find(tenantId).catch((cause) => {
      if (!(cause instanceof RegionUnavailable)) throw cause;
      throw new TenantBusy(`Region "${cause.region}" does not answer: it may have a clone of the tenant.`, {
        cause,
      });
    });

/** What hops have left is erased by name, so that their clean-ups have nothing to do. */
export async function endHops(
  transaction: Parameters<typeof registrySql>[0],
  tenantId: string,
): Promise<void> {
  await registrySql(transaction)
    .updateTable('tenant_move_hops')
    .set({ state: 'cleaned', updated_at: now })
    .where('tenant_id', '=', tenantId)
    .where('state', 'in', ['settled', 'mismatch'])
    .execute();
}

/**
 * After a phase failed for good. Before the erasure the tenant is again what it was; during the erasure the record stays
 * as it is, and recovery continues it. An offboarding that a legal hold has stopped stays as it is too: the tenant is not served
 * and not erased. Recovery continues it when the hold is released.
 */
export async function failOffboarding(
  registry: Registry,
  executionArn: string,
  { error, reason }: { readonly error: string; readonly reason: string },
  actor: AuditActor,
): Promise<{ readonly outcome: 'refused' | 'cancelled' | 'failed' | 'held' | 'erasing' | 'succeeded' }> {
  return registry.transaction(async (transaction) => {
    await boundTransaction(transaction);
    const [known] = await selectOffboardings(transaction, (all) =>
      all.where('o.execution_arn', '=', executionArn),
    );
    if (!known) return { outcome: 'refused' };
    await registrySql(transaction)
      .selectFrom('tenants')
      .select('tenant_id')
      .where(referenceColumn(known.tenantId), '=', known.tenantId)
      .forUpdate()
      .execute();
    const record = await findOffboarding(transaction, known.offboardingId);
    if (record?.status === 'succeeded') return { outcome: 'succeeded' };
    if (record?.status !== 'running') return { outcome: 'cancelled' };
    if (record.erasingSince !== null) return { outcome: 'erasing' };
    if (error === new TenantHeld().name) return { outcome: 'held' };
    await returnTenant(transaction, record, { status: 'failed', reason }, actor);
    return { outcome: 'failed' };
  });
}
