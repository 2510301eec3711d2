/** The platform is killed between any two phases of a restore, and started again. */
import { resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { Send } from '../../infra/cli/client-load.ts';
import { sharedAssembly } from '../infra/synthesized-app.ts';
import { tracesOf } from '../platform/tenant-traces.ts';
import { OwnPlatform } from './own-platform.ts';

let platform: OwnPlatform;
const TIMEOUT_MS = 240_000;
const POLL = { timeout: 120_000, interval: 50 };

// biome-ignore lint/suspicious/noExplicitAny: bodies as the API tells them.
type Body = any;

beforeAll(async () => {
  const STRATA_ASSEMBLY = (await sharedAssembly('local')).directory;
  platform = new OwnPlatform(resolve(import.meta.dirname, '../..'), undefined, { STRATA_ASSEMBLY });
  await platform.start('--empty');
}, 240_000);
afterAll(() => platform?.stop());

const operator = async <Answer = Body>(path: string): Promise<Answer> =>
  (await platform.client()).get<Answer>(path);

/** Every state with an effect, in the order in which they are entered. */
const BEFORE_SWAP = [
  'Begin',
  'Plan',
  'Next hop',
  'Prepare',
  'Fill',
  'Copy',
  'Build indexes',
  'Catch up',
  'Cut over',
];
const AFTER_SWAP = ['Settle', 'Note discarded writes', 'Finish'];

describe.each([
  // Through a schema of its own and back: two hops.
  ['starter', 'ann', [...BEFORE_SWAP, ...AFTER_SWAP]],
  ['business', 'bob', ['Fill', 'Cut over', 'Settle']],
] as const)('a restore of a %s tenant', (tier, slug, states) => {
  let tenantId: string;
  let backupId: string;
  let sender: () => Promise<Send>;
  const namesOf = async (): Promise<string[]> => {
    const { body } = await (await sender())('GET', '/employees?limit=200');
    return body.items.map(({ firstName }: { firstName: string }) => firstName).sort();
  };
  const hire = async (firstName: string): Promise<void> => {
    const employee = { email: `${firstName}@example.test`, firstName, lastName: 'Lovelace' };
    const { status, body } = await (await sender())('POST', '/employees', employee);
    expect(status, JSON.stringify(body)).toBe(201);
  };

  beforeAll(async () => {
    const input = { name: slug, slug, tier, adminEmail: `admin@${slug}.test` };
    expect(await platform.finished(await platform.startOnboarding(input))).toMatchObject({
      status: 'SUCCEEDED',
    });
    ({ tenantId } = await operator(`/tenants/${slug}`));
    sender = () => platform.sender({ tenantId, email: `admin@${slug}.test` });
    await hire('kept');
    ({ backupId } = await (await platform.client()).post<Body>(`/tenants/${slug}/backups`, {}));
    const over = async () => (await operator(`/tenants/${slug}/backups/${backupId}`)).status === 'succeeded';
    await vi.waitUntil(over, POLL);
  }, TIMEOUT_MS);

  test.each(states)(
    'with the platform killed at "%s" ends, leaves the tenant in one place, and can be asked for again',
    async (state) => {
      const later = `later-${state.toLowerCase().replaceAll(' ', '-')}`;
      await hire(later);
      const live = await namesOf();
      const input = { slug, backupId };
      const killed = await platform.startExecution('tenant-restore', input);
      await platform.entered(killed, state);
      await platform.kill();
      await platform.start();

      // At once, before anything was recovered: the rows are the live ones, or the restored ones.
      const names = await namesOf();
      expect([live, ['kept']]).toContainEqual(names);
      const restoreOf = async () => {
        const { items } = await operator(`/tenants/${slug}/restores?limit=200`);
        return items.find(({ executionArn }: { executionArn: string }) => executionArn === killed);
      };
      await vi.waitUntil(async () => (await restoreOf())?.status !== 'running', POLL);
      expect((await platform.execution(killed)).status).not.toBe('RUNNING');
      const restore = await restoreOf();
      // Where the kill came a moment too late, the phase had done its work.
      if (names.length > 1) {
        // Killed while it began, it is not recorded.
        if (restore) expect(restore).toMatchObject({ status: 'aborted' });
        expect(await namesOf()).toEqual(live);
      } else expect(['succeeded', 'aborted']).toContain(restore.status);
      const homes = (await tracesOf(platform, tenantId)).filter((trace) => trace.includes(': home '));
      expect(homes).toHaveLength(1);

      const again = await platform.finished(await platform.startExecution('tenant-restore', input));
      expect(again, again.cause).toMatchObject({ status: 'SUCCEEDED' });
      expect(await namesOf()).toEqual(['kept']);
      expect(await operator(`/tenants/${slug}`)).toMatchObject({ status: 'active', tier });
      await hire(`after-${later}`);
    },
    TIMEOUT_MS,
  );
});
