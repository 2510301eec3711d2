/**
 * The platform killed while a tenant is onboarded and another one moves. `kill-during-*.full.test.ts` kill it at every
 * state of both.
 */
import { resolve } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ClientLoad, type Send } from '../../infra/cli/client-load.ts';
import { sharedAssembly } from '../infra/synthesized-app.ts';
import { tracesOf } from '../platform/tenant-traces.ts';
import { OwnPlatform } from './own-platform.ts';

let platform: OwnPlatform;
beforeAll(async () => {
  const STRATA_ASSEMBLY = (await sharedAssembly('local')).directory;
  platform = new OwnPlatform(resolve(import.meta.dirname, '../..'), undefined, { STRATA_ASSEMBLY });
  await platform.start('--empty');
});
afterAll(() => platform?.stop());

const onboarding = (slug: string, tier: string) => ({
  name: `Tenant ${slug}`,
  slug,
  tier,
  adminEmail: `admin@${slug}.test`,
});

async function tenantId(slug: string): Promise<string> {
  return (await (await platform.client()).get<{ tenantId: string }>(`/tenants/${slug}`)).tenantId;
}

test('killed during an onboarding and a move: no acknowledged write is lost, and both can be finished', async () => {
  expect(
    await platform.finished(await platform.startOnboarding(onboarding('nomad', 'starter'))),
  ).toMatchObject({ status: 'SUCCEEDED' });
  const nomad = await tenantId('nomad');
  const sender = () => platform.sender({ tenantId: nomad, email: 'admin@nomad.test' });
  const load = new ClientLoad(await sender(), { prefix: 'k', writers: 2, readers: 1, restMs: 10 });
  load.start();
  await load.written(5);
  const settler = onboarding('settler', 'business');
  const input = { tenantId: nomad, targetTier: 'business' };
  const [onboarded, moved] = await Promise.all([
    platform.startOnboarding(settler),
    platform.startExecution('tenant-move', input),
  ]);
  await platform.entered(moved, 'Cut over');
  load.forgive();
  await platform.kill();
  await load.stop();
  expect(load.violations).toEqual([]);

  await platform.start();
  const send: Send = await sender();
  // At once, before anything was recovered: a fence ends by itself.
  const written = await send('POST', '/employees', {
    email: 'after@kill.test',
    firstName: 'A',
    lastName: 'B',
  });
  expect(written.status, JSON.stringify(written.body)).toBe(201);
  expect(await load.verify(send)).toEqual([]);
  for (const execution of [onboarded, moved])
    expect((await platform.execution(execution)).status).not.toBe('RUNNING');
  const homes = (await tracesOf(platform, nomad)).filter((trace) => trace.includes(': home '));
  expect(homes).toHaveLength(1);

  // Where the kill came a moment too late, the first execution had done it all.
  const again = await platform.finished(await platform.startExecution('tenant-move', input));
  if (again.error !== 'NothingToMove') expect(again, again.cause).toMatchObject({ status: 'SUCCEEDED' });
  const repeated = await platform.finished(await platform.startOnboarding(settler));
  if (repeated.error !== 'TenantExists') expect(repeated).toMatchObject({ status: 'SUCCEEDED' });
  expect(await load.verify(await sender())).toEqual([]);
  const admin = await platform.client({ tenantId: await tenantId('settler'), email: 'admin@settler.test' });
  expect(await admin.get('/employees')).toMatchObject({ items: [] });
}, 120_000);
