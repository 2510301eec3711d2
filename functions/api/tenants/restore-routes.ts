import * as z from 'zod/mini';
import { inAwsRegion, startExecution } from '../../aws/executions.ts';
import { BackupError } from '../../backups/errors.ts';
import { type OperatorApiEnvironment, variable } from '../../contracts/environments.ts';
import type { Answer } from '../../http/answer.ts';
import { pageOf, pageParameters, uuid } from '../../http/input-schemas.ts';
import { controlIdempotencyOf, type OperatorRequest, operatorRoute } from '../../http/operator-api.ts';
import { invalidInput, Problem } from '../../http/problem.ts';
import { findMove } from '../../moves/move-records.ts';
import { abortMove } from '../../moves/request-move.ts';
import { validateOnboardingInput } from '../../onboarding/onboarding-input.ts';
import { findAnswer, OncePerKey } from '../../registry/control-idempotency.ts';
import { findEmptyClone } from '../../registry/lost-tenants.ts';
import { getRestore, listRestores } from '../../registry/restores.ts';
import { getTenant } from '../../registry/tenant-record.ts';
import { entityTag } from '../../resources/entity-tag.ts';
import { ResourceNotFound } from '../../resources/errors.ts';
import { checkTime } from '../../restores/check-restore.ts';
import {
  BackupUnknown,
  InvalidRestoreInput,
  RestoreError,
  RestoreNotStarted,
  TimeOutsideWindow,
} from '../../restores/errors.ts';
import { requestRestore } from '../../restores/request-restore.ts';
import { type RestoreRequest, readRestoreRequest } from '../../restores/restore-input.ts';
import { backupOfRestore, findRestorable, type Restore } from '../../restores/restore-records.ts';
import { answeringMoveRefusals } from './start-move.ts';
import { startOnboarding } from './start-onboarding.ts';
import { asOnboardingProblem, tenantParams } from './tenant-routes.ts';

const restoreParams = z.extend(tenantParams, { restoreId: uuid });
type RestoreCall = OperatorRequest<z.output<typeof tenantParams>, object, unknown>;

const locate = (tenantId: string, restoreId: string) => `/tenants/${tenantId}/restores/${restoreId}`;

export const list = operatorRoute(
  { params: tenantParams, query: z.strictObject(pageParameters) },
  async ({ registry, params, query }) => {
    const { tenantId } = await getTenant(registry, params.tenantId);
    return { status: 200, body: await listRestores(registry, tenantId, pageOf(query)) };
  },
);

/**
 * Starts a restore of a backup or to a point in time. Answers 202; the client polls the Location until it has ended.
 */
export const create = operatorRoute({ params: tenantParams, body: z.unknown() }, (request: RestoreCall) =>
  answeringRefusals(async () => {
    const { registry, params, body } = request;
    const { tenantId } = await getTenant(registry, params.tenantId);
    const restore = readRestoreRequest(body);
    if (restore.mode === 'clone') return startClone(request, tenantId, restore);
    return start(request, tenantId, { mode: 'replace', ...restore.of });
  }),
);

/** Undoes a restore: starts another restore, which brings back the rows that the first one replaced. */
export const undo = operatorRoute(
  { params: restoreParams, body: z.strictObject({}), bodyMayBeAbsent: true },
  (request) =>
    answeringRefusals(async () => {
      const { registry, params } = request;
      const { tenantId } = await getTenant(registry, params.tenantId);
      const { restoreId: undoes } = await getRestore(registry, tenantId, params.restoreId);
      return start(request, tenantId, { mode: 'undo', undoes });
    }),
);

export const read = operatorRoute({ params: restoreParams }, async ({ registry, params }) => {
  const { tenantId } = await getTenant(registry, params.tenantId);
  const restore = await getRestore(registry, tenantId, params.restoreId);
  return { status: 200, body: restore, etag: entityTag(restore) };
});

