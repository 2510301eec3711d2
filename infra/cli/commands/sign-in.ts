import { spawn } from 'node:child_process';
import { OPERATOR_SCOPE } from '../../../functions/contracts/names.ts';
import { ApiClient, ApiError, bodyOf } from '../api-client.ts';
import type { Command } from '../command.ts';
import { CommandError, UsageError } from '../errors.ts';
import type { Settings } from '../settings.ts';
import { shownText } from '../shown-text.ts';
import { callerToken } from '../sign-in/caller-token.ts';
import type { SignInSettings } from '../sign-in/open-id.ts';
import { type StoredSignIn, StoredSignIns } from '../sign-in/stored-sign-ins.ts';
import { claimsOf } from '../sign-in/token-claims.ts';
import { minute } from '../table.ts';

export const login: Command = {
  name: 'login',
  words: '',
  options: { tenant: 'SLUG', issuer: 'URL', 'client-id': 'ID' },
  flags: ['no-browser'],
  summary: 'signs in on the page of the user pool; --tenant chooses one of your tenants',
  async run({ options, flags }, { screen, settings }) {
    const { signIn, refreshed } = await import('../sign-in/open-id.ts');
    const signIns = new StoredSignIns(settings.configDir);
    const where = await signInSettings(settings, options.get('issuer'), options.get('client-id'));
    let signedIn = await signIn(where, (page) => {
      screen.line('Sign in on this page:');
      screen.line(page.href);
      if (!flags.has('no-browser') && screen.live) openInBrowser(page.href);
    });
    signIns.save(settings.apiUrl, signedIn);
    const tenant = options.get('tenant');
    if (tenant !== undefined) {
      await choose(settings, signedIn, tenant);
      // The choice is in the next token.
      signedIn = await refreshed(signedIn);
      signIns.save(settings.apiUrl, signedIn);
    }
    for (const line of await describe(settings, signedIn.accessToken)) screen.line(line);
    return true;
  },
};

export const logout: Command = {
  name: 'logout',
  words: '',
  summary: 'ends the sign-in at this API',
  async run(_given, { screen, settings }) {
    const signIns = new StoredSignIns(settings.configDir);
    const signedIn = signIns.find(settings.apiUrl);
    if (!signedIn) {
      screen.line(`you are not signed in at ${settings.apiUrl}`);
      return true;
    }
    // First of all here: whatever the issuer answers, this machine has no token any more.
    signIns.remove(settings.apiUrl);
    const { revoke } = await import('../sign-in/open-id.ts');
    await revoke(signedIn);
    screen.line(`signed out of ${settings.apiUrl}`);
    return true;
  },
};

export const token: Command = {
  name: 'token',
  words: '',
  summary: 'the access token of the sign-in and nothing else, for other programs',
  async run(_given, { screen, settings }) {
    screen.line(await callerToken(settings));
    return true;
  },
};

export const whoami: Command = {
  name: 'whoami',
  words: '',
  summary: 'who you are at this API, and until when',
  async run(_given, { screen, settings }) {
    for (const line of await describe(settings, await callerToken(settings))) screen.line(line);
    return true;
  },
};

/**
 * The issuer and the client: the given ones, those of the last sign-in at this API, or the local platform's.
 * @throws {UsageError} there are none.
 */
async function signInSettings(
  settings: Settings,
  issuer: string | undefined,
  clientId: string | undefined,
): Promise<SignInSettings> {
  const known = (await knownSettings(settings)) ?? {};
  const found = { ...known, ...(issuer ? { issuer } : {}), ...(clientId ? { clientId } : {}) };
  if (!found.issuer || !found.clientId) {
    throw new UsageError(
      'give --issuer and --client-id: the outputs SignInIssuer and CommandLineClientId of the control plane’s stack',
    );
  }
  if (!/^https:\/\/[^/]|^http:\/\/(?:127\.0\.0\.1|localhost|\[::1\])[:/]/.test(found.issuer)) {
    throw new UsageError(`--issuer is "${found.issuer}", expected an https URL`);
  }
  return { issuer: found.issuer, clientId: found.clientId };
}

async function knownSettings(settings: Settings): Promise<Partial<SignInSettings> | undefined> {
  if (settings.local) {
    const { readIdentity, signInFor } = await import('../../local/index.ts');
    const identity = readIdentity(settings.stateDir);
    const local = identity && signInFor(identity, settings.apiUrl);
    if (local) return local;
  }
  return new StoredSignIns(settings.configDir).find(settings.apiUrl);
}

/** @throws {CommandError} the person is no active user of the tenant. */
async function choose({ apiUrl }: Settings, { accessToken }: StoredSignIn, tenant: string): Promise<void> {
  try {
    await new ApiClient(apiUrl, accessToken).operations.PUT('/me/tenant', { body: { tenant } });
  } catch (cause) {
    if (!(cause instanceof ApiError) || cause.status !== 403) throw cause;
    throw new CommandError(`you are signed in, but you are no active user of ${shownText(tenant)}`);
  }
}

/** Who the token is, and until when. */
async function describe({ apiUrl }: Settings, token: string): Promise<string[]> {
  const { email, sub, scope, exp, tenant_id: tenantId } = claimsOf(token);
  const name = shownText(email ?? sub ?? 'nobody');
  const until = exp === undefined ? '' : `, token valid until ${minute(new Date(exp * 1000).toISOString())}`;
  if (scope?.split(' ').includes(OPERATOR_SCOPE)) return [`${name}, operator at ${apiUrl}${until}`];
  const api = new ApiClient(apiUrl, token);
  if (tenantId !== undefined) {
    const { tenant, role } = await bodyOf(api.operations.GET('/me'));
    return [`${name}, ${role} of ${shownText(tenant.slug)} at ${apiUrl}${until}`];
  }
  const { items } = email === undefined ? { items: [] } : await bodyOf(api.operations.GET('/me/tenants'));
  if (items.length === 0) return [`${name}, of no tenant at ${apiUrl}${until}`];
  return [
    `${name}, at ${apiUrl}${until}`,
    'choose a tenant with: strata login --tenant SLUG',
    ...items.map(({ slug, role }) => `  ${shownText(slug)}  ${role}`),
  ];
}

/** Best effort: the address is on the screen. */
function openInBrowser(url: string): void {
  const [command, ...words] =
    process.platform === 'darwin'
      ? ['open', url]
      : process.platform === 'win32'
        ? ['rundll32', 'url.dll,FileProtocolHandler', url]
        : ['xdg-open', url];
  const opener = spawn(command as string, words, { stdio: 'ignore', detached: true });
  opener.on('error', () => {});
  opener.unref();
}
