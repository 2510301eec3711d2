import * as z from 'zod/mini';
import { pageOf, pageParameters, uuid } from '../../middleware/input-schemas.ts';
import { operatorRoute } from '../../middleware/operator-api.ts';
import { Problem } from '../../middleware/problem.ts';
import { startTierMove } from '../../middleware/start-tier-move.ts';
import { MoveError } from '../../move/errors.ts';
import { acceptOffer, declineOffer } from '../../repositories/answer-offer.ts';
import { listDecisions } from '../../repositories/decisions.ts';
import { listOffers } from '../../repositories/offers.ts';
import { tenantParams } from './tenant-routes.ts';

const offerParams = z.extend(tenantParams, { offerId: uuid });
const page = { params: tenantParams, query: z.strictObject(pageParameters) };

export const decisions = operatorRoute(page, async ({ registry, params, query }) => ({
  status: 200,
  body: await listDecisions(registry, params.tenantId, pageOf(query)),
}));

export const offers = operatorRoute(page, async ({ registry, params, query }) => ({
  status: 200,
  body: await listOffers(registry, params.tenantId, pageOf(query)),
}));

/** Starts the move of the offer: 202, to be polled at its Location. Accepting again answers the same move. */
export const accept = operatorRoute({ params: offerParams }, async ({ registry, params, operator }) => {
  const offer = await acceptOffer(
    registry,
    { tenantReference: params.tenantId, offerId: params.offerId },
    {
      actor: operator,
      startMove: (request) =>
        startTierMove(registry, request, {
          actor: { id: operator, type: 'operator' },
          startedBy: operator,
        }).catch(refuse),
    },
  );
  return { status: 202, body: offer, location: `/tenants/${offer.tenantId}/moves/${offer.moveId}` };
});

export const decline = operatorRoute({ params: offerParams }, async ({ registry, params, operator }) => ({
  status: 200,
  body: await declineOffer(
    registry,
    { tenantReference: params.tenantId, offerId: params.offerId },
    { actor: operator },
  ),
}));

/** A move that cannot start is told as one that was asked for directly. */
function refuse(error: unknown): never {
  if (!(error instanceof MoveError)) throw error;
  if (error.name === 'MoveNotStarted') {
    const headers = { 'retry-after': '5' };
    throw new Problem(503, 'unavailable', { detail: error.message, headers, cause: error });
  }
  const { issues = [] } = error as { issues?: readonly { detail: string }[] };
  throw new Problem(409, 'conflict', {
    detail: error.message,
    ...(issues.length > 0 ? { errors: issues.map(({ detail }) => ({ detail })) } : {}),
    cause: error,
  });
}
