import * as z from 'zod/mini';
import type { Answer } from '../../http/answer.ts';
import { pageOf, pageParameters, uuid } from '../../http/input-schemas.ts';
import { controlIdempotencyOf, operatorRoute } from '../../http/operator-api.ts';
import { Problem } from '../../http/problem.ts';
import { OncePerKey } from '../../registry/control-idempotency.ts';
import { findRotationOfRegions, getRotation, listRotations } from '../../registry/field-rotations.ts';
import { getTenant } from '../../registry/tenant-record.ts';
import { entityTag } from '../../resources/entity-tag.ts';
import { RotationInProgress, TenantNotRotatable } from '../../rotations/errors.ts';
import { requestRotation } from '../../rotations/request-rotation.ts';
import { tenantParams } from './tenant-routes.ts';

const rotationParams = z.extend(tenantParams, { rotationId: uuid });

/** The tenant's rotations, oldest first. */
export const list = operatorRoute(
  { params: tenantParams, query: z.strictObject(pageParameters) },
  async ({ registry, registries, params, query }) => {
    const { tenantId } = await getTenant(registry, params.tenantId);
    return { status: 200, body: await listRotations(registries, tenantId, pageOf(query)) };
  },
);

/** Has all encrypted fields of a tenant encrypted again: 202, to be polled at its Location until it has ended. */
export const create = operatorRoute(
  { params: tenantParams, body: z.strictObject({}), bodyMayBeAbsent: true },
  async ({ registry, region, params, body, operator, facts }): Promise<Answer> => {
    const { tenantId } = await getTenant(registry, params.tenantId);
    const use = controlIdempotencyOf(facts, operator, body);
    const once =
      use && new OncePerKey(use, (executor, rotationId) => getRotation(executor, tenantId, rotationId));
    try {
      const actor = { id: operator, type: 'operator' } as const;
      const rotationId = await requestRotation(registry, tenantId, { actor, region: region.key, once });
      const answer = once?.answer?.body ?? (await getRotation(registry, tenantId, rotationId));
      return {
        status: 202,
        body: answer,
        location: `/tenants/${tenantId}/key-rotations/${rotationId}`,
        replayed: once?.replayed ?? false,
      };
    } catch (error) {
      if (error instanceof RotationInProgress) {
        throw new Problem(409, 'rotation-running', { detail: error.message, cause: error });
      }
      if (error instanceof TenantNotRotatable) {
        throw new Problem(409, 'conflict', { detail: error.message, cause: error });
      }
      throw error;
    }
  },
);

export const read = operatorRoute(
  { params: rotationParams },
  async ({ registry, registries, region, params }) => {
    const { tenantId } = await getTenant(registry, params.tenantId);
    const rotation = await findRotationOfRegions(
      registries,
      { region: region.key, tenantId },
      params.rotationId,
    );
    return { status: 200, body: rotation, etag: entityTag(rotation) };
  },
);
