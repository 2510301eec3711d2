/** The phase of `tenant-offboarding` that signs in to data databases, as their owner. It reaches no other service. */
import { type RegionEnvironment, variable } from '../contracts/environments.ts';
import {
  countSchemaRows,
  eraseDatabase,
  searchDatabase,
  statisticsLeft,
} from '../offboarding/erase-database.ts';
import { keepFound, mergeFact } from '../offboarding/offboarding-records.ts';
import { findPlace } from '../places/place.ts';
import { asOwnerOf } from '../places/place-database.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { registrySql } from '../registry/registry-sql.ts';
import { offboardingState, offboardingTask } from './offboarding-task.ts';
import { phase } from './workflow-task.ts';

/** A call begins no database in this time before Lambda would stop it. */
const MARGIN_MS = 3 * 60_000;

/**
 * Erases what the cells of the region have of the tenant, whether it has ever been there or not, and counts what its
 * dedicated database has, which is deleted as a whole. The workflow calls it until it is done.
 */
const erase = phase(offboardingState, async ({ offboarding }, { registry, lambda }) => {
  const { offboardingId, tenantId } = offboarding;
  const deadline = performance.now() + lambda.getRemainingTimeInMillis() - MARGIN_MS;
  const place = await findPlace(registry, tenantId);
  if (place?.isolationModel === 'dedicated' && place.writerHost !== null) {
    await keepFound(registry, offboardingId, 'database dedicated', () =>
      asOwnerOf(place, (owner) => countSchemaRows(owner, tenantId)),
    );
  }
  for (const { key, ...cell } of await cellsOf(registry)) {
    const store = `database ${key}`;
    const { found } = await keepFound(registry, offboardingId, store, () =>
      asOwnerOf(cell, (owner) => searchDatabase(owner, tenantId)),
    );
    const done = await asOwnerOf(cell, (owner) => eraseDatabase(owner, tenantId, { store, found, deadline }));
    if (!done) return { done: false };
    const kept = await asOwnerOf(cell, (owner) => statisticsLeft(owner, tenantId, found));
    await mergeFact(registry, offboardingId, store, {
      verifiedAt: new Date().toISOString(),
      ...(kept.length > 0 ? { kept } : {}),
    });
  }
  return { done: true };
});

function cellsOf(registry: RegistryExecutor) {
  return registrySql(registry)
    .selectFrom('cells')
    .select(['cell_id as key', 'writer_host as writerHost', 'database_port as port'])
    .select(['database_name as database', 'owner_secret_arn as ownerSecret'])
    .where('region', '=', variable<RegionEnvironment>('REGION_KEY'))
    .orderBy('cell_id')
    .execute();
}

export const phases = { erase };
export const handler = offboardingTask(phases);
