import { OPERATOR_SCOPE } from '../../functions/contracts/names.ts';
import type { TokenSubject } from '../local/index.ts';
import { CommandError } from './errors.ts';
import type { Settings } from './settings.ts';

/**
 * An operator's token: the one given, else one signed with the key of the local platform.
 * @throws {CommandError} when there is neither
 */
export async function operatorToken(settings: Settings): Promise<string> {
  if (settings.token) return settings.token;
  if (!settings.local) throw new CommandError('STRATA_TOKEN is not set: give it an operator’s token');
  return signLocally(settings, { email: 'operator@strata.test', scope: OPERATOR_SCOPE });
}

/**
 * A token of anybody, signed with the key of the local platform.
 * @throws {CommandError} when no platform was ever started in the state directory
 */
export async function signLocally({ stateDir }: Settings, subject: TokenSubject): Promise<string> {
  // Only here, so that a command with a token of its own loads nothing of the local platform.
  const { readIdentity } = await import('../local/index.ts');
  const identity = readIdentity(stateDir);
  if (!identity) {
    throw new CommandError(
      `no platform has been started in ${stateDir}: run npm start, or set STRATA_DIR or STRATA_TOKEN`,
    );
  }
  const { signToken } = await import('../local/index.ts');
  return signToken(identity, subject);
}
