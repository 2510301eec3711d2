import * as z from 'zod/mini';
import type { DatabaseAddress } from '../database/session/pools.ts';

/** Where a tenant will be, unless its move is rolled back: nothing may be done there yet but to connect. */
export interface NextPlace {
  /** Key of the region. */
  readonly region: string;
  readonly address: DatabaseAddress;
}

/**
 * Of `tenants t`: the target of the tenant's move once its data is copied, as JSON. From then on the role can log in and
 * the way to the cut-over is short.
 */
export const NEXT_PLACE = `(
  SELECT h.target::text FROM tenant_move_hops h JOIN tenant_moves m ON m.move_id = h.move_id
   WHERE h.tenant_id = t.tenant_id AND h.state = 'working'
     AND m.status = 'running' AND m.phase IN ('index', 'catch-up', 'cut-over')
   LIMIT 1) AS next_place`;

const place = z.object({
  ...{ region: z.string(), host: z.string(), port: z.int(), database: z.string(), secretArn: z.string() },
  poolSize: z.int(),
});

/** Undefined for a place that is not complete: it only saves time. */
export function parseNextPlace(text: string): NextPlace | undefined {
  const { data } = place.safeParse(JSON.parse(text));
  if (!data) return undefined;
  const { region, ...address } = data;
  return { region, address };
}
