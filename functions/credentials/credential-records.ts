/**
 * The registry's record of a rotation of database credentials.
 *
 *   (none) ──requested, or due──▶ running ──▶ succeeded
 *                                 running ──nothing depends on it yet──▶ failed (taken back) | aborted
 *                                 running, its execution dead ──recovery──▶ running, with the next attempt
 *
 * `phase` shows the last phase that has begun. Every phase may run again, and a new attempt begins with the first one, so
 * nothing depends on it. Before the first `switch` requests know nothing of the rotation, and it can be taken back;
 * afterwards it is continued until it succeeds.
 *
 * Invariants: one running rotation of a subject; only the execution that the record names works on it.
 */
import { type InferResult, sql } from 'kysely';
import { type AuditActor, recordAudit } from '../registry/audit-log.ts';
import type { CredentialKind } from '../registry/credential-rotations.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { RegistryError } from '../registry/errors.ts';
import { now, secondsSince } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';
import type { CredentialSubject } from './credential-subject.ts';
import { CredentialRotationOvertaken, CredentialRotationRunning } from './errors.ts';

/** The phase from which on requests depend on the rotation. */
export const SWITCH = 'switch';

export interface CredentialRotation {
  readonly rotationId: string;
  readonly kind: CredentialKind;
  readonly subject: string;
  readonly tenantId: string | null;
  readonly cellId: string | null;
  readonly roleName: string;
  /** ARN or name of the role's secret. */
  readonly secret: string;
  /** Name of the stand-in; null for an owner, which has none, and for the registry, which has several. */
  readonly standInRole: string | null;
  /** Set while the proxy must accept it. */
  readonly standInSecretArn: string | null;
  readonly isImmediate: boolean;
  /** Whether requests depend on it, or have done so. */
  readonly isSwitched: boolean;
  readonly status: 'running' | 'succeeded' | 'failed' | 'aborted';
  readonly phase: string;
  readonly attempt: number;
  readonly executionArn: string | null;
  /** Since the last change. */
  readonly idleSeconds: number;
}

const rotationsQuery = (registry: RegistryExecutor) =>
  registrySql(registry)
    .selectFrom('credential_rotations as c')
    .select(['c.rotation_id', 'c.kind', 'c.subject', 'c.tenant_id', 'c.cell_id', 'c.role_name', 'c.secret'])
    .select(['c.stand_in_role', 'c.stand_in_secret_arn', 'c.is_immediate', 'c.status', 'c.phase'])
    .select(['c.attempt', 'c.execution_arn'])
    .select((eb) => [
      secondsSince(eb.ref('c.updated_at')).as('idle_seconds'),
      eb('c.switched_at', 'is not', null).$castTo<boolean>().as('is_switched'),
    ]);

type RotationsQuery = ReturnType<typeof rotationsQuery>;

/** @param where a condition on `credential_rotations as c`. @returns the oldest first. */
export async function selectCredentialRotations(
  registry: RegistryExecutor,
  where: (all: RotationsQuery) => RotationsQuery,
): Promise<CredentialRotation[]> {
  const rows = await where(rotationsQuery(registry))
    .orderBy('c.started_at')
    .orderBy('c.rotation_id')
    .execute();
  return rows.map(toRotation);
}

export async function findRotation(
  registry: RegistryExecutor,
  rotationId: string,
): Promise<CredentialRotation | undefined> {
  const [found] = await selectCredentialRotations(registry, (all) =>
    all.where('c.rotation_id', '=', rotationId),
  );
  return found;
}

export interface NewRotation {
  readonly rotationId: string;
  readonly subject: CredentialSubject;
  readonly region: string;
  readonly isImmediate: boolean;
  readonly executionArn: string;
  readonly startedBy: string;
  readonly phase: 'planned' | 'begun';
}

/**
 * Inserts a running rotation and its entry in the audit log.
 * @throws {CredentialRotationRunning} the subject has one.
 */
export async function insertRotation(
  transaction: RegistryExecutor,
  { rotationId, subject, region, isImmediate, executionArn, startedBy, phase }: NewRotation,
  actor: AuditActor,
): Promise<void> {
  const { kind, name, tenantId, cellId, roleName, secret } = subject;
  try {
    await registrySql(transaction)
      .insertInto('credential_rotations')
      .values({
        rotation_id: rotationId,
        kind,
        subject: name,
        tenant_id: tenantId,
        cell_id: cellId,
        region,
        role_name: roleName,
        secret,
        stand_in_role: kind === 'tenant' || kind === 'starter' ? standInName(roleName, rotationId) : null,
        is_immediate: isImmediate,
        execution_arn: executionArn,
        started_by: startedBy,
        phase,
      })
      .execute();
  } catch (error) {
    // The second of two concurrent inserts violates the index `one_running_credential_rotation`.
    if (error instanceof RegistryError && error.sqlState === '23505') throw new CredentialRotationRunning();
    throw error;
  }
  await recordAudit(transaction, {
    actor,
    action: 'credentials.rotate',
    tenantId,
    resource: { type: 'credential_rotation', id: rotationId },
    data: { subject: name, now: isImmediate, startedBy },
  });
}

