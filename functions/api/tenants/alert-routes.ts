import * as z from 'zod/mini';
import { pageOf, pageParameters, uuid } from '../../http/input-schemas.ts';
import { operatorRoute } from '../../http/operator-api.ts';
import { ALERT_STATUSES, acknowledgeAlert, findAlert, listAlerts } from '../../registry/alerts.ts';
import { actInRegion } from '../../registry/ask-region.ts';
import { entityTag } from '../../resources/entity-tag.ts';
import { nameText } from './cell-routes.ts';

const params = z.object({ alertId: uuid });

/** The alerts of all regions, newest first. */
export const list = operatorRoute(
  {
    query: z.strictObject({
      ...pageParameters,
      status: z.optional(z.enum(ALERT_STATUSES, 'must be open, acknowledged or resolved')),
      kind: z.optional(nameText('a kind of alerts')),
      tenantId: z.optional(uuid),
      cellId: z.optional(nameText('the id of a cell')),
    }),
  },
  async ({ registries, query: { limit, cursor, ...filter } }) => ({
    status: 200,
    body: await listAlerts(registries, filter, pageOf({ limit, cursor })),
  }),
);

export const read = operatorRoute({ params }, async ({ registries, params: { alertId } }) => {
  const { alert } = await findAlert(registries, alertId);
  return { status: 200, body: alert, etag: entityTag(alert) };
});

/** Acknowledging again answers the same; a resolved alert is 409. */
export const acknowledge = operatorRoute(
  { params },
  async ({ registries, params: { alertId }, operator }) => {
    const { region } = await findAlert(registries, alertId);
    const alert = await actInRegion(registries, region, () =>
      acknowledgeAlert(registries.of(region), alertId, operator),
    );
    return { status: 200, body: alert };
  },
);
