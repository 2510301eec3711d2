import * as z from 'zod/mini';
import { operatorRoute } from '../../http/operator-api.ts';
import { listCells } from '../../registry/cells.ts';

/** All cells with their fill. They are few: one page. */
export const list = operatorRoute({ query: z.strictObject({}) }, async ({ registries }) => ({
  status: 200,
  body: { items: await listCells(registries), nextCursor: null },
}));
