import * as z from 'zod/mini';
import { operatorRoute } from '../../http/operator-api.ts';
import { askRegion } from '../../registry/ask-region.ts';
import { findCell, listCells } from '../../registry/cells.ts';
import { entityTag } from '../../resources/entity-tag.ts';

/** A name such as `us-1`. */
export const nameText = (what: string) =>
  z.string(`must be ${what}`).check(z.regex(/^[a-z0-9][a-z0-9-]{0,62}$/, `must be ${what}`));

const params = z.object({ cellId: nameText('the id of a cell') });

export const read = operatorRoute({ params }, async ({ registries, params: { cellId } }) => {
  const cell = await findCell(registries, cellId);
  return { status: 200, body: cell, etag: entityTag(cell) };
});

/** Which tenants should leave the cell. Nothing moves. */
export const rebalancingPlan = operatorRoute({ params }, async ({ registries, params: { cellId } }) => {
  const cell = await findCell(registries, cellId);
  const cells = (await listCells(registries)).filter(({ region }) => region === cell.region);
  const { draftRebalancing } = await import('./draft-rebalancing.ts');
  const plan = await askRegion(registries, cell.region, (registry) =>
    draftRebalancing(registry, cell, cells),
  );
  return { status: 200, body: plan };
});
