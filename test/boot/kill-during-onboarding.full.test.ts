import { resolve } from 'node:path';
import { DescribeDBProxiesCommand, RDSClient } from '@aws-sdk/client-rds';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ApiClient } from '../../infra/cli/api-client.ts';
import { OwnPlatform } from './own-platform.ts';

const platform = new OwnPlatform(resolve(import.meta.dirname, '../..'));
const WITNESS = onboarding('witness', 'starter');
/** A killed holder of the proxy's lease is replaced when the lease runs out, at the start and in the workflow. */
const TIMEOUT_MS = 120_000;

beforeAll(async () => {
  await platform.start('--empty');
  await onboardWhole(WITNESS);
});
afterAll(() => platform.stop());

function onboarding(slug: string, tier: string) {
  return { name: `Tenant ${slug}`, slug, tier, adminEmail: `admin@${slug}.test` };
}

async function onboardWhole(input: object): Promise<void> {
  const execution = await platform.finished(await platform.startOnboarding(input));
  expect(execution).toMatchObject({ status: 'SUCCEEDED' });
}

async function adminOf(slug: string): Promise<{ tenantId: string; admin: ApiClient }> {
  const operator = await platform.client();
  const { tenantId } = await operator.get<{ tenantId: string }>(`/tenants/${slug}`);
  return { tenantId, admin: await platform.client({ tenantId, email: `admin@${slug}.test` }) };
}

const employee = (email: string) => ({ email, firstName: 'Ada', lastName: 'Lovelace' });

/** Writes one employee after the other until the API is gone; answers the addresses that were acknowledged. */
async function writeUntilKilled(admin: ApiClient, prefix: string, began: () => void): Promise<string[]> {
  const acknowledged: string[] = [];
  for (let n = 0; ; n++) {
    const email = `${prefix}-${n}@witness.test`;
    try {
      await admin.post('/employees', employee(email));
    } catch {
      return acknowledged;
    }
    acknowledged.push(email);
    if (n === 2) began();
  }
}

/** Every state with an effect. */
const KILLS = [
  ['starter', 'Place'],
  ['business', 'Create credentials'],
  ['business', 'Create schema'],
  ['business', 'Register with proxy'],
  ['business', 'Activate'],
  ['enterprise', 'Launch dedicated database'],
  ['enterprise', 'Bootstrap dedicated database'],
  ['enterprise', 'Create dedicated schema'],
] as const;

test.each(KILLS)(
  '%s killed at "%s": the same input then ends well, and no acknowledged write is lost',
  async (tier, state) => {
    const slug = `${tier}-${KILLS.findIndex(([a, b]) => a === tier && b === state)}`;
    const { admin } = await adminOf('witness');
    let began = () => {};
    const writing = new Promise<void>((done) => {
      began = done;
    });
    const acknowledged = writeUntilKilled(admin, slug, began);
    await writing;
    const killed = await platform.startOnboarding(onboarding(slug, tier));
    await platform.entered(killed, state);
    await platform.kill();
    const written = await acknowledged;

    await platform.start();
    expect((await platform.execution(killed)).status).not.toBe('RUNNING');
    const again = await platform.finished(await platform.startOnboarding(onboarding(slug, tier)));
    // Where the kill came a moment too late, the first execution had done it all.
    if (again.error !== 'TenantExists') expect(again).toMatchObject({ status: 'SUCCEEDED' });

    const { tenantId, admin: ownAdmin } = await adminOf(slug);
    await ownAdmin.post('/employees', employee('first@x.test'));
    const own = await ownAdmin.get<{ items: unknown[] }>('/employees');
    expect(own.items).toHaveLength(1);
    if (tier === 'business') expect(await registeredSecrets(tenantId)).toBe(1);

    const { admin: witness } = await adminOf('witness');
    for (const email of written) {
      const { items } = await witness.get<{ items: unknown[] }>(`/employees?email=${email}`);
      expect(items).toHaveLength(1);
    }
  },
  TIMEOUT_MS,
);

/** How many secrets of the tenant the cell's proxy accepts. */
async function registeredSecrets(tenantId: string): Promise<number> {
  const rds = new RDSClient({
    endpoint: platform.awsUrl,
    region: 'us-east-1',
    credentials: { accessKeyId: 'any', secretAccessKey: 'any' },
  });
  const { DBProxies = [] } = await rds.send(new DescribeDBProxiesCommand({ DBProxyName: 'strata-us-1' }));
  return (DBProxies[0]?.Auth ?? []).filter(({ SecretArn }) => SecretArn?.includes(tenantId)).length;
}
