import { DescribeExecutionCommand, SFNClient } from '@aws-sdk/client-sfn';
import { beforeAll, describe, expect, test, vi } from 'vitest';
import { FULL_RUN } from '../full-run.ts';
import { strata } from '../infra/cli/run-command.ts';
import { MovingTenant } from './moving-tenant.ts';
import { backUp, restore } from './restore-runs.ts';
import { call, newEmployee, platform, unique, userToken } from './running-platform.ts';

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
    { timeout: 60_000, interval: 100 },
  );
  return status!;
}

/** A skill that one employee has. */
async function addSkill(token: string): Promise<string> {
  const { body: employee } = await call('POST', '/employees', { token, body: newEmployee() });
  const { body: skill } = await call('POST', '/skills', { token, body: { skillName: unique('skill') } });
  const path = `/employees/${employee.employeeId}/skills`;
  const body = { skillId: skill.skillId, proficiencyLevel: 'expert' };
  expect((await call('POST', path, { token, body })).status).toBe(201);
  return skill.skillId;
}

const summaryOf = async (token: string, skillId: string) => {
  const { status, body } = await call('GET', `/analytics/skills-summary?skillId=${skillId}`, { token });
  expect(status).toBe(200);
  return body;
};
const COUNTED = { items: [{ employeeCount: 1, averageProficiency: 4 }], refreshedAt: expect.any(String) };

test('the schedule refreshes the summaries of all models, each with its own tenant’s skills', async () => {
  const written = await Promise.all(
    ['initech', 'globex', 'acme'].map(async (slug) => {
      const token = await userToken(slug);
      return { slug, token, skillId: await addSkill(token) };
    }),
  );
  // Databases of other test files may come and go meanwhile, which fails the execution at its end.
  expect(['SUCCEEDED', 'FAILED']).toContain(await refresh());
  for (const { slug, token, skillId } of written) {
    expect(await summaryOf(await userToken(slug, 'viewer'), skillId)).toMatchObject(COUNTED);
    for (const other of written)
      if (other.token !== token) expect(await summaryOf(other.token, skillId)).toMatchObject({ items: [] });
  }
});

describe('the summary of a tenant that moves', () => {
  let tenant: MovingTenant;
  let token: string;
  let skillId: string;
  beforeAll(async () => {
    tenant = await MovingTenant.create();
    token = await userToken(tenant.slug);
    skillId = await addSkill(token);
  });

  test.each(FULL_RUN ? ['business', 'enterprise', 'business', 'starter'] : ['business', 'starter'])(
    'is there right after the move to %s',
    async (targetTier) => {
      expect(await tenant.move({ targetTier })).toMatchObject({ status: 'succeeded', reason: null });
      expect(await summaryOf(token, skillId)).toMatchObject(COUNTED);
    },
  );

  test('is there right after a restore, as of what was restored', async () => {
    const { backupId } = await backUp(tenant.slug);
    const later = await addSkill(token);
    expect(await restore(tenant.slug, { backupId })).toMatchObject({ status: 'succeeded', reason: null });
    expect(await summaryOf(token, skillId)).toMatchObject(COUNTED);
    expect(await summaryOf(token, later)).toMatchObject({ items: [] });
  });
});
