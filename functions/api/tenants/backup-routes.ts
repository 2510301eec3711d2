import * as z from 'zod/mini';
import { executionStatus, inAwsRegion, startExecution } from '../../aws/executions.ts';
import { BackupError, BackupNotStarted, TenantNotBackupable } from '../../backups/errors.ts';
import { requestBackup } from '../../backups/request-backup.ts';
import { BACKUP_POLICY } from '../../contracts/backup-policy.ts';
import { type OperatorApiEnvironment, variable } from '../../contracts/environments.ts';
import type { Answer } from '../../http/answer.ts';
import { pageOf, pageParameters, uuid } from '../../http/input-schemas.ts';
import { controlIdempotencyOf, operatorRoute } from '../../http/operator-api.ts';
import { Problem } from '../../http/problem.ts';
import {
  findBackupOfRegions,
  getBackup,
  lastDrillOf,
  listBackups,
  pointInTimeWindow,
} from '../../registry/backups.ts';
import { OncePerKey } from '../../registry/control-idempotency.ts';
import { getTenant } from '../../registry/tenant-record.ts';
import { entityTag } from '../../resources/entity-tag.ts';
import { tenantParams } from './tenant-routes.ts';

const backupParams = z.extend(tenantParams, { backupId: uuid });

/**
 * Lists the tenant's backups, oldest first, with the policy of its tier, the window of times to which it can be
 * restored, and the last drill of one of its backups.
 */
export const list = operatorRoute(
  { params: tenantParams, query: z.strictObject(pageParameters) },
  async ({ registry, registries, params, query }) => {
    const { tenantId, tier } = await getTenant(registry, params.tenantId);
    const page = await listBackups(registries, tenantId, pageOf(query));
    const window = await pointInTimeWindow(registry, { tenantId, tier });
    const lastDrill = await lastDrillOf(registry, tenantId);
    const policy = { tier, ...BACKUP_POLICY[tier] };
    return { status: 200, body: { ...page, policy, window, lastDrill } };
  },
);

/** Starts a backup. Answers 202; the client polls the Location until the backup has ended. */
export const create = operatorRoute(
  { params: tenantParams, body: z.strictObject({}), bodyMayBeAbsent: true },
  async ({ registry, region, params, body, operator, facts }): Promise<Answer> => {
    const { tenantId } = await getTenant(registry, params.tenantId);
    const use = controlIdempotencyOf(facts, operator, body);
    const once = use && new OncePerKey(use, (executor, backupId) => getBackup(executor, tenantId, backupId));
    const stateMachineArn = inAwsRegion(
      variable<OperatorApiEnvironment>('BACKUP_STATE_MACHINE_ARN'),
      region.awsRegion,
    );
    try {
      const backupId = await requestBackup(registry, tenantId, {
        actor: { id: operator, type: 'operator' },
        stateMachineArn,
        start: (name, input) => startExecution(stateMachineArn, name, input),
        statusOf: executionStatus,
        once,
      });
      const answer = once?.answer?.body ?? (await getBackup(registry, tenantId, backupId));
      return {
        status: 202,
        body: answer,
        location: `/tenants/${tenantId}/backups/${backupId}`,
        replayed: once?.replayed ?? false,
      };
    } catch (error) {
      // If the tenant moved to another region meanwhile, this throws TenantBetweenRegions, and the request is repeated
      // there.
      if (error instanceof TenantNotBackupable) await getTenant(registry, tenantId);
      throw asProblem(error);
    }
  },
);

export const read = operatorRoute(
  { params: backupParams },
  async ({ registry, registries, region, params }) => {
    const { tenantId } = await getTenant(registry, params.tenantId);
    const backup = await findBackupOfRegions(registries, { region: region.key, tenantId }, params.backupId);
    return { status: 200, body: backup, etag: entityTag(backup) };
  },
);

function asProblem(error: unknown): unknown {
  if (error instanceof BackupNotStarted) {
    const headers = { 'retry-after': '5' };
    return new Problem(503, 'unavailable', { detail: error.message, headers, cause: error });
  }
  if (error instanceof BackupError) {
    return new Problem(409, 'conflict', { detail: error.message, cause: error });
  }
  return error;
}
