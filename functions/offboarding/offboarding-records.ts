/**
 * The registry's record of an offboarding, and what it makes of the tenant's status.
 *
 *   record               phase                                              tenant
 *   running              planned ▶ export ▶ grace                           offboarding (refuses requests; keeps its data)
 *                        grace, also after its end while the tenant has a legal hold, without an execution
 *   running              erase ▶ certify: it cannot be cancelled any more   offboarded
 *   succeeded            finished, with the certificate                     offboarded, a row without personal data
 *   aborted | failed     cancelled, or the final export failed              as it was before
 *
 * Invariants: an index of the registry allows one running offboarding per tenant. Every change of a record requires that
 * it is running, and phase `erase` is entered under the lock of the tenant's row, as a cancellation is made. So an
 * offboarding is either cancelled, or its erasure begins. From then on it never fails: recovery continues it.
 *
 * `facts` are kept by store. A store's fact is written before anything is erased there, so that an erasure that was
 * interrupted still states what there was.
 */
import { type InferResult, sql } from 'kysely';
import { type AuditActor, recordAudit } from '../registry/audit-log.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { RegistryError } from '../registry/errors.ts';
import { parseJson } from '../registry/registry-column.ts';
import {
  asText,
  columnValue,
  jsonValue,
  now,
  rfc3339,
  secondsSince,
} from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';
import { OffboardingInProgress, OffboardingOvertaken } from './errors.ts';

/** What was found in one store, and when a search there found nothing more. */
export interface Fact {
  /** Counts by kind, before the erasure. */
  readonly found: Readonly<Record<string, number>>;
  /** RFC 3339. */
  readonly foundAt: string;
  /** RFC 3339; absent until the store is erased and was searched again. */
  readonly verifiedAt?: string;
  /** What the store keeps, and until when. */
  readonly kept?: readonly Kept[];
}

/** Something that outlives the erasure. */
export interface Kept {
  readonly what: string;
  readonly count?: number;
  /** RFC 3339; null: it stays. */
  readonly until: string | null;
  readonly why: string;
}

export interface OffboardingRecord {
  readonly offboardingId: string;
  readonly tenantId: string;
  readonly slug: string;
  readonly region: string;
  readonly cause: 'request' | 'subscription';
  readonly status: 'running' | 'succeeded' | 'failed' | 'aborted';
  readonly phase: string;
  readonly formerStatus: 'active' | 'suspended' | 'failed' | 'elsewhere';
  /** Region of the offboarding that this one is a part of. */
  readonly partOf: string | null;
  readonly exportId: string | null;
  readonly executionArn: string | null;
  /** RFC 3339, as the times below. */
  readonly startedAt: string;
  readonly graceUntil: string | null;
  readonly erasingSince: string | null;
  readonly facts: Readonly<Record<string, Fact>>;
  /** The tenant has a legal hold. */
  readonly isHeld: boolean;
  /** Time since the latest change of the record. */
  readonly idleSeconds: number;
}

const offboardingsQuery = (registry: RegistryExecutor) =>
  registrySql(registry)
    .selectFrom('tenant_offboardings as o')
    .innerJoin('tenants as t', 't.tenant_id', 'o.tenant_id')
    .select([
      'o.offboarding_id',
      'o.tenant_id',
      't.tenant_slug',
      'o.region',
      'o.cause',
      'o.status',
      'o.phase',
    ])
    .select(['o.former_status', 'o.part_of', 'o.export_id', 'o.execution_arn'])
    .select((eb) => [
      rfc3339(eb.ref('o.started_at')).as('started_at'),
      rfc3339(eb.ref('o.grace_until')).as('grace_until'),
      rfc3339(eb.ref('o.erasing_since')).as('erasing_since'),
      asText(eb.ref('o.facts')).as('facts'),
      eb('t.legal_hold', 'is not', null).$castTo<boolean>().as('is_held'),
      secondsSince(eb.ref('o.updated_at')).as('idle_seconds'),
    ]);

