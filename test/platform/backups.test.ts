import { ListObjectsV2Command, S3Client } from '@aws-sdk/client-s3';
import { SFNClient, StartExecutionCommand, StopExecutionCommand } from '@aws-sdk/client-sfn';
import { beforeAll, describe, expect, test, vi } from 'vitest';
import { BACKUP_POLICY } from '../../functions/contracts/backup-policy.ts';
import type { Tier } from '../../functions/contracts/tenant.ts';
import { strata } from '../infra/cli/run-command.ts';
import { BackupBucketView, ended, executionOf } from './backup-runs.ts';
import { administrator } from './platform-databases.ts';
import { call, onboardOwnTenant, operatorToken, platform, unique, userToken } from './running-platform.ts';

const states = new SFNClient(administrator(platform().awsUrl));
const bucket = new BackupBucketView();
let token: string;
beforeAll(async () => {
  token = await operatorToken();
});

const ask = (slug: string, options: { key?: string; body?: unknown } = {}) =>
  call('POST', `/tenants/${slug}/backups`, {
    token,
    ...(options.body === undefined ? {} : { body: options.body }),
    ...(options.key ? { headers: { 'idempotency-key': options.key } } : {}),
  });

const DEMO: readonly [slug: string, tier: Tier, model: string][] = [
  ['initech', 'starter', 'shared'],
  ['globex', 'business', 'schema'],
  ['acme', 'enterprise', 'dedicated'],
];

test.each(DEMO)('%s of tier %s is backed up from %s', async (slug, tier, model) => {
  const asked = await ask(slug);
  expect([asked.status, asked.body]).toEqual([202, expect.objectContaining({ status: 'running' })]);
  const location = String(asked.headers.get('location'));
  const { body: tenant } = await call('GET', `/tenants/${slug}`, { token });
  expect(location).toBe(`/tenants/${tenant.tenantId}/backups/${asked.body.backupId}`);

  const backup = await ended(location);

  expect(backup).toMatchObject({
    status: 'succeeded',
    phase: 'finished',
    reason: null,
    tier,
    isolationModel: model,
    lastDrill: null,
    region: 'us',
    rows: expect.any(Number),
    bytes: expect.any(Number),
  });
  expect(backup.rows).toBeGreaterThan(0);
  expect(backup.progress.partsDone).toBe(backup.progress.partsTotal);
  expect(backup.progress).toMatchObject({ rowsDone: backup.rows, bytesDone: backup.bytes });
  const kept = (Date.parse(backup.expiresAt) - Date.parse(backup.startedAt)) / 86_400_000;
  expect(Math.round(kept)).toBe(BACKUP_POLICY[tier].retentionDays);
  expect(await executionOf(states, backup.executionArn)).toMatchObject({ status: 'SUCCEEDED' });
  const objects = await bucket.objects(`tenant-backups/${tier}/${tenant.tenantId}/${backup.backupId}/`);
  expect(objects.filter((key) => key.endsWith('/manifest.json'))).toHaveLength(1);
  expect(objects.length).toBe(backup.progress.partsTotal + 1);

  const { body: page } = await call('GET', `/tenants/${slug}/backups`, { token });
  expect(page.policy).toEqual({ tier, ...BACKUP_POLICY[tier] });
  expect(page.items).toContainEqual(backup);
});
