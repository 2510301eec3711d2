import { execFile } from 'node:child_process';
import { resolve } from 'node:path';
import { promisify } from 'node:util';
import { inject, vi } from 'vitest';

/**
 * How often a test asks whether a workflow has ended, in ms. One platform serves all files, and each question takes 10 ms
 * of a processor that the workflow needs.
 */
export const ASK_EVERY_MS = 250;

/** Where the platform that the whole run shares answers. */
export interface RunningPlatform {
  readonly apiUrl: string;
  readonly awsUrl: string;
  readonly stateDir: string;
}

declare module 'vitest' {
  interface ProvidedContext {
    platform: RunningPlatform;
  }
}

export const PROJECT = resolve(import.meta.dirname, '../..');
const run = promisify(execFile);
const tokens = new Map<string, Promise<string>>();

export function platform(): RunningPlatform {
  return inject('platform');
}

/** A token as `npm run token` prints it, remembered per arguments. */
export function token(...args: string[]): Promise<string> {
  const key = args.join(' ');
  let known = tokens.get(key);
  if (!known) {
    const { apiUrl, awsUrl, stateDir } = platform();
    const environment = {
      ...process.env,
      API_PORT: new URL(apiUrl).port,
      AWS_PORT: new URL(awsUrl).port,
      STRATA_DIR: stateDir,
    };
    known = run(process.execPath, ['infra/local/token.ts', ...args], { cwd: PROJECT, env: environment }).then(
      ({ stdout }) => stdout.trim(),
    );
    tokens.set(key, known);
  }
  return known;
}

export const operatorToken = (): Promise<string> => token('--operator');
export const userToken = (slug: string, role: 'admin' | 'member' | 'viewer' = 'admin'): Promise<string> =>
  token('--tenant', slug, '--user', `${role}@${slug}.test`);

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers of any shape.
  readonly body: any;
}

export interface Call {
  readonly token?: string;
  readonly body?: unknown;
  /** Sent as it is, instead of `body` as JSON. */
  readonly raw?: string;
  readonly headers?: Record<string, string>;
}

/** One HTTP request to the API, over the wire. */
export async function call(
  method: string,
  path: string,
  { token: bearer, body, raw, headers }: Call = {},
): Promise<Answer> {
  const payload = raw ?? (body === undefined ? undefined : JSON.stringify(body));
  const response = await fetch(`${platform().apiUrl}${path}`, {
    method,
    redirect: 'manual',
    headers: {
      ...(bearer ? { authorization: `Bearer ${bearer}` } : {}),
      ...(payload === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(payload === undefined ? {} : { body: payload }),
  });
  const text = await response.text();
  return {
    status: response.status,
    headers: response.headers,
    body: text === '' ? undefined : JSON.parse(text),
  };
}

/**
 * A Starter tenant that no other test file touches, with the users that demo tenants have.
 * @param fields what else, or else, to onboard it with.
 */
export async function onboardOwnTenant(fields: object = {}): Promise<string> {
  const operator = await operatorToken();
  const slug = unique('own');
  const body = { name: `Tenant ${slug}`, slug, adminEmail: `admin@${slug}.test`, ...fields };
  const posted = await call('POST', '/tenants', { token: operator, body });
  const path = String(posted.headers.get('location'));
  await vi.waitUntil(async () => (await call('GET', path, { token: operator })).body.status === 'active', {
    timeout: 30_000,
    interval: ASK_EVERY_MS,
  });
  const viewer = { email: `viewer@${slug}.test`, role: 'viewer' };
  await call('POST', `${path}/users`, { token: operator, body: viewer });
  await call('PATCH', path, { token: operator, body: UNLIMITED });
  return slug;
}

/** Tests send more requests per second than tenants may. */
export const UNLIMITED = { requestRate: 100_000, requestBurst: 100_000 };

let counter = 0;
/** A name that no other test uses. */
export function unique(prefix: string): string {
  counter += 1;
  return `${prefix}-${process.pid.toString(36)}${Date.now().toString(36)}${counter}`;
}

export function newEmployee(fields: Record<string, unknown> = {}): Record<string, unknown> {
  return { email: `${unique('e')}@example.test`, firstName: 'Ada', lastName: 'Lovelace', ...fields };
}
