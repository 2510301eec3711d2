import { resolve } from 'node:path';
import { UsageError } from './errors.ts';

/** Settings of the command line from the environment. */
export interface Settings {
  /** Without a slash at the end. */
  apiUrl: string;
  /** True when the API is on this machine. */
  local: boolean;
  token: string | undefined;
  /** State directory of the local platform. */
  stateDir: string;
  /** undefined for AWS itself. */
  awsEndpoint: string | undefined;
  /** AWS region to work in; undefined for all of the local platform's, or for the SDK's default. */
  region: string | undefined;
}

/** @throws {UsageError} when STRATA_API_URL is no URL */
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
    awsEndpoint:
      environment.AWS_ENDPOINT_URL ||
      (local ? `http://localhost:${environment.AWS_PORT || 4566}` : undefined),
    region: environment.AWS_REGION || environment.AWS_DEFAULT_REGION || undefined,
  };
}
