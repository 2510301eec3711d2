/** The phases of `audit-chain`, of the function `backup-data`. */
import * as z from 'zod';
import { logger } from '../aws/logger.ts';
import { ObjectStore } from '../aws/object-store.ts';
import { type BackupDataEnvironment, variable } from '../contracts/environments.ts';
import { ALERTS } from '../contracts/names.ts';
import { asOwner } from '../database/session/owner-connection.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import {
  chainCursor,
  chainFigures,
  chainTask,
  keepChains,
  NO_CHAIN_FIGURES,
} from '../upkeep/audit-chains.ts';
import { addFigures } from '../upkeep/figures.ts';
import { sealsLockedUntil } from '../upkeep/retention.ts';
import { findDatabase, listDatabases } from '../upkeep/upkept-databases.ts';
import type { PhaseContext } from './workflow-task.ts';

/** How long one call begins new work. */
const STEP_MS = 5 * 60_000;

const region = () => variable<BackupDataEnvironment>('REGION_KEY');

/** The region's databases. */
export async function listChains(registry: RegistryExecutor) {
  return { databases: (await listDatabases(registry, region())).map((key) => ({ key })) };
}

const databaseState = z.object({
  key: z.string().min(1),
  task: chainTask,
  /** Result of the previous call. */
  step: z.object({ cursor: chainCursor.optional(), figures: chainFigures }).optional(),
});

/** A part of the work on one database; the workflow calls it until it is done. */
export async function keepDatabaseChains(
  input: unknown,
  { registry, lambda }: PhaseContext,
  lock: 'GOVERNANCE' | 'COMPLIANCE' | undefined,
) {
  const { key, task, step } = databaseState.parse(input);
  const before = step?.figures ?? NO_CHAIN_FIGURES;
  const database = await findDatabase(registry, region(), key);
  // Its tenant has moved, or the cell was removed, since it was listed.
  if (!database) return { done: true, figures: before };
  const bucket = variable<BackupDataEnvironment>('BACKUP_BUCKET');
  const now = new Date();
  const outcome = await asOwner(database, (owner) =>
    keepChains(registry, owner, database, {
      task,
      storeFor: ({ tier }) =>
        new ObjectStore(bucket, lock ? { lock: { mode: lock, until: sealsLockedUntil(now, tier) } } : {}),
      deadline: performance.now() + Math.min(STEP_MS, lambda.getRemainingTimeInMillis() / 2),
      cursor: step?.cursor,
      onBroken: (tenantId, link) => logger.error(ALERTS.auditChain, { tenantId, database: key, ...link }),
      onFailure: ({ tenantId, error }) =>
        logger.error('left out of the audit chain', { tenantId, database: key, error: error as Error }),
    }),
  );
  return { ...outcome, figures: addFigures(before, outcome.figures) };
}

const results = z.array(
  z.union([
    z.object({ key: z.string(), step: z.object({ figures: chainFigures }) }),
    z.object({ key: z.string(), error: z.string() }),
  ]),
);

/** Sums up. A broken chain raises its own alarm and is no failure of the run. */
export function reportChains(input: unknown) {
  const databases = results.parse(input);
  const figuresOf = (one: (typeof databases)[number]) =>
    'step' in one ? one.step.figures : { ...NO_CHAIN_FIGURES, failures: 1 };
  const figures = databases.map(figuresOf).reduce(addFigures, NO_CHAIN_FIGURES);
  const failed = databases.filter((one) => figuresOf(one).failures > 0).map(({ key }) => key);
  const summary = { databases: databases.length, figures, failed };
  logger.info('audit chains', summary);
  const cause = `Left undone in ${failed.join(', ')}: see the log of backup-data.`;
  return { complete: failed.length === 0, ...summary, cause };
}
