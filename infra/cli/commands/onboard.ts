import { setTimeout as delay } from 'node:timers/promises';
import { type ApiClient, ApiError, bodyOf, type Schemas } from '../api-client.ts';
import type { Command } from '../command.ts';
import { shownText } from '../shown-text.ts';

const POLL_MS = 250;
/**
 * Consecutive answers that may fail before waiting ends, for example during a deployment or while the registry is busy.
 */
const PATIENCE = 40;

export const onboard: Command = {
  name: 'onboard',
  words: 'SLUG ADMINEMAIL',
  options: {
    name: 'NAME',
    tier: 'TIER',
    size: 'SIZE',
    residency: 'KEY',
    compliance: 'LIST',
    'billing-email': 'EMAIL',
  },
  flags: ['watch'],
  summary: 'onboards a tenant; run it again to resume a failed onboarding',
  async run({ words: [slug = '', adminEmail = ''], flags, options }, { api, screen }) {
    const client = await api();
    const compliance = options
      .get('compliance')
      ?.split(',')
      .map((one) => one.trim());
    // The API refuses what is no tier and no requirement.
    const body = {
      slug,
      adminEmail,
      name: options.get('name') ?? slug,
      ...given('tier', options.get('tier')),
      ...given('databaseSize', options.get('size')),
      ...given('dataResidency', options.get('residency')),
      ...given('complianceRequirements', compliance),
      ...given('billingEmail', options.get('billing-email')),
    } as Schemas['TenantsCreateBody'];
    const tenant = await bodyOf(client.operations.POST('/tenants', { body }));
    screen.line(`the onboarding of ${shownText(tenant.slug)} (${tenant.tier}) has started`);
    if (!flags.has('watch')) {
      screen.line(`see its state with: strata tenant ${slug}`);
      return true;
    }
    const ended = await provisioned(client, slug);
    const reason = ended.reason ? `: ${shownText(ended.reason)}` : '';
    // A tenant whose rows are lost is suspended until they are restored.
    const done = ended.status === 'active' || ended.status === 'suspended';
    screen.line(screen.paint(done ? 'green' : 'red', `${shownText(slug)} is ${ended.status}${reason}`));
    return done;
  },
};

const given = (field: string, value: unknown) => (value === undefined ? {} : { [field]: value });

/** @throws the last error, when the API does not answer for ten seconds */
async function provisioned(api: ApiClient, slug: string): Promise<Schemas['Tenant']> {
  for (let failures = 0; ; ) {
    try {
      const tenant = await bodyOf(
        api.operations.GET('/tenants/{tenantId}', { params: { path: { tenantId: slug } } }),
      );
      if (tenant.status !== 'provisioning') return tenant;
      failures = 0;
    } catch (cause) {
      failures += 1;
      if ((cause instanceof ApiError && cause.status < 500) || failures >= PATIENCE) throw cause;
    }
    await delay(POLL_MS);
  }
}
