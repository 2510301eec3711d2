import type { Expression } from 'kysely';
import * as z from 'zod/mini';
import type { DatabaseAddress } from '../database/session/pools.ts';
import { compilingOnly } from '../registry/registry-sql.ts';

/** Where a tenant will be, unless its move is rolled back: nothing may be done there yet but to connect. */
export interface NextPlace {
  /** Key of the region. */
  readonly region: string;
  readonly address: DatabaseAddress;
}

/**
 * The target of the tenant's move once its data is copied, as JSON. From then on the role can log in and the way to the
 * cut-over is short.
 */
export const nextPlaceOf = (tenantId: Expression<string>) =>
  compilingOnly
    .selectFrom('tenant_move_hops as h')
    .innerJoin('tenant_moves as m', 'm.move_id', 'h.move_id')
    .select('h.target')
    .where('h.tenant_id', '=', tenantId)
    .where('h.state', '=', 'working')
    .where('m.status', '=', 'running')
    .where('m.phase', 'in', ['index', 'catch-up', 'cut-over'])
    .limit(1);

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
