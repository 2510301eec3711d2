import { ListBucketsCommand, ListObjectsV2Command, S3Client } from '@aws-sdk/client-s3';
import { DescribeExecutionCommand, type SFNClient } from '@aws-sdk/client-sfn';
import { vi } from 'vitest';
import { administrator } from './platform-databases.ts';
import { call, operatorToken, platform } from './running-platform.ts';

// biome-ignore lint/suspicious/noExplicitAny: a backup as the API tells it.
export type BackupBody = any;

/** Waits for the end of a backup. */
export async function ended(location: string): Promise<BackupBody> {
  let backup: BackupBody;
  const over = async () => {
    backup = (await call('GET', location, { token: await operatorToken() })).body;
    return backup.status !== 'running';
  };
  await vi.waitUntil(over, { timeout: 60_000, interval: 50 });
  return backup;
}

/** Waits for the end of an execution; answers what Step Functions says of it. */
export async function executionOf(states: SFNClient, executionArn: string) {
  return vi.waitUntil(
    async () => {
      const execution = await states.send(new DescribeExecutionCommand({ executionArn }));
      return execution.status !== 'RUNNING' && execution;
    },
    { timeout: 90_000, interval: 50 },
  );
}

/** The platform's backup bucket, as an administrator sees it. */
export class BackupBucketView {
  readonly client = new S3Client({ ...administrator(platform().awsUrl), forcePathStyle: true });
  #name: string | undefined;

  async name(): Promise<string> {
    if (this.#name === undefined) {
      const { Buckets = [] } = await this.client.send(new ListBucketsCommand({}));
      this.#name = Buckets.map(({ Name = '' }) => Name).find((name) => /bucketbackups/i.test(name));
    }
    if (this.#name === undefined) throw new Error('there is no backup bucket');
    return this.#name;
  }

  async objects(prefix: string): Promise<string[]> {
    const { Contents = [] } = await this.client.send(
      new ListObjectsV2Command({ Bucket: await this.name(), Prefix: prefix }),
    );
    return Contents.map(({ Key = '' }) => Key);
  }
}
