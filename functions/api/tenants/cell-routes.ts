import * as z from 'zod/mini';
import { operatorRoute } from '../../middleware/operator-api.ts';
import { listCells } from '../../repositories/cells.ts';

/** All cells with their fill. They are few: one page. */
export const list = operatorRoute({ query: z.strictObject({}) }, async ({ registries }) => ({
  status: 200,
  body: { items: await listCells(registries), nextCursor: null },
}));