/** Requests the end of a restore. Answers 202; the client polls the restore until it has rolled back. */
export const abort = operatorRoute({ params: restoreParams }, async ({ registry, params, operator }) => {
  const { tenantId } = await getTenant(registry, params.tenantId);
  const { restoreId } = await getRestore(registry, tenantId, params.restoreId);
  return answeringMoveRefusals(async () => {
    const known = await abortMove(registry, { tenantId, moveId: restoreId, operator });
    if (!known) throw new ResourceNotFound('no such restore');
    const body = await getRestore(registry, tenantId, restoreId);
    return { status: 202, body, location: locate(tenantId, restoreId) };
  });
});

/** Starts the onboarding of the new tenant, and the restore that waits for it. */
async function startClone(
  request: RestoreCall,
  cloneOf: string,
  { of, slug, adminEmail, mask }: Extract<RestoreRequest, { mode: 'clone' }>,
): Promise<Answer> {
  const { registry, registries, region, operator, facts, body } = request;
  const use = controlIdempotencyOf(facts, operator, body);
  const earlier = use && (await findAnswer(registry, use));
  // A repeated request: the first one has created the tenant, so onboarding would refuse its slug.
  const first = earlier && (await findMove(registry, earlier.resourceId));
  if (first) return start(request, first.tenantId, { mode: 'clone', ...of, cloneOf, mask });
  const source = await getTenant(registry, cloneOf);
  // Checked before a tenant is created for the clone.
  if (of.at === undefined) await findRestorable(registry, cloneOf, backupOfRestore(of));
  else await checkTime(registry, cloneOf, of.at);
  // The restore of an earlier request has ended without success, and its onboarding with it.
  const empty = await findEmptyClone(registry, { slug, cloneOf, adminEmail });
  if (empty !== undefined) return start(request, empty, { mode: 'clone', ...of, cloneOf, mask });
  try {
    const clone = await startOnboarding(
      registry,
      validateOnboardingInput({
        name: `${source.name.slice(0, 180)} (clone ${slug})`,
        slug,
        adminEmail,
        tier: source.tier,
        dataResidency: source.dataResidency,
        complianceRequirements: source.complianceRequirements,
      }),
      {
        operator,
        cloneOf,
        once: undefined,
        awsRegion: region.awsRegion,
        region: { key: region.key, registries },
      },
    );
    return start(request, clone.tenantId, { mode: 'clone', ...of, cloneOf, mask });
  } catch (error) {
    throw asOnboardingProblem(error);
  }
}

async function start(
  { registry, region, operator, facts, body }: Omit<RestoreCall, 'params' | 'query'>,
  tenantId: string,
  restore: Restore,
): Promise<Answer> {
  const use = controlIdempotencyOf(facts, operator, body);
  const once = use && new OncePerKey(use, (executor, restoreId) => getRestore(executor, tenantId, restoreId));
  const stateMachineArn = inAwsRegion(
    variable<OperatorApiEnvironment>('RESTORE_STATE_MACHINE_ARN'),
    region.awsRegion,
  );
  const restoreId = await requestRestore(registry, tenantId, restore, {
    actor: { id: operator, type: 'operator' },
    stateMachineArn,
    start: (name, input) => startExecution(stateMachineArn, name, input),
    once,
  });
  const answer = once?.answer?.body ?? (await getRestore(registry, tenantId, restoreId));
  return {
    status: 202,
    body: answer,
    location: locate(tenantId, restoreId),
    replayed: once?.replayed ?? false,
  };
}

async function answeringRefusals(work: () => Promise<Answer>): Promise<Answer> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof InvalidRestoreInput) {
      throw invalidInput(
        error.issues.map(({ path, message }) => ({
          pointer: path ? `/${path.replaceAll('.', '/')}` : '',
          detail: message,
        })),
      );
    }
    if (error instanceof TimeOutsideWindow) {
      const extensions = { window: error.window };
      throw new Problem(400, 'time-outside-window', { detail: error.message, extensions, cause: error });
    }
    if (error instanceof BackupUnknown) throw new ResourceNotFound(error.message, { cause: error });
    if (error instanceof RestoreNotStarted) {
      const headers = { 'retry-after': '5' };
      throw new Problem(503, 'unavailable', { detail: error.message, headers, cause: error });
    }
    if (error instanceof RestoreError || error instanceof BackupError) {
      throw new Problem(409, 'conflict', { detail: error.message, cause: error });
    }
    throw error;
  }
}
