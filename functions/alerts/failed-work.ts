/**
 * Work that has failed, that is overdue, or that did not begin, as the registry has it: moves, restores, rollouts, backups,
 * drills, exports, onboardings, offboardings and rotations. Only the latest of its kind counts, so the alert ends when the
 * work is done again. A rotation of field keys never fails: it goes on until it is done, and is overdue meanwhile.
 */
import { sql } from 'kysely';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { isInUse } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';
import type { AlertKind } from './alert-kinds.ts';
import { type Finding, ofCell, ofTenant } from './finding.ts';
import type { AlertThresholds, OverdueWork } from './thresholds.ts';

/** @throws {RegistryError} */
export async function judgeWork(registry: RegistryExecutor, thresholds: AlertThresholds): Promise<Finding[]> {
  return [
    ...(await failedMoves(registry, thresholds)),
    ...(await mismatches(registry)),
    ...(await failedTargets(registry)),
    ...(await backups(registry, thresholds)),
    ...(await failedDrills(registry)),
    ...(await otherFailures(registry, thresholds)),
    ...(await overdueWork(registry, thresholds)),
  ];
}

const ago = (seconds: number) => sql`now() - ${sql.lit(seconds)} * interval '1 second'`;

interface FailedMove {
  move_id: string;
  tenant_id: string;
  status: string;
  phase: string;
  reason: string | null;
  is_restore: boolean;
}

/** An abort that an operator asked for is no failure. */
async function failedMoves(
  registry: RegistryExecutor,
  { failureSeconds }: AlertThresholds,
): Promise<Finding[]> {
  const { rows } = await sql<FailedMove>`
    select m.move_id, m.tenant_id, m.status, m.phase, m.reason, m.restore is not null as is_restore
      from tenant_moves m join tenants t on t.tenant_id = m.tenant_id
     where (m.status = 'failed' or (m.status = 'aborted' and m.abort_requested_at is null))
       and m.finished_at > ${ago(failureSeconds)} and ${isInUse}
       and not exists (select from tenant_moves later where later.tenant_id = m.tenant_id
                       and (later.restore is null) = (m.restore is null)
                       and (later.started_at, later.move_id) > (m.started_at, m.move_id))
     order by m.started_at`.execute(registrySql(registry));
  return rows.map(({ move_id: id, tenant_id, status, phase, reason, is_restore: isRestore }) => ({
    kind: isRestore ? 'restore-failed' : 'move-failed',
    ...ofTenant(tenant_id),
    level: 'raise',
    summary: `A ${isRestore ? 'restore' : 'move'} of a tenant ${status === 'failed' ? 'failed' : 'was ended'} in its phase ${phase}.`,
    details: { [isRestore ? 'restoreId' : 'moveId']: id, status, phase, reason },
  }));
}

async function mismatches(registry: RegistryExecutor): Promise<Finding[]> {
  const rows = await registrySql(registry)
    .selectFrom('tenant_move_hops')
    .select(['move_id', 'hop_index', 'tenant_id'])
    .where('state', '=', 'mismatch')
    .execute();
  return rows.map(({ move_id: moveId, hop_index: hop, tenant_id }) => ({
    kind: 'move-mismatch',
    ...ofTenant(tenant_id),
    level: 'raise',
    summary: 'Source and target of a tenant’s move differ; both are kept.',
    details: { moveId, hop },
  }));
}

/** Targets that the latest rollout has left behind, and no later one has reached. */
async function failedTargets(registry: RegistryExecutor): Promise<Finding[]> {
  const { rows } = await sql<{
    rollout_id: string;
    target: string;
    tenant_id: string | null;
    cell_id: string | null;
    reason: string | null;
  }>`
    select g.rollout_id, g.target, g.tenant_id, g.cell_id, g.reason
      from schema_rollout_targets g
     where g.state = 'failed'
       and (g.tenant_id is null or exists (select from tenants t where t.tenant_id = g.tenant_id and ${isInUse}))
       and g.rollout_id = (select r.rollout_id from schema_rollouts r where r.status <> 'running'
                            order by r.started_at desc, r.rollout_id desc limit 1)
       and not exists (select from schema_rollout_targets d join schema_rollouts r on r.rollout_id = d.rollout_id
                        where r.status = 'running' and d.target = g.target and d.state = 'succeeded')
     order by g.target limit 200`.execute(registrySql(registry));
  return rows.map(({ rollout_id: rolloutId, target, tenant_id, cell_id, reason }) => ({
    kind: 'schema-rollout-failed',
    ...(tenant_id ? ofTenant(tenant_id) : ofCell(cell_id ?? target)),
    subject: target,
    level: 'raise',
    summary: 'A schema rollout left a target behind.',
    details: { rolloutId, target, reason },
  }));
}

