/**
 * The skills summary is not moved: it is computed again from the rows at the target, so that the tenant has one right
 * after the move. A failure is only logged: until the next scheduled refresh, the tenant's summary is then empty or old,
 * and its `refreshedAt` says so.
 */
import type pg from 'pg';
import { logger } from '../aws/logger.ts';
import { refreshSkillsSummary } from '../database/tables/refresh-skills-summary.ts';
import { asOwnerOf } from '../places/place-database.ts';
import type { Hop } from './hop.ts';

/** Of another refresh of the same shared tables. */
const PATIENCE_MS = 20_000;

/**
 * For a schema of the tenant's own, before the commit: the first request finds the summary. Later writes are in the next
 * refresh. Nobody else uses the schema yet.
 */
export async function summarizeTarget(owner: pg.ClientBase, { target }: Hop): Promise<void> {
  if (target.isolationModel === 'shared') return;
  await refreshSkillsSummary(owner, target.schemaName, { always: true }).catch(logged);
}

/** For shared tables, behind the commit: before it, the rows are not the tenant's. It refreshes the whole cell's summary. */
export async function summarizeSharedTables({ target }: Hop): Promise<void> {
  await asOwnerOf(target, (owner) =>
    refreshSkillsSummary(owner, target.schemaName, {
      always: true,
      lockTimeoutMs: PATIENCE_MS,
    }),
  ).catch(logged);
}

function logged(error: unknown): void {
  logger.warn('the summary was not refreshed', { error: error as Error });
}
