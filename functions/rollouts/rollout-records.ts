/**
 * Rollouts in the registry.
 *
 * States:  (none) ──request──▶ running, planned ──begin──▶ running, canary ──▶ running, waves ──finish──▶ succeeded | failed
 *          (none) ──begin──────────────────────────────▶ running, canary      any running one ──▶ aborted | failed
 * Invariants: one rollout runs at a time (a unique index); only the execution that `execution_arn` names works on it;
 * one whose execution is dead is aborted by the next that begins, and by the event of the execution's end.
 */
import type { Release } from '../database/provisioning/release.ts';
import { type AuditActor, recordAudit } from '../registry/audit-log.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { RegistryError } from '../registry/errors.ts';
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
    await transaction.query(
      `INSERT INTO schema_rollouts (rollout_id, phase, schema_version, tenancy_version, input, execution_arn, started_by)
       VALUES (:rolloutId::uuid, :phase, :schemaVersion::int, :tenancyVersion::int, :input::jsonb, :executionArn,
               :startedBy)`,
      {
        ...{ rolloutId, phase, executionArn, startedBy, input: JSON.stringify({ except }) },
        ...{ schemaVersion: release.schemaVersion, tenancyVersion: release.tenancyVersion },
      },
    );
  } catch (error) {
    // The one that comes second meets the index `one_running_rollout`.
    if (error instanceof RegistryError && error.sqlState === '23505') throw new RolloutInProgress();
    throw error;
  }
  await recordAudit(transaction, {
    ...{ actor, action: 'rollout.start', tenantId: null, resource: { type: 'rollout', id: rolloutId } },
    data: { except, startedBy, schemaVersion: release.schemaVersion, tenancyVersion: release.tenancyVersion },
  });
}

/** The one that runs, if any. */
export const findRunning = (registry: RegistryExecutor) => find(registry, "status = 'running'", {});

export const findRollout = (registry: RegistryExecutor, rolloutId: string) =>
  find(registry, 'rollout_id = :rolloutId::uuid', { rolloutId });

/** The one that an execution has begun, or was planned for it. */
export const findByExecution = (registry: RegistryExecutor, executionArn: string) =>
  find(registry, 'execution_arn = :executionArn', { executionArn });

async function find(
  registry: RegistryExecutor,
  condition: string,
  parameters: Record<string, string>,
): Promise<RolloutRecord | undefined> {
  const [row] = await registry.query<{
    rollout_id: string;
    status: RolloutRecord['status'];
    phase: RolloutPhase;
    execution_arn: string | null;
    input: string;
    age: number;
  }>(
    `SELECT rollout_id::text AS rollout_id, status, phase, execution_arn, input::text AS input,
            extract(epoch FROM now() - updated_at)::double precision AS age
     FROM schema_rollouts WHERE ${condition} ORDER BY started_at DESC LIMIT 1`,
    parameters,
  );
  if (!row) return undefined;
  const { except = [] } = JSON.parse(row.input) as { except?: string[] };
  return {
    ...{ rolloutId: row.rollout_id, status: row.status, phase: row.phase, executionArn: row.execution_arn },
    ...{ except, ageSeconds: row.age },
  };
}

/** Advances a running rollout. @returns false where it does not run any more. */
export async function setPhase(
  registry: RegistryExecutor,
  rolloutId: string,
  phase: RolloutPhase,
): Promise<boolean> {
  const rows = await registry.query(
    `UPDATE schema_rollouts SET phase = :phase, updated_at = now()
     WHERE rollout_id = :rolloutId::uuid AND status = 'running' RETURNING rollout_id`,
    { rolloutId, phase },
  );
  return rows.length > 0;
}

/** Ends a running rollout; one that has ended stays as it is. @returns whether this call has ended it. */
export async function endRollout(
  registry: RegistryExecutor,
  rolloutId: string,
  { status, reason }: { status: 'succeeded' | 'failed' | 'aborted'; reason: string | null },
): Promise<boolean> {
  const rows = await registry.query(
    `UPDATE schema_rollouts SET status = :status, reason = :reason, finished_at = now(), updated_at = now(),
            phase = CASE WHEN :status = 'succeeded' THEN 'finished' ELSE phase END
     WHERE rollout_id = :rolloutId::uuid AND status = 'running' RETURNING rollout_id`,
    { rolloutId, status, reason },
  );
  return rows.length > 0;
}

/** @throws {InvalidRolloutInput} naming each that is no tenant of this registry. */
export async function requireTenants(
  registry: RegistryExecutor,
  references: readonly string[],
): Promise<void> {
  if (references.length === 0) return;
  const rows = await registry.query<{ reference: string }>(
    `SELECT e.reference FROM jsonb_array_elements_text(:references::jsonb) AS e (reference)
     WHERE EXISTS (SELECT FROM tenants t WHERE t.tenant_slug = e.reference OR t.tenant_id::text = e.reference)`,
    { references: JSON.stringify(references) },
  );
  const known = new Set(rows.map(({ reference }) => reference));
  const issues = references.flatMap((reference, index) =>
    known.has(reference) ? [] : [{ pointer: `/except/${index}`, message: 'is not a known tenant' }],
  );
  if (issues.length > 0) throw new InvalidRolloutInput(issues);
}
