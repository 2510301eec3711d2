import { OPERATOR_SCOPE } from '../../functions/contracts/names.ts';
import { CommandError } from './errors.ts';
import type { Settings } from './settings.ts';
import { signLocally } from './sign-locally.ts';

/**
 * An operator's token: the one given, else one signed with the key of the local platform.
 * @throws {CommandError} when there is neither
 */
export async function operatorToken(settings: Settings): Promise<string> {
  if (settings.token) return settings.token;
  if (!settings.local) throw new CommandError('STRATA_TOKEN is not set: give it an operator’s token');
  return signLocally(settings, { email: 'operator@strata.test', scope: OPERATOR_SCOPE });
}
