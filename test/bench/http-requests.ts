import { readFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { join } from 'node:path';
import tls from 'node:tls';
import { DescribeDBClustersCommand, RDSClient } from '@aws-sdk/client-rds';
import pg from 'pg';
import { employees } from '../../functions/tenant-data/employees.ts';
import { type BenchPlatform, benchPlatform } from './bench-platform.ts';
import { inTurn } from './in-turn.ts';
import { interleave, type Timing, timing } from './interleave.ts';

export interface HttpRequests {
  readonly slug: string;
  readonly model: 'shared' | 'schema' | 'dedicated';
  /** One request at a time, in turn with everything else. */
  readonly alone: Timing;
  /** Eight at a time. */
  readonly eightAtOnce: Timing;
  /** The same row by one query past the platform, in turn with `alone`. */
  readonly rawQuery: Timing;
}

const DEMO = [
  { slug: 'initech', model: 'shared' },
  { slug: 'globex', model: 'schema' },
  { slug: 'acme', model: 'dedicated' },
] as const;
const CONCURRENCY = 8;

interface Subject {
  readonly read: () => Promise<void>;
  readonly query: () => Promise<unknown>;
}

/** GET /employees/{employeeId} through the local gateway, authorizer, worker and session, under all three models. */
export async function measureHttpRequests(quick: boolean): Promise<HttpRequests[]> {
  const platform = await benchPlatform();
  const agent = new Agent({ keepAlive: true, maxSockets: CONCURRENCY });
  const pools: pg.Pool[] = [];
  try {
    const authority = readFileSync(join(platform.stateDir, 'tls/ca.crt'), 'utf8');
    tls.setDefaultCACertificates([...tls.getCACertificates('default'), authority]);
    const ports = await clusterPorts(platform);
    const subjects = new Map<string, Subject>();
    for (const { slug, model } of DEMO) {
      subjects.set(slug, await subjectOf(platform, agent, ports, pools, slug, model));
    }
    const contestants: Record<string, () => Promise<unknown>> = {};
    for (const [slug, { read, query }] of subjects) {
      contestants[slug] = read;
      contestants[`${slug} raw`] = query;
    }
    const timings = await interleave(contestants, { rounds: quick ? 150 : 1_000, warmup: quick ? 50 : 200 });
    const concurrent = await measureConcurrent(subjects, quick ? 4 : 20);
    return DEMO.map(({ slug, model }) => ({
      slug,
      model,
      alone: timings[slug] as Timing,
      eightAtOnce: concurrent.get(slug) as Timing,
      rawQuery: timings[`${slug} raw`] as Timing,
    }));
  } finally {
    agent.destroy();
    await Promise.all(pools.map((pool) => pool.end()));
    await platform.stop();
  }
}

/** Each turn is one tenant's: eight clients that ask again as soon as they are answered. */
async function measureConcurrent(
  subjects: ReadonlyMap<string, Subject>,
  turns: number,
): Promise<Map<string, Timing>> {
  const samples = new Map<string, number[]>([...subjects.keys()].map((slug) => [slug, []]));
  for (let turn = -1; turn < turns; turn++) {
    for (const [slug, { read }] of subjects) {
      const client = async () => {
        for (let n = 0; n < 25; n++) {
          const start = performance.now();
          await read();
          if (turn >= 0) samples.get(slug)?.push(performance.now() - start);
        }
      };
      await Promise.all(Array.from({ length: CONCURRENCY }, client));
    }
  }
  return new Map([...samples].map(([slug, values]) => [slug, timing(values)]));
}

async function subjectOf(
  platform: BenchPlatform,
  agent: Agent,
  ports: ReadonlyMap<string, number>,
  pools: pg.Pool[],
  slug: string,
  model: HttpRequests['model'],
): Promise<Subject> {
  const token = await platform.token('--tenant', slug, '--user', `admin@${slug}.test`);
  const [, payload = ''] = token.split('.');
  const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as { tenant_id: string };
  const get = (path: string) => getJson(`${platform.apiUrl}${path}`, token, agent);
  const { items } = (await get('/employees?limit=20')) as { items: { employeeId: string }[] };
  const ids = items.map(({ employeeId }) => employeeId);
  const cluster = model === 'dedicated' ? `strata-tenant-${claims.tenant_id}` : 'strata-us-1';
  // The name of a dedicated cluster ends in its launch.
  const port = [...ports].find(([name]) => name.startsWith(cluster))?.[1];
  if (!port) throw new Error(`the platform has no cluster for ${slug}`);
  const pool = superuserPool(platform, port);
  pools.push(pool);
  const id = inTurn(ids);
  const { text, tenant } = await rawQuery(pool, model, claims.tenant_id);
  return {
    read: async () => void (await get(`/employees/${id()}`)),
    query: () => pool.query(text, [id(), ...tenant]),
  };
}

function getJson(url: string, token: string, agent: Agent): Promise<unknown> {
  return new Promise((done, failed) => {
    const outgoing = request(url, { agent, headers: { authorization: `Bearer ${token}` } }, (answer) => {
      let body = '';
      answer.setEncoding('utf8').on('data', (text: string) => {
        body += text;
      });
      answer.on('end', () => {
        if (answer.statusCode === 200) done(JSON.parse(body));
        else failed(new Error(`GET ${url} answered ${answer.statusCode}: ${body}`));
      });
    });
    outgoing.on('error', failed).end();
  });
}

async function clusterPorts({ awsUrl }: BenchPlatform): Promise<Map<string, number>> {
  const credentials = { accessKeyId: 'any', secretAccessKey: 'any' };
  const rds = new RDSClient({ endpoint: awsUrl, region: 'us-east-1', credentials });
  const { DBClusters = [] } = await rds.send(new DescribeDBClustersCommand({}));
  return new Map(
    DBClusters.map(({ DBClusterIdentifier, Port }) => [String(DBClusterIdentifier), Number(Port)]),
  );
}

/** The platform's own superuser sees past row-level security, as a raw query has to. */
function superuserPool({ stateDir }: BenchPlatform, port: number): pg.Pool {
  const { password } = JSON.parse(readFileSync(join(stateDir, 'state/postgres-superuser.json'), 'utf8')) as {
    password: string;
  };
  const ssl = { rejectUnauthorized: true, minVersion: 'TLSv1.2' } as const;
  return new pg.Pool({ host: '127.0.0.1', port, database: 'strata', user: 'rdsadmin', password, ssl });
}

async function rawQuery(pool: pg.Pool, model: HttpRequests['model'], tenantId: string) {
  const columns = employees.resource.columns.join(', ');
  if (model === 'shared') {
    const text = `SELECT ${columns} FROM shared.employees WHERE employee_id = $1 AND tenant_id = $2`;
    return { text, tenant: [tenantId] };
  }
  const { rows } = await pool.query<{ schemaname: string }>(
    "SELECT schemaname FROM pg_catalog.pg_tables WHERE tablename = 'employees' AND starts_with(schemaname, $1)",
    [`tenant_${tenantId.replaceAll('-', '')}_e`],
  );
  if (!rows[0]) throw new Error(`the tenant's schema is not where it should be`);
  return {
    text: `SELECT ${columns} FROM ${rows[0].schemaname}.employees WHERE employee_id = $1`,
    tenant: [],
  };
}
