import { resolve } from 'node:path';
import { OPERATOR_SCOPE } from '../../functions/contracts/names.ts';
import type { TokenSubject } from '../local/index.ts';
import { CommandError, UsageError } from './errors.ts';
import { configDirectory } from './sign-in/stored-sign-ins.ts';

/** Settings of the command line from the environment. */
export interface Settings {
  /** Without a slash at the end. */
  apiUrl: string;
  /** True when the API is on this machine. */
  local: boolean;
  token: string | undefined;
  /** State directory of the local platform. */
  stateDir: string;
  /** Has the sign-ins of this user. */
  configDir: string;
  /** undefined for AWS itself. */
  awsEndpoint: string | undefined;
  /** AWS region to work in; undefined for all of the local platform's, or for the SDK's default. */
  region: string | undefined;
}

/** @throws {UsageError} when STRATA_API_URL is not a URL */
export function readSettings(environment: NodeJS.ProcessEnv): Settings {
  const text = environment.STRATA_API_URL || `http://localhost:${environment.API_PORT || 3000}`;
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new UsageError(`STRATA_API_URL is "${text}", expected a URL`);
  }
  const local = /^(localhost|127\.0\.0\.1|\[::1\]|.*\.localhost)$/.test(url.hostname);
  return {
    apiUrl: text.replace(/\/+$/, ''),
    local,
    token: environment.STRATA_TOKEN || undefined,
    stateDir: resolve(environment.STRATA_DIR || '.strata'),
    configDir: resolve(configDirectory(environment)),
    awsEndpoint:
      environment.AWS_ENDPOINT_URL ||
      (local ? `http://localhost:${environment.AWS_PORT || 4566}` : undefined),
    region: environment.AWS_REGION || environment.AWS_DEFAULT_REGION || undefined,
  };
}

/**
 * An operator's token: the given one, or one signed with the key of the local platform.
 * @throws {CommandError} when there is neither
 */
export async function operatorToken(settings: Settings): Promise<string> {
  if (settings.token) return settings.token;
  if (!settings.local) throw new CommandError('STRATA_TOKEN is not set: give it an operator’s token');
  return signLocally(settings, { email: 'operator@strata.test', scope: OPERATOR_SCOPE });
}

/**
 * A token of any user, signed with the key of the local platform.
 * @throws {CommandError} when no platform was ever started in the state directory
 */
export async function signLocally({ stateDir }: Settings, subject: TokenSubject): Promise<string> {
  // Loaded here, so that a command with a given token loads nothing of the local platform.
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
