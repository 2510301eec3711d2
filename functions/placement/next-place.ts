import * as z from 'zod/mini';
import type { DatabaseAddress } from '../database/session/pools.ts';

/** Where a tenant will be, unless its move is rolled back: nothing may be done there yet but to connect. */
export interface NextPlace {
  /** Key of the region. */
  readonly region: string;
  readonly address: DatabaseAddress;
}

const place = z.object({
  region: z.string(),
  host: z.string(),
  port: z.int(),
  database: z.string(),
  secretArn: z.string(),
  poolSize: z.int(),
});

/** Undefined for a place that is not complete: it only saves time. */
export function parseNextPlace(text: string): NextPlace | undefined {
  const { data } = place.safeParse(JSON.parse(text));
  if (!data) return undefined;
  const { region, ...address } = data;
  return { region, address };
}
