import pg from 'pg';
import { type BenchDatabase, BenchServer, type BenchTenant, PASSWORD } from './bench-server.ts';
import { type DelayProxy, startDelayProxy } from './delay-proxy.ts';
import { interleave, type Timing } from './interleave.ts';
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
    return {
      serverVersion: rows[0]?.server_version ?? '',
      direct: await measureAll(subjects, server.port, quick ? 300 : 2_000),
      delayed: await measureAll(subjects, proxy.port, quick ? 80 : 500),
      addedMs: proxy.addedMs,
    };
  } finally {
    await proxy?.stop();
    await server.stop();
  }
}

async function measureAll(
  subjects: Readonly<Record<SessionCost['model'], Subject>>,
  port: number,
  rounds: number,
): Promise<SessionCost[]> {
  const costs: SessionCost[] = [];
  for (const model of ['shared', 'schema'] as const) {
    const ids = await subjects[model].database.employeeIds(subjects[model].tenant);
    const ways = new SessionContestants(subjects[model], port);
    for (const access of ['read', 'write'] as const) {
      const timings = await interleave(ways.contestants(access, ids), { rounds, warmup: rounds / 5 });
      costs.push({ model, access, timings });
    }
    await ways.end();
  }
  return costs;
}

async function connectPlainly(database: BenchDatabase, { roleName }: BenchTenant, port: number) {
  const login = { user: roleName, password: PASSWORD };
  const client = new pg.Client({ host: '127.0.0.1', port, database: database.name, ...login });
  await client.connect();
  return { ping: () => client.query(''), end: () => client.end() };
}
