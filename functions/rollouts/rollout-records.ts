/**
 * Rollouts in the registry.
 *
 * States:  (none) ──request──▶ running, planned ──begin──▶ running, canary ──▶ running, waves ──end──▶ succeeded | failed
 *          (none) ──begin──────────────────────────────▶ running, canary      any running one ──▶ aborted | failed
 *
 * Invariants: one rollout runs at a time (a unique index); only the execution in `execution_arn` works on it; a rollout
 * whose execution is dead is aborted by the next one that begins, or by the event of the execution's end.
 */
import { type FilterObject, sql } from 'kysely';
import type { Release } from '../database/provisioning/release.ts';
import { type AuditActor, recordAudit } from '../registry/audit-log.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { RegistryError } from '../registry/errors.ts';
import { parseJson } from '../registry/registry-column.ts';
import { asText, now, secondsSince, textList } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';
import type { RegistryTables } from '../registry/registry-tables.ts';
import { InvalidRolloutInput, RolloutInProgress } from './errors.ts';

export type RolloutPhase = 'planned' | 'canary' | 'waves' | 'finished';

export interface RolloutRecord {
  readonly rolloutId: string;
  readonly status: 'running' | 'succeeded' | 'failed' | 'aborted';
  readonly phase: RolloutPhase;
  readonly executionArn: string | null;
  readonly except: readonly string[];
  readonly ageSeconds: number;
}

export interface NewRollout {
  readonly rolloutId: string;
  readonly phase: 'planned' | 'canary';
  readonly except: readonly string[];
  readonly executionArn: string;
  readonly startedBy: string;
  readonly release: Pick<Release, 'schemaVersion' | 'tenancyVersion'>;
}

/** Records a running rollout, with its line in the audit log. @throws {RolloutInProgress} another one runs. */
export async function insertRollout(
  transaction: RegistryExecutor,
  { rolloutId, phase, except, executionArn, startedBy, release }: NewRollout,
  actor: AuditActor,
): Promise<void> {
  try {
    await registrySql(transaction)
      .insertInto('schema_rollouts')
      .values({
        rollout_id: rolloutId,
        phase,
        schema_version: release.schemaVersion,
        input: { except },
        tenancy_version: release.tenancyVersion,
        execution_arn: executionArn,
        started_by: startedBy,
      })
      .execute();
  } catch (error) {
    // The second of two concurrent inserts violates the index `one_running_rollout`.
    if (error instanceof RegistryError && error.sqlState === '23505') throw new RolloutInProgress();
    throw error;
  }
  await recordAudit(transaction, {
    actor,
    action: 'rollout.start',
    tenantId: null,
    resource: { type: 'rollout', id: rolloutId },
    data: { except, startedBy, schemaVersion: release.schemaVersion, tenancyVersion: release.tenancyVersion },
  });
}

/** The running one, if any. */
export const findRunning = (registry: RegistryExecutor) => find(registry, { status: 'running' });

export const findRollout = (registry: RegistryExecutor, rolloutId: string) =>
  find(registry, { rollout_id: rolloutId });

/** The rollout that an execution has begun, or that was planned for it. */
export const findByExecution = (registry: RegistryExecutor, executionArn: string) =>
  find(registry, { execution_arn: executionArn });

/** The latest with these values. */
async function find(
  registry: RegistryExecutor,
  values: FilterObject<RegistryTables, 'schema_rollouts'>,
): Promise<RolloutRecord | undefined> {
  const row = await registrySql(registry)
    .selectFrom('schema_rollouts')
    .select(['rollout_id', 'status', 'phase', 'execution_arn', 'input'])
    .select((eb) => secondsSince(eb.ref('updated_at')).as('age'))
    .where((eb) => eb.and(values))
    .orderBy('started_at', 'desc')
    .limit(1)
    .executeTakeFirst();
  if (!row) return undefined;
  const { except = [] } = parseJson(row.input);
  return {
    rolloutId: row.rollout_id,
    status: row.status,
    phase: row.phase,
    executionArn: row.execution_arn,
    except,
    ageSeconds: row.age,
  };
}

/** Advances a running rollout. @returns false when it does not run any more. */
export async function setPhase(
  registry: RegistryExecutor,
  rolloutId: string,
  phase: RolloutPhase,
): Promise<boolean> {
  const rows = await registrySql(registry)
    .updateTable('schema_rollouts')
    .set({ phase, updated_at: now })
    .where('rollout_id', '=', rolloutId)
    .where('status', '=', 'running')
    .returning('rollout_id')
    .execute();
  return rows.length > 0;
}

/** Ends a running rollout; an ended one stays as it is. @returns true when this call has ended it. */
export async function endRollout(
  registry: RegistryExecutor,
  rolloutId: string,
  { status, reason }: { status: 'succeeded' | 'failed' | 'aborted'; reason: string | null },
): Promise<boolean> {
  const rows = await registrySql(registry)
    .updateTable('schema_rollouts')
    .set({
      status,
      reason,
      finished_at: now,
      updated_at: now,
      ...(status === 'succeeded' ? { phase: 'finished' as const } : {}),
    })
    .where('rollout_id', '=', rolloutId)
    .where('status', '=', 'running')
    .returning('rollout_id')
    .execute();
  return rows.length > 0;
}

/** @throws {InvalidRolloutInput} naming each reference that is not a tenant of this registry. */
export async function requireTenants(
  registry: RegistryExecutor,
  references: readonly string[],
): Promise<void> {
  if (references.length === 0) return;
  const { rows } = await sql<{ reference: string }>`
    select e.reference from ${textList(references)} as e (reference)
     where exists (select from tenants as t
                    where t.tenant_slug = e.reference or ${asText(sql.ref('t.tenant_id'))} = e.reference)`.execute(
    registrySql(registry),
  );
  const known = new Set(rows.map(({ reference }) => reference));
  const issues = references.flatMap((reference, index) =>
    known.has(reference) ? [] : [{ pointer: `/except/${index}`, message: 'is not a known tenant' }],
  );
  if (issues.length > 0) throw new InvalidRolloutInput(issues);
}
