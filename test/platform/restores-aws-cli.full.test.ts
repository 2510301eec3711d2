import { execFile, execFileSync } from 'node:child_process';
import { promisify } from 'node:util';
import { describe, expect, test, vi } from 'vitest';
import { MovingTenant } from './moving-tenant.ts';
import { backUp, rowsOf } from './restore-runs.ts';
import { newEmployee, platform } from './running-platform.ts';

function findCli(): boolean {
  try {
    execFileSync('aws', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    console.log('skipped: no aws CLI on this machine');
    return false;
  }
}

describe.runIf(findCli())('the aws CLI', () => {
  async function aws(...args: string[]): Promise<string> {
    const { stdout } = await promisify(execFile)('aws', ['--endpoint-url', platform().awsUrl, ...args], {
      env: {
        PATH: process.env.PATH,
        HOME: platform().stateDir,
        AWS_ACCESS_KEY_ID: 'any',
        AWS_SECRET_ACCESS_KEY: 'any',
        AWS_DEFAULT_REGION: 'us-east-1',
      },
    });
    return stdout;
  }

  const STATE_MACHINE = 'arn:aws:states:us-east-1:000000000000:stateMachine:tenant-restore';

  async function execute(input: object) {
    const started = await aws(
      'stepfunctions',
      'start-execution',
      '--state-machine-arn',
      STATE_MACHINE,
      '--input',
      JSON.stringify(input),
    );
    const { executionArn } = JSON.parse(started);
    return vi.waitUntil(
      async () => {
        const described = JSON.parse(
          await aws('stepfunctions', 'describe-execution', '--execution-arn', executionArn),
        );
        return described.status !== 'RUNNING' && described;
      },
      { timeout: 90_000, interval: 250 },
    );
  }

  test.each(['starter', 'business'] as const)('restores a %s tenant with tenant-restore', async (tier) => {
    const tenant = await MovingTenant.create({ tier });
    await tenant.send('POST', '/employees', newEmployee());
    const before = await rowsOf(tenant.tenantId);
    const { backupId } = await backUp(tenant.slug);
    await tenant.send('POST', '/employees', newEmployee());
    const execution = await execute({ slug: tenant.slug, backupId });
    expect(execution).toMatchObject({ status: 'SUCCEEDED' });
    expect(JSON.parse(execution.output)).toMatchObject({ tenantId: tenant.tenantId, status: 'succeeded' });
    expect(await rowsOf(tenant.tenantId)).toEqual(before);
  });

  test.each([
    [{ tenantId: 'initech' }, 'InvalidRestoreInput'],
    [{ tenantId: 'initech', backupId: '00000000-0000-4000-8000-000000000000' }, 'BackupUnknown'],
    [
      { slug: 'initech', backupId: '00000000-0000-4000-8000-000000000000', mode: 'clone' },
      'InvalidRestoreInput',
    ],
  ])('sees %j fail by name', async (input, error) => {
    expect(await execute(input)).toMatchObject({ status: 'FAILED', error });
  });
});