type OffboardingsQuery = ReturnType<typeof offboardingsQuery>;
type OffboardingRow = InferResult<OffboardingsQuery>[number];

/** @param where a condition on `tenant_offboardings as o`. @returns those that satisfy it, oldest first. */
export async function selectOffboardings(
  registry: RegistryExecutor,
  where: (all: OffboardingsQuery) => OffboardingsQuery,
): Promise<OffboardingRecord[]> {
  const found = where(offboardingsQuery(registry)).orderBy('o.started_at').orderBy('o.offboarding_id');
  return (await found.execute()).map(toRecord);
}

export async function findOffboarding(
  registry: RegistryExecutor,
  offboardingId: string,
): Promise<OffboardingRecord | undefined> {
  const [found] = await selectOffboardings(registry, (all) =>
    all.where('o.offboarding_id', '=', offboardingId),
  );
  return found;
}

/** @throws {OffboardingOvertaken} it is not running. */
export async function runningOffboarding(
  registry: RegistryExecutor,
  offboardingId: string,
): Promise<OffboardingRecord> {
  const found = await findOffboarding(registry, offboardingId);
  if (found?.status !== 'running') throw new OffboardingOvertaken();
  return found;
}

export interface NewOffboarding {
  readonly offboardingId: string;
  readonly tenantId: string;
  readonly region: string;
  readonly cause: OffboardingRecord['cause'];
  readonly formerStatus: OffboardingRecord['formerStatus'];
  readonly executionArn: string;
  readonly startedBy: string;
  readonly phase: 'planned' | 'erase';
  readonly partOf?: string | undefined;
}

/**
 * Inserts a running offboarding and its entry in the audit log. The caller holds the lock of the tenant's row.
 * @throws {OffboardingInProgress}
 */
export async function insertOffboarding(
  transaction: RegistryExecutor,
  offboarding: NewOffboarding,
  actor: AuditActor,
): Promise<void> {
  const { offboardingId, tenantId, cause, partOf } = offboarding;
  try {
    await registrySql(transaction)
      .insertInto('tenant_offboardings')
      .values({
        offboarding_id: offboardingId,
        tenant_id: tenantId,
        region: offboarding.region,
        cause,
        phase: offboarding.phase,
        former_status: offboarding.formerStatus,
        part_of: partOf ?? null,
        execution_arn: offboarding.executionArn,
        started_by: offboarding.startedBy,
        ...(offboarding.phase === 'erase' ? { erasing_since: now } : {}),
      })
      .execute();
  } catch (error) {
    // The second of two concurrent inserts violates the index `one_running_offboarding`.
    if (error instanceof RegistryError && error.sqlState === '23505') throw new OffboardingInProgress();
    throw error;
  }
  await recordAudit(transaction, {
    actor,
    action: 'offboarding.start',
    tenantId,
    resource: { type: 'offboarding', id: offboardingId },
    data: { cause, ...(partOf === undefined ? {} : { partOf }) },
  });
}

export interface OffboardingChange {
  readonly phase?: 'export' | 'grace' | 'erase' | 'certify';
  readonly exportId?: string;
  /** Minutes from now to the end of the grace period. */
  readonly graceMinutes?: number;
  readonly erasing?: true;
  readonly executionArn?: string;
}

/** Changes a running record. @throws {OffboardingOvertaken} */
export async function changeOffboarding(
  registry: RegistryExecutor,
  offboardingId: string,
  { phase, exportId, graceMinutes, erasing, executionArn }: OffboardingChange,
): Promise<void> {
  const changed = await registrySql(registry)
    .updateTable('tenant_offboardings')
    .set({
      updated_at: now,
      ...(phase === undefined ? {} : { phase }),
      ...(exportId === undefined ? {} : { export_id: exportId }),
      ...(graceMinutes === undefined
        ? {}
        : { grace_until: sql`now() + make_interval(mins => ${sql.lit(graceMinutes)})` }),
      ...(erasing ? { erasing_since: now } : {}),
      ...(executionArn === undefined ? {} : { execution_arn: executionArn }),
    })
    .where('offboarding_id', '=', offboardingId)
    .where('status', '=', 'running')
    .returning('offboarding_id')
    .execute();
  if (changed.length === 0) throw new OffboardingOvertaken();
}

