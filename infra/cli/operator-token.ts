import { readIdentity } from '../local/identity/read-identity.ts';
import { signToken } from '../local/identity/sign-token.ts';
import { CommandError } from './errors.ts';
import type { Settings } from './settings.ts';

/**
 * An operator's token: the one given, else one signed with the key of the local platform.
 * @throws {CommandError} when there is neither
 */
export async function operatorToken({ token, local, stateDir }: Settings): Promise<string> {
  if (token) return token;
  if (!local) throw new CommandError('STRATA_TOKEN is not set: give it an operator’s token');
  const identity = readIdentity(stateDir);
  if (!identity) {
    throw new CommandError(
      `no platform has been started in ${stateDir}: run npm start, or set STRATA_DIR or STRATA_TOKEN`,
    );
  }
  return signToken(identity, { email: 'operator@strata.test', scope: 'strata/operator' });
}