async function backups(registry: RegistryExecutor, { backupSeconds }: AlertThresholds): Promise<Finding[]> {
  const { rows } = await sql<{
    tenant_id: string;
    failed_id: string | null;
    reason: string | null;
    is_overdue: boolean;
  }>`
    select * from (select t.tenant_id, last.backup_id as failed_id, last.reason,
           t.status = 'active' and t.clone_of is null and r.created_at < ${ago(backupSeconds)}
             and not exists (select from tenant_backups b where b.tenant_id = t.tenant_id and b.status = 'succeeded'
                             and b.started_at > ${ago(backupSeconds)}) as is_overdue
      from tenants t join tenant_database_routing r on r.tenant_id = t.tenant_id
      left join lateral (select b.backup_id, b.status, b.reason from tenant_backups b
                          where b.tenant_id = t.tenant_id and b.status in ('succeeded', 'failed', 'aborted')
                          order by b.started_at desc, b.backup_id desc limit 1) last on last.status <> 'succeeded'
     where ${isInUse}) as latest
     where failed_id is not null or is_overdue order by tenant_id`.execute(registrySql(registry));
  return rows.flatMap(({ tenant_id, failed_id: backupId, reason, is_overdue: isOverdue }): Finding[] => [
    ...(backupId === null
      ? []
      : [
          {
            kind: 'backup-failed',
            ...ofTenant(tenant_id),
            level: 'raise',
            summary: 'The latest backup of a tenant failed.',
            details: { backupId, reason },
          } satisfies Finding,
        ]),
    ...(isOverdue
      ? [
          {
            kind: 'backup-overdue',
            ...ofTenant(tenant_id),
            level: 'raise',
            summary: `A tenant has no backup of the last ${Math.round(backupSeconds / 3600)} hours.`,
            details: {},
          } satisfies Finding,
        ]
      : []),
  ]);
}

async function failedDrills(registry: RegistryExecutor): Promise<Finding[]> {
  const { rows } = await sql<{ tenant_id: string; at: string; reason: string | null }>`
    select t.tenant_id, t.last_drill ->> 'at' as at, t.last_drill ->> 'reason' as reason
      from tenants t where ${isInUse} and t.last_drill ->> 'status' = 'failed' order by t.tenant_id`.execute(
    registrySql(registry),
  );
  return rows.map(({ tenant_id, at, reason }) => ({
    kind: 'restore-drill-failed',
    ...ofTenant(tenant_id),
    level: 'raise',
    summary: 'A backup of a tenant could not be restored in a drill.',
    details: { at, reason },
  }));
}

interface FailedWork {
  work: string;
  subject: string;
  id: string;
  tenant_id: string | null;
  cell_id: string | null;
  reason: string | null;
}

async function otherFailures(
  registry: RegistryExecutor,
  { failureSeconds }: AlertThresholds,
): Promise<Finding[]> {
  const { rows } = await sql<FailedWork>`
    select 'onboarding' as work, 'tenant ' || t.tenant_id as subject, cast(t.tenant_id as text) as id, t.tenant_id,
           null as cell_id, t.status_reason as reason
      from tenants t where t.status = 'failed' and t.updated_at > ${ago(failureSeconds)}
    union all
    select 'export', 'tenant ' || e.tenant_id, cast(e.export_id as text), e.tenant_id, null, e.reason
      from tenant_exports e join tenants t on t.tenant_id = e.tenant_id
     where e.status in ('failed', 'aborted') and e.finished_at > ${ago(failureSeconds)} and ${isInUse}
       and not exists (select from tenant_exports later where later.tenant_id = e.tenant_id
                       and (later.started_at, later.export_id) > (e.started_at, e.export_id))
    union all
    select 'offboarding', 'tenant ' || o.tenant_id, cast(o.offboarding_id as text), o.tenant_id, null, o.reason
      from tenant_offboardings o join tenants t on t.tenant_id = o.tenant_id
     where o.status = 'failed' and o.finished_at > ${ago(failureSeconds)} and ${isInUse}
       and not exists (select from tenant_offboardings later where later.tenant_id = o.tenant_id
                       and (later.started_at, later.offboarding_id) > (o.started_at, o.offboarding_id))
    union all
    select 'credential-rotation', c.subject, cast(c.rotation_id as text), c.tenant_id, c.cell_id, c.reason
      from credential_rotations c left join tenants t on t.tenant_id = c.tenant_id
     where c.status in ('failed', 'aborted') and c.finished_at > ${ago(failureSeconds)}
       and (c.tenant_id is null or ${isInUse})
       and not exists (select from credential_rotations later where later.subject = c.subject
                       and (later.started_at, later.rotation_id) > (c.started_at, c.rotation_id))
     order by 1, 2`.execute(registrySql(registry));
  return rows.map(({ work, subject, id, tenant_id, cell_id, reason }) => ({
    kind: 'work-failed',
    ...subjectIds({ tenant_id, cell_id }),
    subject: `${work} of ${subject}`,
    level: 'raise',
    summary: `The latest ${inWords(work)} of ${tenant_id ? 'a tenant' : subject} failed.`,
    details: { work, id, reason },
  }));
}

