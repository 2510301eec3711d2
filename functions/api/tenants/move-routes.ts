import * as z from 'zod/mini';
import { inAwsRegion, startExecution } from '../../aws/executions.ts';
import { type OperatorApiEnvironment, variable } from '../../contracts/environments.ts';
import type { Answer } from '../../http/answer.ts';
import { pageOf, pageParameters, uuid } from '../../http/input-schemas.ts';
import { controlIdempotencyOf, type OperatorRequest, operatorRoute } from '../../http/operator-api.ts';
import { dryRunMove } from '../../moves/dry-run.ts';
import { readMoveRequest } from '../../moves/move-target.ts';
import { abortMove, requestMove } from '../../moves/request-move.ts';
import { OncePerKey } from '../../registry/control-idempotency.ts';
import type { RegistryExecutor } from '../../registry/data-api.ts';
import { findMoveAndRegion, getMove, listMoves } from '../../registry/moves.ts';
import { getTenant } from '../../registry/tenant-record.ts';
import { entityTag } from '../../resources/entity-tag.ts';
import { ResourceNotFound } from '../../resources/errors.ts';
import { answeringMoveRefusals, surveyByFunction, unlessHandedOver } from './start-move.ts';
import { tenantParams } from './tenant-routes.ts';

const moveParams = z.extend(tenantParams, { moveId: uuid });

export const list = operatorRoute(
  { params: tenantParams, query: z.strictObject(pageParameters) },
  async ({ registry, registries, params, query }) => {
    const { tenantId } = await getTenant(registry, params.tenantId);
    return { status: 200, body: await listMoves(registries, tenantId, pageOf(query)) };
  },
);

/** Starts a move: 202; poll its Location until it has ended. A dry run answers 200 at once. */
export const create = operatorRoute(
  { params: tenantParams, body: z.unknown() },
  async (request: OperatorRequest<z.output<typeof tenantParams>, object, unknown>) => {
    const { registry, registries, region, params, body, operator, facts } = request;
    const { tenantId } = await getTenant(registry, params.tenantId);
    const locate = (moveId: string) => `/tenants/${tenantId}/moves/${moveId}`;
    const ask = async (): Promise<Answer> => {
      const { dryRun, ...asked } = readMoveRequest(body);
      const regions = registries.seenFrom(region.key);
      if (dryRun) {
        const tried = await dryRunMove(registry, { tenantId, ...asked }, surveyByFunction(region), regions);
        return { status: 200, body: tried };
      }
      const use = controlIdempotencyOf(facts, operator, body);
      const read = (executor: RegistryExecutor, moveId: string) => getMove(executor, tenantId, moveId);
      const once = use && new OncePerKey(use, read);
      const stateMachineArn = inAwsRegion(
        variable<OperatorApiEnvironment>('MOVE_STATE_MACHINE_ARN'),
        region.awsRegion,
      );
      const moveId = await requestMove(
        registry,
        { tenantId, ...asked },
        {
          actor: { id: operator, type: 'operator' },
          startedBy: operator,
          stateMachineArn,
          regions,
          once,
          survey: surveyByFunction(region),
          start: (name, input) => startExecution(stateMachineArn, name, input),
        },
      );
      const answer = once?.answer?.body ?? (await read(registry, moveId));
      return { status: 202, body: answer, location: locate(moveId), replayed: once?.replayed ?? false };
    };
    return answeringMoveRefusals(() => unlessHandedOver(registry, tenantId, ask));
  },
);

export const read = operatorRoute(
  { params: moveParams },
  async ({ registry, registries, region, params }) => {
    const { tenantId } = await getTenant(registry, params.tenantId);
    const { move } = await findMoveAndRegion(registries, { region: region.key, tenantId }, params.moveId);
    return { status: 200, body: move, etag: entityTag(move) };
  },
);

/** Requests that a move stops: 202; poll it until it has rolled back. */
export const abort = operatorRoute(
  { params: moveParams },
  async ({ registry, registries, region, params, operator }) => {
    const { tenantId } = await getTenant(registry, params.tenantId);
    const { moveId } = params;
    // A move from another region is recorded in the region that the tenant came from.
    const found = await findMoveAndRegion(registries, { region: region.key, tenantId }, moveId);
    const itsRegistry = registries.of(found.region);
    return answeringMoveRefusals(async () => {
      const known = await abortMove(itsRegistry, { tenantId, moveId, operator });
      if (!known) throw new ResourceNotFound('no such move');
      const body = await getMove(itsRegistry, tenantId, moveId);
      return { status: 202, body, location: `/tenants/${tenantId}/moves/${moveId}` };
    });
  },
);
