import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import { TenantSchemaInUse } from '../../database/errors.ts';
import { dropTenantSchema } from '../../database/provisioning/tenant-schema.ts';
import { exclusively } from '../../database/transfer/claim.ts';
import { readPlacement } from '../../database/transfer/fence.ts';
import { hasOlderReaders } from '../../database/transfer/place-facts.ts';
import { asOwnersOf } from '../../places/place-database.ts';
import type { Hop, PhaseOutcome } from '../hop.ts';

const POLL_MS = 1_000;

/**
 * Drops the schema and the role that the tenant left, once no transaction can be reading there any more. The placement stays:
 * it forwards requests that come with an old address. A tenant that has come back meanwhile lives in another schema, of a
 * later epoch. The replication was ended when the hop was settled.
 * @param deadline on `performance.now()`'s clock.
 * @throws {TenantSchemaInUse} the tenant has not left.
 * @throws {AttemptBusy} and the drivers' errors; call it again.
 */
export function cleanUpRelocate({ attempt, source: place }: Hop, deadline: number): Promise<PhaseOutcome> {
  const { tenantId, epoch } = attempt;
  return asOwnersOf([place, place], async ([source, second]) => {
    await refuseAtHome(source!, tenantId, epoch);
    while (await hasOlderReaders(source!, tenantId)) {
      if (performance.now() + POLL_MS > deadline) return { done: false };
      await delay(POLL_MS);
    }
    await exclusively(source!, attempt, async () => {
      await refuseAtHome(source!, tenantId, epoch);
      await dropTenantSchema(second!, { tenantId, ...place });
    });
    return { done: true };
  });
}

async function refuseAtHome(source: pg.Client, tenantId: string, epoch: number): Promise<void> {
  const row = await readPlacement(source, tenantId);
  if (row && row.epoch <= epoch) throw new TenantSchemaInUse('the tenant has not left');
}