/** No two rotations share a name, so a leftover of one never serves for another. */
export const standInName = (roleName: string, rotationId: string): string =>
  `${roleName}_s${rotationId.slice(0, 8)}`;

/** Records the phase. @throws {CredentialRotationOvertaken} the rotation is not this execution's, or has ended. */
export async function enterPhase(
  registry: RegistryExecutor,
  rotationId: string,
  executionArn: string,
  phase: string,
): Promise<CredentialRotation> {
  const changed = await registrySql(registry)
    .updateTable('credential_rotations')
    .set((eb) => ({
      phase,
      updated_at: now,
      ...(phase === SWITCH ? { switched_at: eb.fn.coalesce('switched_at', now) } : {}),
    }))
    .where('rotation_id', '=', rotationId)
    .where('execution_arn', '=', executionArn)
    .where('status', '=', 'running')
    .returning('rotation_id')
    .execute();
  const rotation = changed.length > 0 && (await findRotation(registry, rotationId));
  if (!rotation) throw new CredentialRotationOvertaken();
  return rotation;
}

/** Names the secret of the stand-in, which the proxy then accepts; null: no longer. */
export async function noteStandInSecret(
  registry: RegistryExecutor,
  rotationId: string,
  secretArn: string | null,
): Promise<void> {
  await registrySql(registry)
    .updateTable('credential_rotations')
    .set({ stand_in_secret_arn: secretArn, updated_at: now })
    .where('rotation_id', '=', rotationId)
    .execute();
}

/** Hands a rotation over to its next execution. @returns false when another call has done so, or it has ended. */
export async function beginAttempt(
  registry: RegistryExecutor,
  { rotationId, attempt }: Pick<CredentialRotation, 'rotationId' | 'attempt'>,
  executionArn: string,
  { isImmediate = false }: { readonly isImmediate?: boolean } = {},
): Promise<boolean> {
  const changed = await registrySql(registry)
    .updateTable('credential_rotations')
    .set({
      attempt: attempt + 1,
      execution_arn: executionArn,
      updated_at: now,
      ...(isImmediate ? { is_immediate: true } : {}),
    })
    .where('rotation_id', '=', rotationId)
    .where('attempt', '=', attempt)
    .where('status', '=', 'running')
    .returning('rotation_id')
    .execute();
  return changed.length > 0;
}

/** Whether requests know nothing of the rotation yet. */
export const canBeTakenBack = ({
  kind,
  isSwitched,
}: Pick<CredentialRotation, 'kind' | 'isSwitched'>): boolean =>
  (kind === 'tenant' || kind === 'starter') && !isSwitched;

/** Ends a running rotation. @returns whether it was running. */
export async function endRotation(
  transaction: RegistryExecutor,
  { rotationId, tenantId }: Pick<CredentialRotation, 'rotationId' | 'tenantId'>,
  { status, reason }: { readonly status: 'succeeded' | 'failed' | 'aborted'; readonly reason?: string },
  actor: AuditActor,
): Promise<boolean> {
  const ended = await registrySql(transaction)
    .updateTable('credential_rotations')
    .set({
      status,
      reason: reason ?? null,
      ...(status === 'succeeded' ? { phase: 'finished' } : {}),
      finished_at: sql`clock_timestamp()`,
      updated_at: now,
    })
    .where('rotation_id', '=', rotationId)
    .where('status', '=', 'running')
    .returning('rotation_id')
    .execute();
  if (ended.length === 0) return false;
  await recordAudit(transaction, {
    actor,
    action: `credentials.${status}`,
    tenantId,
    resource: { type: 'credential_rotation', id: rotationId },
    data: reason === undefined ? {} : { reason },
  });
  return true;
}

function toRotation(row: InferResult<RotationsQuery>[number]): CredentialRotation {
  return {
    rotationId: row.rotation_id,
    kind: row.kind,
    subject: row.subject,
    tenantId: row.tenant_id,
    cellId: row.cell_id,
    roleName: row.role_name,
    secret: row.secret,
    standInRole: row.stand_in_role,
    standInSecretArn: row.stand_in_secret_arn,
    isImmediate: row.is_immediate,
    isSwitched: row.is_switched,
    status: row.status,
    phase: row.phase,
    attempt: row.attempt,
    executionArn: row.execution_arn,
    idleSeconds: row.idle_seconds,
  };
}