const inWords = (work: string): string => work.replace('-', ' ');

/** The work may be of a tenant, of a cell, or of neither. */
const subjectIds = ({ tenant_id, cell_id }: Pick<RunningWork, 'tenant_id' | 'cell_id'>) => ({
  ...(tenant_id ? { tenantId: tenant_id } : {}),
  ...(cell_id ? { cellId: cell_id } : {}),
});

interface RunningWork {
  work: OverdueWork;
  id: string;
  tenant_id: string | null;
  cell_id: string | null;
  seconds: number;
}

/**
 * The grace period of an offboarding is no work, and neither is its wait under a legal hold, whose release changes the tenant's
 * row. The alert about an offboarding names no tenant: it may open when the erasure has already erased the tenant's alerts.
 */
async function overdueWork(
  registry: RegistryExecutor,
  { overdueSeconds }: AlertThresholds,
): Promise<Finding[]> {
  const since = (work: OverdueWork) => ago(overdueSeconds[work]);
  const age = (column: string) =>
    sql`cast(extract(epoch from now() - ${sql.ref(column)}) as double precision)`;
  const { rows } = await sql<RunningWork>`
    select case when restore is null then 'move' else 'restore' end as work, cast(move_id as text) as id, tenant_id,
           null as cell_id, ${age('started_at')} as seconds
      from tenant_moves where status = 'running'
       and started_at < case when restore is null then ${since('move')} else ${since('restore')} end
    union all
    select 'rollout', cast(rollout_id as text), null, null, ${age('started_at')}
      from schema_rollouts where status = 'running' and started_at < ${since('rollout')}
    union all
    select 'backup', cast(backup_id as text), tenant_id, null, ${age('started_at')}
      from tenant_backups where status = 'running' and started_at < ${since('backup')}
    union all
    select 'export', cast(export_id as text), tenant_id, null, ${age('started_at')}
      from tenant_exports where status = 'running' and started_at < ${since('export')}
    union all
    select 'key-rotation', cast(rotation_id as text), tenant_id, null, ${age('started_at')}
      from field_rotations where status = 'running' and started_at < ${since('key-rotation')}
    union all
    select 'credential-rotation', cast(rotation_id as text), tenant_id, cell_id, ${age('started_at')}
      from credential_rotations where status = 'running' and started_at < ${since('credential-rotation')}
    union all
    select 'onboarding', cast(tenant_id as text), tenant_id, null, ${age('created_at')}
      from tenants where status = 'provisioning' and created_at < ${since('onboarding')}
    union all
    select 'offboarding', cast(o.offboarding_id as text), null, null, ${age('worked_since')}
      from tenant_offboardings o
      join tenants t on t.tenant_id = o.tenant_id
     cross join lateral (select coalesce(o.erasing_since, case when o.grace_until is not null
                                                        then greatest(o.grace_until, t.updated_at) end,
                                        o.started_at) as worked_since) w
     where o.status = 'running' and worked_since < ${since('offboarding')}
       and (t.legal_hold is null or o.phase <> 'grace')
     order by 1, 2`.execute(registrySql(registry));
  return rows.map(({ work, id, tenant_id, cell_id, seconds }) => ({
    kind: 'work-overdue' satisfies AlertKind,
    ...subjectIds({ tenant_id, cell_id }),
    subject: `${work} ${id}`,
    level: 'raise',
    summary: `A ${inWords(work)} has been running for ${Math.floor(seconds / 60)} minutes.`,
    details: { work, id },
  }));
}

/** Tenants whose rows a hop replicates that is not ended; their slots are in use. @throws {RegistryError} */
export async function replicatingTenants(registry: RegistryExecutor): Promise<Set<string>> {
  const rows = await registrySql(registry)
    .selectFrom('tenant_move_hops')
    .select('tenant_id')
    .where('kind', '=', 'relocate')
    .where('state', 'not in', ['cleaned', 'rolled-back'])
    .execute();
  return new Set(rows.map(({ tenant_id }) => tenant_id));
}
