import { execFile, execFileSync } from 'node:child_process';
import { promisify } from 'node:util';
import { describe, expect, test, vi } from 'vitest';
import { BackupBucketView } from './backup-runs.ts';
import { onboardOwnTenant, platform } from './running-platform.ts';

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

  test.each(['starter', 'business'] as const)(
    'backs up a %s tenant with tenant-backup, and lists its objects',
    async (tier) => {
      const slug = await onboardOwnTenant({ tier });
      const { executionArn } = JSON.parse(
        await aws(
          'stepfunctions',
          'start-execution',
          '--state-machine-arn',
          'arn:aws:states:us-east-1:000000000000:stateMachine:tenant-backup',
          '--input',
          JSON.stringify({ tenantId: slug }),
        ),
      );
      const execution = await vi.waitUntil(
        async () => {
          const described = JSON.parse(
            await aws('stepfunctions', 'describe-execution', '--execution-arn', executionArn),
          );
          return described.status !== 'RUNNING' && described;
        },
        { timeout: 60_000, interval: 250 },
      );
      expect(execution).toMatchObject({ status: 'SUCCEEDED' });
      const { backupId, tenantId } = JSON.parse(execution.output);
      const bucket = await new BackupBucketView().name();
      const prefix = `tenant-backups/${tier}/${tenantId}/${backupId}/`;
      const listed = (await aws('s3', 'ls', `s3://${bucket}/${prefix}`)).trim().split('\n');
      const names = listed.map((line) => line.split(/\s+/).at(-1));
      expect(names).toContain('manifest.json');
      expect(names).toContainEqual(expect.stringMatching(/^employees\.0\.[0-9a-f]{8}\.copy\.zst$/));
      expect(names).toContainEqual(expect.stringMatching(/^audit_log\.0\.[0-9a-f]{8}\.copy\.zst$/));
      const manifest = JSON.parse(
        await aws('s3', 'cp', '--quiet', `s3://${bucket}/${prefix}manifest.json`, '-'),
      );
      expect(manifest).toMatchObject({ backupId, tenant: { tenantId, slug, tier } });
      const parts = manifest.tables.flatMap(({ parts }: { parts: { key: string }[] }) => parts);
      expect(parts.map(({ key }: { key: string }) => key.split('/').at(-1)).sort()).toEqual(
        names.filter((name) => name !== 'manifest.json').sort(),
      );
    },
  );
});
