import pg from 'pg';
import { type BenchDatabase, BenchServer, type BenchTenant, PASSWORD } from './bench-server.ts';
import { type DelayProxy, startDelayProxy } from './delay-proxy.ts';
import { collect, type Samples, type Timing, timings } from './interleave.ts';
import {
  createTextbookTable,
  SessionContestants,
  type Subject,
  subject,
  type Way,
} from './session-contestants.ts';

export interface SessionCost {
  readonly model: 'shared' | 'schema';
  readonly access: 'read' | 'write';
  readonly timings: Readonly<Record<Way, Timing>>;
}

export interface SessionCosts {
  readonly direct: readonly SessionCost[];
  readonly delayed: readonly SessionCost[];
  /** What the way of `delayed` really adds to each round trip, in milliseconds. */
  readonly addedMs: number;
  readonly serverVersion: string;
}

const PASSES = 4;

/** One statement by primary key through a tenant session, against the raw statement and the textbook's transaction. */
export async function measureSessionCosts(quick: boolean): Promise<SessionCosts> {
  const server = await BenchServer.start();
  let proxy: DelayProxy | undefined;
  try {
    const database = await server.createDatabase('strata');
    const [shared] = (await database.addSharedTenants(200, 50)) as [BenchTenant];
    const schema = await database.addSchemaTenant(50);
    await createTextbookTable(database);
    const subjects = { shared: subject(database, shared), schema: subject(database, schema) };
    proxy = await startDelayProxy(server.port, 1, (port) => connectPlainly(database, schema, port));
    const { rows } = await database.superuser.query<{ server_version: string }>('SHOW server_version');
    const direct = groupsOf(subjects, server.port);
    const delayed = groupsOf(subjects, proxy.port);
    try {
      // In turns: a disturbance of some seconds meets a part of every group, and not all of one.
      for (let pass = 0; pass < PASSES; pass++) {
        for (const group of direct) await measure(group, quick ? 100 : 500);
        for (const group of delayed) await measure(group, quick ? 25 : 200);
      }
    } finally {
      for (const { ways } of [...direct, ...delayed]) await ways.end();
    }
    return {
      serverVersion: rows[0]?.server_version ?? '',
      direct: direct.map(costOf),
      delayed: delayed.map(costOf),
      addedMs: proxy.addedMs,
    };
  } finally {
    await proxy?.stop();
    await server.stop();
  }
}

interface Group extends Pick<SessionCost, 'model' | 'access'> {
  readonly subject: Subject;
  readonly ways: SessionContestants;
  readonly samples: Partial<Samples<Way>>;
}

function groupsOf(subjects: Readonly<Record<SessionCost['model'], Subject>>, port: number): Group[] {
  return (['shared', 'schema'] as const).flatMap((model) =>
    (['read', 'write'] as const).map((access) => ({
      model,
      access,
      subject: subjects[model],
      ways: new SessionContestants(subjects[model], port),
      samples: {},
    })),
  );
}

async function measure({ access, subject, ways, samples }: Group, rounds: number): Promise<void> {
  const ids = await subject.database.employeeIds(subject.tenant);
  await collect(ways.contestants(access, ids), { rounds, warmup: rounds / 5 }, samples);
}

function costOf({ model, access, samples }: Group): SessionCost {
  return { model, access, timings: timings(samples as Samples<Way>) };
}

async function connectPlainly(database: BenchDatabase, { roleName }: BenchTenant, port: number) {
  const login = { user: roleName, password: PASSWORD };
  const client = new pg.Client({ host: '127.0.0.1', port, database: database.name, ...login });
  await client.connect();
  return { ping: () => client.query(''), end: () => client.end() };
}
