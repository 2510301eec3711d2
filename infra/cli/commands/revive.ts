/**
 * Brings tenants back whose rows are lost, after `reconcile --register-lost`: each is onboarded with the input of its
 * record, and then restored from its latest backup. A tenant that is on its way already is followed from where it is, so
 * the command may be stopped anywhere and started again.
 */
import { type ApiClient, ApiError, bodyOf, restorePath, type Schemas, tenantPath } from '../api-client.ts';
import type { Command } from '../command.ts';
import { CommandError } from '../errors.ts';
import { patiently, pollPause } from '../polling.ts';
import type { Screen } from '../screen.ts';
import { counted, shownText } from '../shown-text.ts';

type Tenant = Schemas['Tenant'];

/** Tenants that are worked on beside one another: launches of databases and restores share quotas and cells. */
const AT_ONCE = 4;

export const revive: Command = {
  name: 'revive',
  words: '[SLUG]',
  summary:
    'onboards tenants whose rows are lost again, and restores their latest backups; without SLUG all that are registered',
  async run({ words: [slug] }, { api, screen }) {
    const client = await api();
    const known = slug ? [await client.get<Tenant>(tenantPath(slug))] : await client.all('/tenants');
    const lost = known.filter(({ restoreFrom }) => restoreFrom !== undefined);
    if (lost.length === 0) {
      screen.line(slug ? `${slug} has its rows` : 'all tenants have their rows');
      return true;
    }
    const left = [...lost];
    let revived = 0;
    const work = async () => {
      for (let tenant = left.shift(); tenant; tenant = left.shift()) {
        if (await reviveTenant(client, screen, tenant)) revived += 1;
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    if (lost.length > 1) {
      screen.line(`${revived} of ${counted(lost.length, 'tenant')} brought back`);
      if (revived < lost.length) screen.line('run it again for the others');
    }
    return revived === lost.length;
  },
};

/** A failure of one tenant is printed, and stops no other. @returns whether it has its rows again. */
async function reviveTenant(api: ApiClient, screen: Screen, tenant: Tenant): Promise<boolean> {
  const { tenantId, slug } = tenant;
  try {
    const placed = await onboarded(api, screen, tenant);
    // Another run has restored it meanwhile.
    if (placed.restoreFrom !== undefined) await restored(api, screen, placed);
    const { status } = await patiently(() => api.get<Tenant>(tenantPath(tenantId)));
    screen.line(screen.paint('green', `✔ ${slug} has its rows again, and is ${status}`));
    return true;
  } catch (cause) {
    if (!(cause instanceof CommandError || cause instanceof ApiError)) throw cause;
    screen.line(screen.paint('red', `✘ ${slug}: ${shownText(reasonOf(cause))}`));
    return false;
  }
}

/** @throws {CommandError} its onboarding has failed. */
async function onboarded(api: ApiClient, screen: Screen, tenant: Tenant): Promise<Tenant> {
  const { tenantId, slug } = tenant;
  if (tenant.status === 'failed' || tenant.status === 'provisioning') {
    const { name, tier, dataResidency, complianceRequirements, billingEmail } = tenant;
    const adminEmail = await administratorOf(api, tenant);
    const input = { name, slug, adminEmail, tier, dataResidency, complianceRequirements, billingEmail };
    screen.line(`${slug}: onboarding`);
    await api.operations.POST('/tenants', { body: input as Schemas['TenantsCreateBody'] });
  }
  for (;;) {
    const now = await patiently(() => api.get<Tenant>(tenantPath(tenantId)));
    if (now.status === 'failed') throw new CommandError(now.reason ?? 'its onboarding has failed');
    if (now.status !== 'provisioning') return now;
    await pollPause();
  }
}

/** Its users come from the backup; the address only has to be one of them. @throws {CommandError} it has none. */
async function administratorOf(api: ApiClient, { tenantId, slug }: Tenant): Promise<string> {
  const users = await api.all('/tenants/{tenantId}/users', { tenantId });
  const found = users.find(({ role }) => role === 'admin') ?? users[0];
  if (found) return found.email;
  throw new CommandError(`it has no user: strata onboard ${slug} ADMINEMAIL, then revive it`);
}

/** Follows a restore that runs already, or starts one. @throws {CommandError} it has failed. */
async function restored(
  api: ApiClient,
  screen: Screen,
  { tenantId, slug, restoreFrom }: Tenant,
): Promise<void> {
  const path = { tenantId };
  const running = (await api.all('/tenants/{tenantId}/restores', path)).find(
    ({ status }) => status === 'running',
  );
  const start = () =>
    bodyOf(
      api.operations.POST('/tenants/{tenantId}/restores', {
        params: { path },
        body: { backupId: restoreFrom, mode: 'replace' } as Schemas['RestoresCreateBody'],
      }),
    );
  const { restoreId } = running ?? (await start());
  screen.line(`${slug}: restoring backup ${running ? running.backupId : restoreFrom}`);
  for (;;) {
    const { status, reason } = await patiently(() =>
      api.get<Schemas['Restore']>(restorePath(tenantId, restoreId)),
    );
    if (status === 'succeeded') return;
    if (status !== 'running') throw new CommandError(`its restore has ${status}: ${reason ?? ''}`);
    await pollPause();
  }
}

function reasonOf(cause: CommandError | ApiError): string {
  if (!(cause instanceof ApiError)) return cause.message;
  const { detail } = (cause.problem ?? {}) as { detail?: unknown };
  return typeof detail === 'string' ? detail : cause.message;
}
