import { DescribeExecutionCommand, SFNClient } from '@aws-sdk/client-sfn';
import { expect, test, vi } from 'vitest';
import { strata } from '../infra/cli/run-command.ts';
import { addCountedSkill, COUNTED, summaryOf } from './counted-skill.ts';
import { ASK_EVERY_MS, platform, userToken } from './running-platform.ts';

const states = new SFNClient({
  endpoint: platform().awsUrl,
  region: 'us-east-1',
  credentials: { accessKeyId: 'any', secretAccessKey: 'any' },
});

/** Runs the schedule by the command line, and waits for the end of the execution that it starts. */
async function refresh(): Promise<string> {
  const { code, out, error } = await strata(['tick', 'summary-refresh'], {
    AWS_ENDPOINT_URL: platform().awsUrl,
  });
  expect([code, error]).toEqual([0, '']);
  expect(out.trim()).toMatch(/^✔ strata-us-summary-refresh {2}.* {2}started \S+$/);
  const executionArn = out.trim().split(' ').at(-1)!;
  const { status } = await vi.waitUntil(
    async () => {
      const described = await states.send(new DescribeExecutionCommand({ executionArn }));
      return described.status !== 'RUNNING' && described;
    },
    { timeout: 60_000, interval: ASK_EVERY_MS },
  );
  return status!;
}

test('the schedule refreshes the summaries of all models, each with its own tenant’s skills', async () => {
  const written = await Promise.all(
    ['initech', 'globex', 'acme'].map(async (slug) => {
      const token = await userToken(slug);
      return { slug, token, skillId: await addCountedSkill(token) };
    }),
  );
  // Databases of other test files may come and go meanwhile, which fails the execution at its end.
  expect(['SUCCEEDED', 'FAILED']).toContain(await refresh());
  for (const { slug, token, skillId } of written) {
    expect(await summaryOf(await userToken(slug, 'viewer'), skillId)).toMatchObject({
      items: COUNTED,
      refreshedAt: expect.any(String),
    });
    for (const other of written)
      if (other.token !== token) expect(await summaryOf(other.token, skillId)).toMatchObject({ items: [] });
  }
});
