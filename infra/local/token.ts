/**
 * `npm run --silent token -- --tenant SLUG --user EMAIL [--role admin|member|viewer]`
 * `npm run --silent token -- --operator [--user EMAIL]`
 *
 * Prints one JWT for the running platform and nothing else; on any error one line on stderr, and exit code 1. A
 * tenant's token is signed as the user pool of the tenant's region, an operator's as home's.
 */
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { PlatformError, reasonOf } from './errors.ts';
import { identityFor, readIdentity } from './identity/read-identity.ts';
import { signToken } from './identity/sign-token.ts';

const usage = 'usage: token --tenant SLUG --user EMAIL [--role admin|member|viewer] | token --operator';
const operatorScope = 'strata/operator';
const operatorEmail = 'operator@strata.test';

try {
  console.log(await token(process.argv.slice(2)));
} catch (cause) {
  console.error(reasonOf(cause));
  process.exitCode = 1;
}

async function token(argv: string[]): Promise<string> {
  const options = readOptions(argv);
  const stateDir = resolve(process.env.STRATA_DIR || '.strata');
  const identity = readIdentity(stateDir);
  if (!identity) {
    throw new PlatformError(`no platform has been started in ${stateDir}: run npm start, or set STRATA_DIR`);
  }
  const operatorToken = await signToken(identity, {
    email: options.user ?? operatorEmail,
    scope: operatorScope,
  });
  const path = options.operator ? '/health' : `/tenants/${encodeURIComponent(options.tenant!)}`;
  const { status, body } = await askPlatform(path, operatorToken);
  if (options.operator) return operatorToken;
  if (status === 404) throw new PlatformError(`there is no tenant ${options.tenant}`);
  const { tenantId, apiUrl } = body as { tenantId?: string; apiUrl?: string };
  if (status !== 200 || !tenantId)
    throw new PlatformError(`cannot look up tenant ${options.tenant}: HTTP ${status}`);
  return signToken(identityFor(identity, apiUrl), {
    email: options.user!,
    tenantId,
    // The registry's role decides, so the claim grants nothing.
    role: options.role ?? 'admin',
    scope: 'aws.cognito.signin.user.admin',
  });
}

function readOptions(argv: string[]) {
  let values: { tenant?: string; user?: string; role?: string; operator?: boolean };
  try {
    ({ values } = parseArgs({
      args: argv,
      options: {
        tenant: { type: 'string' },
        user: { type: 'string' },
        role: { type: 'string' },
        operator: { type: 'boolean' },
      },
    }));
  } catch (cause) {
    throw new PlatformError(`${reasonOf(cause)}; ${usage}`);
  }
  if (values.operator ? values.tenant || values.role : !values.tenant || !values.user)
    throw new PlatformError(usage);
  if (values.role && !['admin', 'member', 'viewer'].includes(values.role)) throw new PlatformError(usage);
  return values;
}

async function askPlatform(path: string, bearer: string): Promise<{ status: number; body: unknown }> {
  const port = process.env.API_PORT || '3000';
  try {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, {
      headers: { authorization: `Bearer ${bearer}` },
      signal: AbortSignal.timeout(35_000),
    });
    const text = await response.text();
    if (response.status === 401) {
      throw new PlatformError(
        `what answers on port ${port} does not know this key: set API_PORT and STRATA_DIR alike`,
      );
    }
    return { status: response.status, body: text.startsWith('{') ? JSON.parse(text) : {} };
  } catch (cause) {
    if (cause instanceof PlatformError) throw cause;
    throw new PlatformError(`no platform answers on port ${port}: run npm start, or set API_PORT`);
  }
}
