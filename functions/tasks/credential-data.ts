/** The phases of `credential-rotation` that sign in to data databases, inside the network. */
import {
  createStandInRole,
  dropStandInRole,
  renewRole,
  verifyRole,
  verifyStandIn,
} from '../credentials/login-roles.ts';
import { renewSecret as addPassword } from '../credentials/stand-in-credentials.ts';
import { credentialTask, rotationPhase } from './credential-task.ts';

const create = rotationPhase('create-stand-in', createStandInRole);

/** Signs in as the stand-in and reads a tenant's data, as requests will. */
const verifyOther = rotationPhase('verify-stand-in', verifyStandIn);

/** Gives the role's secret another password. Here, because the secret is read for it, which no function outside may do. */
const renewSecret = rotationPhase('renew-secret', addPassword);

/** Gives the role the password of its secret. The old one ends here. */
const renew = rotationPhase('renew', renewRole);

/** The same as a request with the role's new password. */
const verify = rotationPhase('verify', verifyRole);

/** Drops the stand-in, unless its sessions still work. */
const drop = rotationPhase('drop-stand-in', (registry, rotation) =>
  dropStandInRole(registry, rotation, { always: false }),
);
const dropAnyway = rotationPhase('drop-stand-in', (registry, rotation) =>
  dropStandInRole(registry, rotation, { always: true }),
);
/** Drops the stand-in of a rotation that is taken back. Requests never used it. */
const takeBack = rotationPhase('prepare', (registry, rotation) =>
  dropStandInRole(registry, rotation, { always: true }),
);

export const phases = { create, verifyOther, renewSecret, renew, verify, drop, dropAnyway, takeBack };
export const handler = credentialTask(phases);
