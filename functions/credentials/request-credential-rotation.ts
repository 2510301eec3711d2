import { randomUUID } from 'node:crypto';
import { executionArnOf } from '../aws/executions.ts';
import { type AuditActor, recordAudit } from '../registry/audit-log.ts';
import type { RepeatableRequest } from '../registry/control-idempotency.ts';
import type { DataApi } from '../registry/data-api.ts';
import { recordAndStart } from '../registry/record-and-start.ts';
import { boundTransaction, lockByName } from '../registry/transaction-limits.ts';
import {
  beginAttempt,
  endRotation,
  enterPhase,
  findRotation,
  insertRotation,
  SWITCH,
  selectCredentialRotations,
} from './credential-records.ts';
import { type CredentialTarget, lockSubject, subjectNameOf } from './credential-subject.ts';
import { CredentialRotationNotStarted, CredentialRotationOvertaken } from './errors.ts';
import { readRotationInput } from './rotation-input.ts';

export interface RequestCredentialRotationOptions {
  readonly actor: AuditActor;
  /** Key of the region. */
  readonly region: string;
  /** ARN of `credential-rotation` there. */
  readonly stateMachineArn: string;
  /** Calls `StartExecution` of it. */
  readonly start: (name: string, input: object) => Promise<void>;
  /** The old password, and the sessions that have used it, end as soon as another one can be used. */
  readonly isImmediate?: boolean;
  /** For a request that the client may repeat. */
  readonly once?: RepeatableRequest | undefined;
}

/**
 * Requests a rotation.
 * @returns its id.
 * @throws {InvalidCredentialInput | NotRotatable | CredentialsInUse | CredentialRotationRunning} nothing was changed.
 * @throws {CredentialRotationNotStarted} it is recorded as failed, unless an earlier request recorded it.
 */
export async function requestCredentialRotation(
  registry: Pick<DataApi, 'transaction' | 'query'>,
  target: CredentialTarget,
  options: RequestCredentialRotationOptions,
): Promise<string> {
  const { actor, region, stateMachineArn, start, isImmediate = false, once } = options;
  const hastened = isImmediate && (await hasten(registry, target, options));
  if (hastened) return hastened;
  const newId = randomUUID();
  return recordAndStart(registry, once, {
    newId,
    // A repeated request must find its first record, although that one forbids another rotation.
    lock: (transaction) => lockByName(transaction, lockOf(target)),
    find: findRotation,
    record: async (transaction) => {
      const subject = await lockSubject(transaction, target);
      const executionArn = executionArnOf(stateMachineArn, nameOf(newId));
      await insertRotation(
        transaction,
        {
          rotationId: newId,
          subject,
          region,
          isImmediate,
          executionArn,
          startedBy: actor.id,
          phase: 'planned',
        },
        actor,
      );
    },
    start: (rotationId) => start(nameOf(rotationId), { rotationId }),
    notStarted: (options) => new CredentialRotationNotStarted(options),
    giveUp: async (transaction, reason) => {
      await endRotation(
        transaction,
        { rotationId: newId, tenantId: null },
        { status: 'failed', reason },
        actor,
      );
    },
  });
}

/** Phases in which the old password still works. */
const OLD_WORKS = [
  'planned',
  'begun',
  'prepare',
  'create-stand-in',
  'register',
  'verify-stand-in',
  SWITCH,
  'lend',
];

/**
 * For a leaked password while its rotation runs already and takes its time: the rotation goes on without the first overlap,
 * in another execution. The former one finds out at its next phase.
 * @returns its id; undefined where there is nothing to hasten.
 * @throws {CredentialRotationNotStarted} the schedule will start the execution.
 */
async function hasten(
  registry: Pick<DataApi, 'transaction'>,
  target: CredentialTarget,
  { actor, stateMachineArn, start, once }: RequestCredentialRotationOptions,
): Promise<string | undefined> {
  const hastened = await registry.transaction(async (transaction) => {
    await boundTransaction(transaction);
    await lockByName(transaction, lockOf(target));
    if (await once?.find(transaction)) return undefined;
    const [running] = await selectCredentialRotations(transaction, (all) =>
      all.where('c.subject', '=', subjectNameOf(target)).where('c.status', '=', 'running'),
    );
    if (!running || running.isImmediate || !OLD_WORKS.includes(running.phase)) return undefined;
    const name = nameOf(running.rotationId, running.attempt + 1);
    const executionArn = executionArnOf(stateMachineArn, name);
    if (!(await beginAttempt(transaction, running, executionArn, { isImmediate: true }))) return undefined;
    await recordAudit(transaction, {
      actor,
      action: 'credentials.hasten',
      tenantId: running.tenantId,
      resource: { type: 'credential_rotation', id: running.rotationId },
      data: { subject: running.subject },
    });
    await once?.keep(transaction, running.rotationId);
    return { name, rotationId: running.rotationId };
  });
  if (!hastened) return undefined;
  const { name, rotationId } = hastened;
  try {
    await start(name, { rotationId });
  } catch (cause) {
    throw new CredentialRotationNotStarted({ cause });
  }
  return rotationId;
}

const lockOf = (target: CredentialTarget): string => `credentials ${subjectNameOf(target)}`;

/** The name of the execution of an attempt. */
export const nameOf = (rotationId: string, attempt = 1): string =>
  `credentials-${rotationId}${attempt === 1 ? '' : `-${attempt}`}`;

/** What an execution works on. */
export interface BegunRotation {
  readonly rotationId: string;
  /** Which phases it has. */
  readonly route: 'stand-in' | 'owner' | 'registry';
  readonly isImmediate: boolean;
}

/**
 * The first phase of an execution: takes up the rotation that was recorded under its name, or records one.
 * @throws {InvalidCredentialInput | NotRotatable | CredentialsInUse | CredentialRotationRunning} nothing was changed.
 * @throws {CredentialRotationOvertaken}
 */
export async function beginRotation(
  registry: Pick<DataApi, 'transaction' | 'query'>,
  given: unknown,
  { executionArn, region }: { readonly executionArn: string; readonly region: string },
): Promise<BegunRotation> {
  const { target, isImmediate, startedBy } = readRotationInput(given);
  return registry.transaction(async (transaction) => {
    await boundTransaction(transaction);
    const [own] = await selectCredentialRotations(transaction, (all) =>
      all.where('c.execution_arn', '=', executionArn),
    );
    if (own) {
      await enterPhase(
        transaction,
        own.rotationId,
        executionArn,
        own.phase === 'planned' ? 'begun' : own.phase,
      );
      return { rotationId: own.rotationId, route: routeOf(own.kind), isImmediate: own.isImmediate };
    }
    if (!target) throw new CredentialRotationOvertaken();
    const rotationId = randomUUID();
    const subject = await lockSubject(transaction, target);
    await insertRotation(
      transaction,
      {
        rotationId,
        subject,
        region,
        isImmediate,
        executionArn,
        startedBy: startedBy ?? executionArn,
        phase: 'begun',
      },
      { id: executionArn, type: 'workflow' },
    );
    return { rotationId, route: routeOf(subject.kind), isImmediate };
  });
}

const routeOf = (kind: 'tenant' | 'starter' | 'owner' | 'registry') =>
  kind === 'owner' || kind === 'registry' ? kind : 'stand-in';
