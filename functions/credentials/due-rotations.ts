/**
 * What the schedule does: continues rotations whose executions have died, and begins those that are due. One at a time for
 * each cell, so that a proxy keeps room for what operators and moves need.
 */
import { sql } from 'kysely';
import { type ExecutionStatus, executionArnOf } from '../aws/executions.ts';
import type { CredentialsPolicy } from '../contracts/credentials-policy.ts';
import type { DataApi, RegistryExecutor } from '../registry/data-api.ts';
import { isInUse } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';
import { beginAttempt, type CredentialRotation, selectCredentialRotations } from './credential-records.ts';
import type { CredentialTarget } from './credential-subject.ts';
import { CredentialRotationRunning, CredentialsInUse, NotRotatable } from './errors.ts';
import { nameOf, requestCredentialRotation } from './request-credential-rotation.ts';

export interface DueRotationsOptions {
  /** Key of the region. */
  readonly region: string;
  readonly policy: CredentialsPolicy;
  readonly stateMachineArn: string;
  readonly start: (name: string, input: object) => Promise<void>;
  readonly statusOf: (executionArn: string) => Promise<ExecutionStatus>;
  /** One failure must not stop the others. */
  readonly onFailure: (subject: string, error: unknown) => void;
}

const ACTOR = { id: 'credential-rotation', type: 'system' } as const;
/** A request records its rotation a moment before it starts the execution, and so does a new attempt. In seconds. */
const TIME_TO_START = 60;
/** Begun by one run. The next one is an hour later. */
const BEGUN_AT_ONCE = 20;

/** @returns the subjects of the rotations that were continued and begun. */
export async function runDueRotations(
  registry: Pick<DataApi, 'transaction' | 'query'>,
  options: DueRotationsOptions,
): Promise<{ readonly continued: readonly string[]; readonly begun: readonly string[] }> {
  const running = await selectCredentialRotations(registry, (all) =>
    all.where('c.status', '=', 'running').where('c.region', '=', options.region),
  );
  const continued: string[] = [];
  for (const rotation of running) {
    await attempt(rotation.subject, async () => {
      if (await continueRotation(registry, rotation, options)) continued.push(rotation.subject);
    });
  }
  const busy = new Set(running.map(({ cellId }) => cellId));
  const begun: string[] = [];
  for (const { subject, cellId, target } of await listDue(registry, options)) {
    if (begun.length >= BEGUN_AT_ONCE) break;
    if (cellId !== null && busy.has(cellId)) continue;
    await attempt(subject, async () => {
      const { region, stateMachineArn, start } = options;
      await requestCredentialRotation(registry, target, { actor: ACTOR, region, stateMachineArn, start });
      begun.push(subject);
      if (cellId !== null) busy.add(cellId);
    });
  }
  return { continued, begun };

  async function attempt(subject: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      // A move uses the credentials, for example: the next run tries again.
      if (error instanceof NotRotatable || error instanceof CredentialsInUse) return;
      if (error instanceof CredentialRotationRunning) return;
      options.onFailure(subject, error);
    }
  }
}

/**
 * Starts the next attempt at a rotation whose execution is dead.
 * @returns false when its execution may still work.
 * @throws Step Functions' own error.
 */
export async function continueRotation(
  registry: RegistryExecutor,
  rotation: CredentialRotation,
  { stateMachineArn, start, statusOf }: Pick<DueRotationsOptions, 'stateMachineArn' | 'start' | 'statusOf'>,
): Promise<boolean> {
  const { rotationId, executionArn, idleSeconds } = rotation;
  const status = executionArn === null ? 'none' : await statusOf(executionArn);
  if (status === 'running' || (status === 'none' && idleSeconds < TIME_TO_START)) return false;
  const name = nameOf(rotationId, rotation.attempt + 1);
  if (!(await beginAttempt(registry, rotation, executionArnOf(stateMachineArn, name)))) return false;
  await start(name, { rotationId });
  return true;
}

interface Due {
  readonly subject: string;
  readonly cellId: string | null;
  readonly target: CredentialTarget;
}

/** The oldest credentials first. A failed rotation is tried again after a day. */
async function listDue(
  registry: RegistryExecutor,
  { region, policy }: Pick<DueRotationsOptions, 'region' | 'policy'>,
): Promise<Due[]> {
  const { rows } = await sql<{
    kind: string;
    subject: string;
    tenant_id: string | null;
    cell_id: string | null;
  }>`
    with present (kind, subject, tenant_id, cell_id, made_at, days) as (
      select 'login', 'tenant ' || r.tenant_id, r.tenant_id, r.cell_id, greatest(r.created_at, r.arrived_at),
             ${sql.lit(policy.tenantDays)}
        from tenant_database_routing r join tenants t on t.tenant_id = r.tenant_id
       where r.isolation_model in ('schema', 'dedicated') and r.region = ${region}
         and ${isInUse}
      union all
      select 'owner', 'tenant ' || r.tenant_id || ' owner', r.tenant_id, null, greatest(r.created_at, r.arrived_at),
             ${sql.lit(policy.ownerDays)}
        from tenant_database_routing r join tenants t on t.tenant_id = r.tenant_id
       where r.isolation_model = 'dedicated' and r.region = ${region} and ${isInUse}
      union all
      select role.name, 'cell ' || c.cell_id || ' ' || role.name, null, c.cell_id, c.created_at, role.days
        from cells c
        cross join (values ('starter', ${sql.lit(policy.cellDays)}), ('owner', ${sql.lit(policy.ownerDays)}))
                   as role (name, days)
       where c.region = ${region}
      union all
      select 'registry', 'registry', null, null, min(c.created_at), ${sql.lit(policy.registryDays)}
        from cells c where c.region = ${region} having count(*) > 0
    )
    select p.kind, p.subject, cast(p.tenant_id as text) as tenant_id, p.cell_id
      from present p
      left join lateral (
        select max(n.finished_at) filter (where n.status = 'succeeded') as succeeded_at,
               max(n.finished_at) as tried_at,
               coalesce(bool_or(n.status = 'running'), false) as is_running
          from credential_rotations n where n.subject = p.subject
      ) as last on true
     where not last.is_running
       and coalesce(last.tried_at, '-infinity') < now() - interval '24 hours'
       and greatest(p.made_at, last.succeeded_at) < now() - p.days * interval '24 hours'
     order by greatest(p.made_at, last.succeeded_at), p.subject
     limit 200`.execute(registrySql(registry));
  return rows.map(({ kind, subject, tenant_id: tenantId, cell_id: cellId }) => ({
    subject,
    cellId,
    target: targetOf(kind, tenantId, cellId),
  }));
}

function targetOf(kind: string, tenantId: string | null, cellId: string | null): CredentialTarget {
  if (kind === 'registry') return { registry: true };
  if (tenantId !== null) return { tenant: tenantId, role: kind === 'owner' ? 'owner' : 'login' };
  return { cellId: cellId ?? '', role: kind === 'owner' ? 'owner' : 'starter' };
}
