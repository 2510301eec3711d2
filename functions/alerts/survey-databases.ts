import type pg from 'pg';
import * as z from 'zod';
import { asOwner } from '../database/session/owner-connection.ts';
import { isConnectionLost } from '../database/session/sql-state.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import {
  type AccessFloors,
  type AccessObservation,
  accessObservation,
  surveyAccess,
} from './survey-access.ts';
import { databaseObservation, surveyDatabase } from './survey-database.ts';
import { listSurveyedDatabases, listSurveyedTenants, type SurveyedDatabase } from './surveyed-databases.ts';

/** Of one call: its answer stays below the 6 MB that Lambda returns. */
const DATABASES_OF_CALL = 10;
const TENANTS_OF_PAGE = 500;

const cursor = z.object({
  /** All databases up to this one are done. */
  after: z.string().optional(),
  /** Of the next database: its figures are done, and its tenants up to this one. */
  tenant: z.string().optional(),
});
export type SurveyCursor = z.infer<typeof cursor>;

/** Input of the function that surveys. */
export const surveyRequest = z.object({
  cursor: cursor.optional(),
  floors: z.object({
    refusalsAnHour: z.number(),
    operatorRequestsAnHour: z.number(),
    changesADay: z.number(),
  }),
});

const survey = z.object({
  /** By database; none for a part of a database whose figures an earlier call returned. */
  databases: z.array(
    z.object({ key: z.string(), cellId: z.nullable(z.string()), observation: databaseObservation }),
  ),
  tenantsRead: z.array(z.string()),
  /** Of tenants with something to judge. */
  access: z.array(accessObservation),
  /** Databases that could not be reached. Their tenants were not read. */
  unreachable: z.array(z.object({ key: z.string(), cellId: z.nullable(z.string()) })),
});
/** What was observed of a region's databases and tenants. */
export type Survey = z.infer<typeof survey>;

export const surveyAnswer = z.object({ survey, cursor: cursor.optional() });
/** `cursor`: pass it to the next call; absent when all databases are done. */
export type SurveyAnswer = z.infer<typeof surveyAnswer>;

export interface SurveyOptions {
  readonly region: string;
  readonly cursor?: SurveyCursor | undefined;
  readonly floors: AccessFloors;
  /** On `performance.now()`'s clock. */
  readonly deadline: number;
  /** Called for each database, part of one, and tenant that was left out. */
  readonly onSkipped: (skipped: {
    database: string;
    what?: string;
    tenantId?: string;
    error: unknown;
  }) => void;
  readonly connect?: typeof asOwner;
}

/**
 * Observes the region's databases and their tenants, one connection per database, until the deadline. Changes nothing.
 * @throws {RegistryError} the registry did not list them.
 */
export async function surveyDatabases(
  registry: RegistryExecutor,
  { region, cursor: from, floors, deadline, onSkipped, connect = asOwner }: SurveyOptions,
): Promise<SurveyAnswer> {
  const found: Survey = { databases: [], tenantsRead: [], access: [], unreachable: [] };
  let after = from?.after;
  let tenant = from?.tenant;
  for (let handled = 0; handled < DATABASES_OF_CALL; handled += 1) {
    const [database] = await listSurveyedDatabases(registry, region, { after, limit: 1 });
    if (!database) return { survey: found };
    if (performance.now() > deadline) return { survey: found, cursor: { after, tenant } };
    try {
      const rest = await connect(database, (owner) => surveyOne(owner, database, tenant));
      if (rest !== undefined) return { survey: found, cursor: { after, tenant: rest } };
    } catch (error) {
      found.unreachable.push({ key: database.key, cellId: database.cellId });
      onSkipped({ database: database.key, error });
    }
    after = database.key;
    tenant = undefined;
  }
  return { survey: found, cursor: { after } };

  /** @returns the last tenant that was read, when time ran out. */
  async function surveyOne(
    owner: pg.ClientBase,
    { key, cellId }: SurveyedDatabase,
    start: string | undefined,
  ): Promise<string | undefined> {
    if (start === undefined) {
      const observation = await surveyDatabase(owner, (what, error) =>
        onSkipped({ database: key, what, error }),
      );
      found.databases.push({ key, cellId, observation });
    }
    let last = start;
    for (;;) {
      const page = await listSurveyedTenants(registry, key, { after: last, limit: TENANTS_OF_PAGE });
      if (page.length === 0) return undefined;
      for (const tenantId of page) {
        if (last !== undefined && performance.now() > deadline) return last;
        await surveyTenant(owner, key, tenantId);
        last = tenantId;
      }
    }
  }

  async function surveyTenant(owner: pg.ClientBase, key: string, tenantId: string): Promise<void> {
    try {
      const observed = await surveyAccess(owner, tenantId, floors);
      if (!observed) return;
      found.tenantsRead.push(tenantId);
      if (isToBeJudged(observed, floors)) found.access.push(observed);
    } catch (error) {
      if (isConnectionLost(error)) throw error;
      onSkipped({ database: key, tenantId, error });
    }
  }
}

/** Most tenants' figures are below every threshold, and the answer has to stay small. */
function isToBeJudged(
  { refusals, operator, changes, newOperators, brokenChain }: AccessObservation,
  floors: AccessFloors,
): boolean {
  if (newOperators.length > 0 || brokenChain !== null) return true;
  if (operator?.days || changes?.days) return true;
  return refusals !== null && refusals.count >= floors.refusalsAnHour;
}
