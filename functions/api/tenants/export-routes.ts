import * as z from 'zod/mini';
import { executionStatus, inAwsRegion, startExecution } from '../../aws/executions.ts';
import { linkToObject } from '../../aws/object-link.ts';
import { BackupError, TenantNotBackupable } from '../../backups/errors.ts';
import { EXPORT_POLICY } from '../../contracts/backup-policy.ts';
import { type OperatorApiEnvironment, variable } from '../../contracts/environments.ts';
import { ExportError, ExportNotStarted, ExportSourceUnknown } from '../../exports/errors.ts';
import { requestExport } from '../../exports/request-export.ts';
import type { Answer } from '../../http/answer.ts';
import { pageOf, pageParameters, uuid } from '../../http/input-schemas.ts';
import { controlIdempotencyOf, operatorRegion, operatorRoute } from '../../http/operator-api.ts';
import { Problem } from '../../http/problem.ts';
import { OncePerKey } from '../../registry/control-idempotency.ts';
import { findExportOfRegions, getExport, listExports } from '../../registry/exports.ts';
import { getTenant } from '../../registry/tenant-record.ts';
import { entityTag } from '../../resources/entity-tag.ts';
import { ResourceNotFound } from '../../resources/errors.ts';
import { tenantParams } from './tenant-routes.ts';

const exportParams = z.extend(tenantParams, { exportId: uuid });

/** Lists the tenant's exports, oldest first. The list has no links, because each link would have to be signed. */
export const list = operatorRoute(
  { params: tenantParams, query: z.strictObject(pageParameters) },
  async ({ registry, registries, params, query }) => {
    const { tenantId } = await getTenant(registry, params.tenantId);
    return { status: 200, body: await listExports(registries, tenantId, pageOf(query)) };
  },
);

/**
 * Starts an export of a new or a given backup. Answers 202; the client polls the Location until the export has ended.
 */
export const create = operatorRoute(
  { params: tenantParams, body: z.strictObject({ backupId: z.optional(uuid) }), bodyMayBeAbsent: true },
  async ({ registry, region, params, body, operator, facts }): Promise<Answer> => {
    const { tenantId } = await getTenant(registry, params.tenantId);
    const use = controlIdempotencyOf(facts, operator, body);
    const once = use && new OncePerKey(use, (executor, exportId) => getExport(executor, tenantId, exportId));
    const stateMachineArn = inAwsRegion(
      variable<OperatorApiEnvironment>('EXPORT_STATE_MACHINE_ARN'),
      region.awsRegion,
    );
    try {
      const exportId = await requestExport(registry, tenantId, {
        actor: { id: operator, type: 'operator' },
        stateMachineArn,
        start: (name, input) => startExecution(stateMachineArn, name, input),
        statusOf: executionStatus,
        backupId: body?.backupId,
        once,
      });
      const answer = once?.answer?.body ?? (await getExport(registry, tenantId, exportId));
      return {
        status: 202,
        body: answer,
        location: `/tenants/${tenantId}/exports/${exportId}`,
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

/** Reads one export, with a link to its archive that is signed for this answer. */
export const read = operatorRoute(
  { params: exportParams },
  async ({ registry, registries, region, params }) => {
    const { tenantId, slug } = await getTenant(registry, params.tenantId);
    const { view, archive } = await findExportOfRegions(
      registries,
      { region: region.key, tenantId },
      params.exportId,
    );
    const signedAt = Date.now();
    const url =
      archive &&
      (await linkToObject({
        bucket: archive.bucket,
        key: archive.key,
        awsRegion: operatorRegion(registries, view.region).awsRegion,
        seconds: EXPORT_POLICY.linkSeconds,
        fileName: `${slug}-${(view.snapshotAt ?? view.startedAt).slice(0, 10)}.tar.gz`,
      }));
    const body = {
      ...view,
      url: url ?? null,
      urlExpiresAt: url ? new Date(signedAt + EXPORT_POLICY.linkSeconds * 1_000).toISOString() : null,
    };
    // The entity tag does not cover the link, which differs in each answer.
    return { status: 200, body, etag: entityTag(view) };
  },
);

function asProblem(error: unknown): unknown {
  if (error instanceof ExportSourceUnknown) return new ResourceNotFound(error.message, { cause: error });
  if (error instanceof ExportNotStarted) {
    const headers = { 'retry-after': '5' };
    return new Problem(503, 'unavailable', { detail: error.message, headers, cause: error });
  }
  if (error instanceof ExportError || error instanceof BackupError) {
    return new Problem(409, 'conflict', { detail: error.message, cause: error });
  }
  return error;
}
