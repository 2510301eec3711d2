import { createHmac, randomBytes } from 'node:crypto';
import type { AccessKey, Principals, StateFile } from './model.ts';

/**
 * One access key per role, derived from a secret of the state directory. It is the same after a restart, so that a
 * function's open requests are never treated as an administrator's.
 */
export function localPrincipals(state: StateFile): Principals {
  const seed = state.load<{ seed?: string }>('principals', {}).seed ?? randomBytes(32).toString('hex');
  state.save('principals', { seed });
  const roles = new Map<string, string>();
  const derive = (purpose: string, roleArn: string) =>
    createHmac('sha256', seed).update(`${purpose} ${roleArn}`).digest('hex');
  return {
    byAccessKey(accessKeyId) {
      const roleArn = roles.get(accessKeyId);
      return roleArn ? { roleArn } : 'administrator';
    },
    accessKeyFor(roleArn): AccessKey {
      const accessKeyId = `ASIA${derive('id', roleArn).slice(0, 16).toUpperCase()}`;
      roles.set(accessKeyId, roleArn);
      return { accessKeyId, secretAccessKey: derive('secret', roleArn) };
    },
  };
}
