import * as z from 'zod/mini';
import { inAwsRegion, startExecution } from '../../aws/executions.ts';
import { type OperatorApiEnvironment, variable } from '../../contracts/environments.ts';
import type { CredentialTarget } from '../../credentials/credential-subject.ts';
import type { Answer } from '../../http/answer.ts';
import { pageOf, pageParameters, uuid } from '../../http/input-schemas.ts';
import {
  controlIdempotencyOf,
  type OperatorRequest,
  operatorRegion,
  operatorRoute,
} from '../../http/operator-api.ts';
import { Problem } from '../../http/problem.ts';
import { actInRegion } from '../../registry/ask-region.ts';
import { regionOfCell } from '../../registry/cells.ts';
import { OncePerKey } from '../../registry/control-idempotency.ts';
import {
  findCredentialRotation,
  getCredentialRotation,
  listCredentialRotations,
} from '../../registry/credential-rotations.ts';
import { getTenant } from '../../registry/tenant-record.ts';
import { entityTag } from '../../resources/entity-tag.ts';
import { ResourceNotFound } from '../../resources/errors.ts';
import { tenantParams } from './tenant-routes.ts';

/** True for a leaked password: it ends at once, with the sessions that have used it. */
const now = z.optional(z.boolean());

export const list = operatorRoute(
  { query: z.strictObject(pageParameters) },
  async ({ registries, query }) => ({
    status: 200,
    body: await listCredentialRotations(registries, pageOf(query)),
  }),
);

export const read = operatorRoute(
  { params: z.object({ credentialRotationId: uuid }) },
  async ({ registries, params }) => {
    const rotation = await findCredentialRotation(registries, params.credentialRotationId);
    return { status: 200, body: rotation, etag: entityTag(rotation) };
  },
);

/** Starts a rotation of a tenant's login role, or of the owner of its own database. */
export const rotateTenant = operatorRoute(
  {
    params: tenantParams,
    body: z.strictObject({ role: z.optional(z.enum(['login', 'owner'])), now }),
    bodyMayBeAbsent: true,
  },
  async (request) => {
    const { registry, region, params, body } = request;
    const { tenantId } = await getTenant(registry, params.tenantId);
    return rotate(request, region.key, { tenant: tenantId, role: body?.role ?? 'login' });
  },
);

/** Starts a rotation of the role of a cell's Starter tenants, or of the owner of its schemas. */
export const rotateCell = operatorRoute(
  {
    params: z.object({ cellId: z.string() }),
    body: z.strictObject({ role: z.optional(z.enum(['starter', 'owner'])), now }),
    bodyMayBeAbsent: true,
  },
  async (request) => {
    const { registries, params, body } = request;
    const { cellId } = params;
    const region = await regionOfCell(registries, cellId);
    if (region === undefined) throw new ResourceNotFound('There is no such cell.');
    return rotate(request, region, { cellId, role: body?.role ?? 'starter' });
  },
);

/** Starts a rotation of the roles of a region's registry. */
export const rotateRegistry = operatorRoute(
  {
    params: z.object({ regionKey: z.string() }),
    body: z.strictObject({ now }),
    bodyMayBeAbsent: true,
  },
  async (request) => {
    const { registries, params } = request;
    if (!registries.keys.includes(params.regionKey)) throw new ResourceNotFound('There is no such region.');
    return rotate(request, params.regionKey, { registry: true });
  },
);

/** Answers 202; the client polls the Location until the rotation has ended. */
async function rotate(
  {
    registries,
    operator,
    facts,
    body,
  }: Pick<
    OperatorRequest<object, object, { now?: boolean | undefined } | undefined>,
    'registries' | 'operator' | 'facts' | 'body'
  >,
  regionKey: string,
  target: CredentialTarget,
): Promise<Answer> {
  const use = controlIdempotencyOf(facts, operator, body);
  const once = use && new OncePerKey(use, getCredentialRotation);
  const registry = registries.of(regionKey);
  const stateMachineArn = inAwsRegion(
    variable<OperatorApiEnvironment>('CREDENTIALS_STATE_MACHINE_ARN'),
    operatorRegion(registries, regionKey).awsRegion,
  );
  // Rotations are rare: their code is loaded with the first one.
  const { requestCredentialRotation } = await import('../../credentials/request-credential-rotation.ts');
  return actInRegion(registries, regionKey, async () => {
    try {
      const id = await requestCredentialRotation(registry, target, {
        actor: { id: operator, type: 'operator' },
        region: regionKey,
        stateMachineArn,
        start: (name, input) => startExecution(stateMachineArn, name, input),
        isImmediate: body?.now ?? false,
        once,
      });
      return {
        status: 202,
        body: once?.answer?.body ?? (await getCredentialRotation(registry, id)),
        location: `/credential-rotations/${id}`,
        replayed: once?.replayed ?? false,
      };
    } catch (error) {
      throw await asProblem(error);
    }
  });
}

async function asProblem(error: unknown): Promise<unknown> {
  const errors = await import('../../credentials/errors.ts');
  if (error instanceof errors.InvalidCredentialInput)
    return new ResourceNotFound(error.message, { cause: error });
  if (error instanceof errors.CredentialRotationNotStarted) {
    const headers = { 'retry-after': '5' };
    return new Problem(503, 'unavailable', { detail: error.message, headers, cause: error });
  }
  if (error instanceof errors.CredentialRotationRunning) {
    return new Problem(409, 'rotation-running', { detail: error.message, cause: error });
  }
  if (error instanceof errors.CredentialError) {
    return new Problem(409, 'conflict', { detail: error.message, cause: error });
  }
  return error;
}
