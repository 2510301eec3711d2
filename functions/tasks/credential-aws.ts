/**
 * The phases of `credential-rotation` that use AWS's APIs outside of the network: secrets of stand-ins, and proxies. They reach
 * no database and can read no permanent password.
 */
import { type SecretsEnvironment, variable } from '../contracts/environments.ts';
import { discardStandIn, prepareStandIn, registerStandIn } from '../credentials/stand-in-credentials.ts';
import { credentialTask, rotationPhase } from './credential-task.ts';

/** Makes the secret of the stand-in. */
const prepare = rotationPhase('prepare', (registry, rotation) =>
  prepareStandIn(registry, rotation, { kmsKeyArn: variable<SecretsEnvironment>('SECRETS_KMS_KEY_ARN') }),
);

/** Makes the proxy accept the stand-in. */
const register = rotationPhase('register', registerStandIn);

/** Deletes the stand-in's secret, which the proxy no longer accepts. */
const discard = rotationPhase('discard', discardStandIn);
/** The same of a rotation that is taken back: it stays one that can be taken back. */
const takeBack = rotationPhase('prepare', discardStandIn);

export const phases = { prepare, register, discard, takeBack };
export const handler = credentialTask(phases);
