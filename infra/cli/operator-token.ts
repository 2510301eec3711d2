import { CommandError } from './errors.ts';
import type { Settings } from './settings.ts';

/**
 * An operator's token: the one given, else one signed with the key of the local platform.
 * @throws {CommandError} when there is neither
 */
export async function operatorToken({ token, local, stateDir }: Settings): Promise<string> {
  if (token) return token;
  if (!local) throw new CommandError('STRATA_TOKEN is not set: give it an operator’s token');
  // Only here, so that a command with a token of its own loads nothing of the local platform.
  const { readIdentity } = await import('../local/identity/read-identity.ts');
  const identity = readIdentity(stateDir);
  if (!identity) {
    throw new CommandError(
      `no platform has been started in ${stateDir}: run npm start, or set STRATA_DIR or STRATA_TOKEN`,
    );
  }
  const { signToken } = await import('../local/identity/sign-token.ts');
  return signToken(identity, { email: 'operator@strata.test', scope: 'strata/operator' });
}
