import { randomUUID } from 'node:crypto';
import { executionArnOf } from '../aws/executions.ts';
import type { AuditActor } from '../registry/audit-log.ts';
import type { RepeatableRequest } from '../registry/control-idempotency.ts';
import type { DataApi } from '../registry/data-api.ts';
import { recordAndStart } from '../registry/record-and-start.ts';
import { boundTransaction, lockByName } from '../registry/transaction-limits.ts';
import {
  endRotation,
  enterPhase,
  findRotation,
  insertRotation,
  selectCredentialRotations,
} from './credential-records.ts';
import { type CredentialTarget, lockSubject } from './credential-subject.ts';
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
  { actor, region, stateMachineArn, start, isImmediate = false, once }: RequestCredentialRotationOptions,
): Promise<string> {
  const newId = randomUUID();
  return recordAndStart(registry, once, {
    newId,
    // A repeated request must find its first record, although that one forbids another rotation.
    lock: (transaction) => lockByName(transaction, `credentials ${JSON.stringify(target)}`),
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
