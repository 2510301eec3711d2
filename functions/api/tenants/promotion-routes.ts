import * as z from 'zod/mini';
import { pageOf, pageParameters, uuid } from '../../http/input-schemas.ts';
import { operatorRoute } from '../../http/operator-api.ts';
import { startTierMove } from '../../moves/request-move.ts';
import { acceptOffer, declineOffer } from '../../promotion/answer-offer.ts';
import { listDecisions } from '../../registry/decisions.ts';
import { listOffers } from '../../registry/offers.ts';
import { answeringMoveRefusals, surveyByFunction } from './start-move.ts';
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
export const accept = operatorRoute(
  { params: offerParams },
  async ({ registry, region, params, operator }) => {
    const { tenantId: tenantReference, offerId } = params;
    const actor = { id: operator, type: 'operator' } as const;
    const offer = await answeringMoveRefusals(() =>
      acceptOffer(
        registry,
        { tenantReference, offerId },
        {
          actor: operator,
          startMove: (request) =>
            startTierMove(registry, request, {
              actor,
              startedBy: operator,
              awsRegion: region.awsRegion,
              survey: surveyByFunction(region),
            }),
        },
      ),
    );
    return { status: 202, body: offer, location: `/tenants/${offer.tenantId}/moves/${offer.moveId}` };
  },
);

export const decline = operatorRoute({ params: offerParams }, async ({ registry, params, operator }) => ({
  status: 200,
  body: await declineOffer(
    registry,
    { tenantReference: params.tenantId, offerId: params.offerId },
    { actor: operator },
  ),
}));
