import type pg from 'pg';
import type { IsolationModel } from '../contracts/tenant.ts';
import { asOwner } from '../database/session/owner-connection.ts';
import type { Attempt } from '../database/transfer/claim.ts';

/** Where a tenant's data is or will be: `source` and `target` of a hop, as the registry keeps them. */
export interface Place {
  readonly isolationModel: IsolationModel;
  /** null for a dedicated database. */
  readonly cellId: string | null;
  /** Key of the region, such as `us`. */
  readonly region: string;
  /** Proxy, for requests; null while a dedicated database is not there yet. So are port, writerHost and clusterArn. */
  readonly host: string | null;
  readonly port: number | null;
  /** Cluster, for movers. */
  readonly writerHost: string | null;
  readonly readerHost: string | null;
  readonly clusterArn: string | null;
  readonly database: string;
  readonly schemaName: string;
  readonly roleName: string;
  /** The login role's secret; null until it is created. */
  readonly secretArn: string | null;
  /** Name or ARN of the secret of the database's owner. */
  readonly ownerSecret: string;
  /** CloudFormation stack of a dedicated database. */
  readonly stackName: string | null;
  readonly poolSize: number;
  /** Of the tenant while it lives there. */
  readonly epoch: number;
  /**
   * Version of the tables. Of a target: that of both places from `prepare` to the end of the hop, because rollouts leave
   * the tables of a claimed tenant alone. Absent before `prepare`, and where an older release prepared the hop.
   */
  readonly schemaVersion?: number;
  /** Version of schema `tenancy` in a dedicated database, once it is bootstrapped. */
  readonly tenancyVersion?: number;
}

/** A reshape changes the isolation model inside one database; a relocate takes a schema to another cluster. */
export type HopKind = 'reshape' | 'relocate';

/** One hop of one move, as its steps see it. */
export interface Hop {
  readonly moveId: string;
  readonly index: number;
  readonly kind: HopKind;
  readonly attempt: Attempt;
  /** `<epoch>a<number>`: the end of every name that belongs to this attempt. */
  readonly suffix: string;
  readonly source: Place;
  readonly target: Place;
}

/** Releases before there were rollouts knew no other. */
const FIRST_ROLLED_OUT = 2;

/** The version of the tables of both places, for phases behind `prepare`. */
export const schemaVersionOf = ({ target }: Pick<Hop, 'target'>) => target.schemaVersion ?? FIRST_ROLLED_OUT;

/** What the schema of the target has, or will have. */
export function tablesAtTarget(hop: Pick<Hop, 'target'>) {
  return { schemaName: hop.target.schemaName, schemaVersion: schemaVersionOf(hop) };
}

/** How far the present phase is. What is unknown is left out. */
export interface PhaseProgress {
  readonly rowsDone?: number;
  readonly rowsTotal?: number;
  readonly bytesDone?: number;
  readonly bytesTotal?: number;
  readonly lagBytes?: number;
  /** How long the tenant's writes have been paused so far, or were; milliseconds. */
  readonly pauseMs?: number;
}

/** What a step of a hop works with. Steps are idempotent: any of them may run again from its start, or twice at once. */
export interface StepContext {
  readonly hop: Hop;
  /** On `performance.now()`'s clock: a step that is not done by then returns what it has, and is called again. */
  readonly deadline: number;
  /** Shows the progress of the phase. @throws {MoveAborted} before the commit point, where somebody asked to stop. */
  progress(update: PhaseProgress): Promise<void>;
  /** Keeps facts with the hop, for the move's report; merged into what is there. */
  keep(facts: Readonly<Record<string, unknown>>): Promise<void>;
  /** What was kept so far, by this step or an earlier one. */
  readonly kept: Readonly<Record<string, unknown>>;
  /** Fills in what was not known of the target when the hop was planned; later steps find it in `hop.target`. */
  amendTarget(found: Partial<Place>): Promise<void>;
}

/** What a step answers that the workflow calls until it is done; `cursor`, which is JSON, goes into the next call as it is. */
export interface StepOutcome<Cursor = unknown> {
  readonly done: boolean;
  readonly cursor?: Cursor;
}

/** One phase of a hop. */
export type Step = (context: StepContext, cursor?: unknown) => Promise<StepOutcome>;

/** What callers of the old place are told: the columns of the routing row that make a placement. */
export function forwardTo(target: Place): Record<string, unknown> {
  return {
    epoch: target.epoch,
    isolation_model: target.isolationModel,
    region: target.region,
    database_host: target.host,
    database_port: target.port,
    database_name: target.database,
    secret_arn: target.secretArn,
    connection_pool_size: target.poolSize,
    ...(target.schemaVersion === undefined ? {} : { schema_version: target.schemaVersion }),
  };
}

/** Publication, subscription, slot and replication role of a relocate share this name. */
export function replicationName({ attempt, suffix }: Hop): string {
  return `move_${attempt.tenantId.replaceAll('-', '')}_e${suffix}`;
}

/** Runs `work` as the owner of the place's database. @throws {TypeError} before there is one; and the driver's errors. */
export async function asOwnerOf<Result>(
  { writerHost, port, database, ownerSecret }: Place,
  work: (owner: pg.Client) => Promise<Result>,
): Promise<Result> {
  if (writerHost === null || port === null) throw new TypeError('the place has no database yet');
  return asOwner({ writerHost, port, database, ownerSecret }, work, { pipeline: true });
}
