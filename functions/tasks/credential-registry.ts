/**
 * The phases of `credential-rotation` that only change the registry, among them the rotation of its own roles; and the
 * schedule. It signs in to no data database.
 */
import * as z from 'zod';
import { reasonOfFailure } from '../aws/caught-error.ts';
import { executionStatus, startExecution } from '../aws/executions.ts';
import { logger } from '../aws/logger.ts';
import { secretArnOf } from '../aws/secrets.ts';
import { type CredentialRegistryEnvironment, variable } from '../contracts/environments.ts';
import {
  type CredentialRotation,
  canBeTakenBack,
  endRotation,
  findRotation,
  SWITCH,
} from '../credentials/credential-records.ts';
import { runDueRotations } from '../credentials/due-rotations.ts';
import * as errors from '../credentials/errors.ts';
import { endRegistryStandIns, lendRegistryRoles, renewRegistryRoles } from '../credentials/registry-roles.ts';
import { beginRotation } from '../credentials/request-credential-rotation.ts';
import { switchSecret } from '../credentials/switch-secret.ts';
import * as placeErrors from '../places/errors.ts';
import { findPlace } from '../places/place.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { credentialTask, rotationPhase } from './credential-task.ts';
import { phase } from './workflow-task.ts';

const executionArn = z.string().min(1);
const setting = (name: keyof CredentialRegistryEnvironment & string) =>
  variable<CredentialRegistryEnvironment>(name);

/** Takes up the rotation of a request, or records one. */
const begin = phase(z.object({ executionArn, input: z.unknown() }), (state, { registry }) =>
  beginRotation(registry, state.input, { executionArn: state.executionArn, region: setting('REGION_KEY') }),
);

/** From now on requests use the stand-in. */
const switchOver = rotationPhase(SWITCH, (registry, rotation) =>
  switchSecret(registry, rotation, 'stand-in'),
);

/** From now on requests use the role again, with its new password. */
const switchBack = rotationPhase('switch-back', (registry, rotation) =>
  switchSecret(registry, rotation, 'role'),
);

const master = () => ({
  clusterArn: setting('REGISTRY_CLUSTER_ARN'),
  masterSecretArn: setting('REGISTRY_MASTER_SECRET_ARN'),
});
const findSecret = (name: string) => secretArnOf(name, undefined);

const lendRoles = rotationPhase('lend', (_registry, rotation) =>
  lendRegistryRoles(rotation, master(), findSecret),
);
const renewRoles = rotationPhase('renew', (_registry, rotation) =>
  renewRegistryRoles(rotation, master(), findSecret),
);
const endStandIns = rotationPhase('drop-stand-in', (_registry, rotation) =>
  endRegistryStandIns(rotation, master()),
);

const end = rotationPhase('end', (registry, rotation) =>
  registry.transaction((transaction) =>
    endRotation(
      transaction,
      rotation,
      { status: 'succeeded' },
      { id: rotation.executionArn ?? '', type: 'workflow' },
    ),
  ),
);

const failed = z.object({
  executionArn,
  rotation: z.object({ rotationId: z.uuid() }),
  failure: z.object({ Error: z.string(), Cause: z.string().optional() }),
});

/** The tenant of a rotation may have been offboarded. */
async function isGone(registry: RegistryExecutor, { tenantId }: CredentialRotation): Promise<boolean> {
  return tenantId !== null && (await findPlace(registry, tenantId)) === undefined;
}

/** After a failure: whether the rotation is to be taken back. Otherwise the schedule continues it. */
const judge = phase(failed, async ({ executionArn: arn, rotation: { rotationId } }, { registry }) => {
  const rotation = await findRotation(registry, rotationId);
  const isOurs = rotation?.status === 'running' && rotation.executionArn === arn;
  return { takesBack: isOurs && (canBeTakenBack(rotation) || (await isGone(registry, rotation))) };
});

/** Ends a rotation that was taken back. */
const fail = phase(failed, async ({ executionArn: arn, rotation: { rotationId }, failure }, { registry }) => {
  const rotation = await findRotation(registry, rotationId);
  if (rotation?.executionArn !== arn) return { reason: null };
  const reason = reasonOfFailure(failure, {
    what: 'rotation',
    vouched: { ...errors, ...placeErrors },
    fallback: 'The rotation failed. Its log has the reason.',
  });
  await registry.transaction((transaction) =>
    endRotation(transaction, rotation, { status: 'failed', reason }, { id: arn, type: 'workflow' }),
  );
  return { reason };
});

const policy = z.object({
  tenantDays: z.number().int().positive(),
  cellDays: z.number().int().positive(),
  ownerDays: z.number().int().positive(),
  registryDays: z.number().int().positive(),
});

/** The schedule sends `{}`. An operator may give other ages, in days, such as `{ "tenantDays": 1 }`. */
const due = phase(policy.partial(), async (overridden, { registry }) => {
  const stateMachineArn = setting('CREDENTIALS_STATE_MACHINE_ARN');
  const failures: unknown[] = [];
  const done = await runDueRotations(registry, {
    region: setting('REGION_KEY'),
    policy: policy.parse({ ...JSON.parse(setting('CREDENTIALS_POLICY')), ...overridden }),
    stateMachineArn,
    start: (name, input) => startExecution(stateMachineArn, name, input),
    statusOf: executionStatus,
    onFailure: (subject, error) => {
      failures.push(error);
      logger.error('a rotation was neither begun nor continued', { subject, error: error as Error });
    },
  });
  if (failures.length > 0) throw new errors.DueRotationsFailed(failures.length, { cause: failures[0] });
  return done;
});

export const phases = {
  begin,
  switchOver,
  switchBack,
  lendRoles,
  renewRoles,
  endStandIns,
  end,
  judge,
  fail,
  due,
};
export const handler = credentialTask(phases, 'due');