/** The fact of a store, as it is after `merge`. @throws {OffboardingOvertaken} */
export async function mergeFact(
  registry: RegistryExecutor,
  offboardingId: string,
  store: string,
  merge: Partial<Fact>,
): Promise<Fact> {
  const name = columnValue('cells.cell_id', store);
  const changed = await registrySql(registry)
    .updateTable('tenant_offboardings')
    .set({
      updated_at: now,
      facts: sql`facts || jsonb_build_object(${name}, coalesce(facts -> ${name}, '{}') || ${jsonValue(merge)})`,
    })
    .where('offboarding_id', '=', offboardingId)
    .where('status', '=', 'running')
    .returning((eb) => asText(eb.ref('facts')).as('facts'))
    .executeTakeFirst();
  if (!changed) throw new OffboardingOvertaken();
  return (parseJson(changed.facts) as unknown as Record<string, Fact>)[store]!;
}

/**
 * Keeps what was found in a store before anything is erased there.
 * @param search is called at the first time only.
 */
export async function keepFound(
  registry: RegistryExecutor,
  offboardingId: string,
  store: string,
  search: () => Promise<Readonly<Record<string, number>>>,
): Promise<Fact> {
  const known = (await runningOffboarding(registry, offboardingId)).facts[store];
  if (known?.foundAt !== undefined) return known;
  const found = await search();
  return mergeFact(registry, offboardingId, store, { found, foundAt: new Date().toISOString() });
}

export interface OffboardingEnd {
  readonly status: 'succeeded' | 'failed' | 'aborted';
  /** May be shown to a client. */
  readonly reason?: string;
  /** JSON text. */
  readonly certificate?: string;
}

/** Ends a running offboarding. @returns whether it was running. */
export async function endOffboarding(
  transaction: RegistryExecutor,
  { offboardingId, tenantId }: Pick<OffboardingRecord, 'offboardingId' | 'tenantId'>,
  { status, reason, certificate }: OffboardingEnd,
  actor: AuditActor,
): Promise<boolean> {
  const ended = await registrySql(transaction)
    .updateTable('tenant_offboardings')
    .set({
      status,
      reason: reason ?? null,
      finished_at: now,
      updated_at: now,
      ...(certificate === undefined ? {} : { certificate }),
      ...(status === 'succeeded' ? { phase: 'finished' } : {}),
    })
    .where('offboarding_id', '=', offboardingId)
    .where('status', '=', 'running')
    .returning('offboarding_id')
    .execute();
  if (ended.length === 0) return false;
  const verb = { succeeded: 'finish', failed: 'fail', aborted: 'cancel' }[status];
  await recordAudit(transaction, {
    actor,
    action: `offboarding.${verb}`,
    tenantId,
    resource: { type: 'offboarding', id: offboardingId },
    data: reason === undefined ? {} : { reason },
  });
  return true;
}

function toRecord(row: OffboardingRow): OffboardingRecord {
  return {
    offboardingId: row.offboarding_id,
    tenantId: row.tenant_id,
    slug: row.tenant_slug,
    region: row.region,
    cause: row.cause,
    status: row.status,
    phase: row.phase,
    formerStatus: row.former_status,
    partOf: row.part_of,
    exportId: row.export_id,
    executionArn: row.execution_arn,
    startedAt: row.started_at,
    graceUntil: row.grace_until,
    erasingSince: row.erasing_since,
    facts: parseJson(row.facts) as unknown as Record<string, Fact>,
    isHeld: row.is_held,
    idleSeconds: row.idle_seconds,
  };
}
