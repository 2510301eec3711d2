import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CloudFormationClient, ListStacksCommand } from '@aws-sdk/client-cloudformation';
import { DescribeDBClustersCommand, DescribeDBProxiesCommand, RDSClient } from '@aws-sdk/client-rds';
import {
  GetSecretValueCommand,
  ListSecretsCommand,
  SecretsManagerClient,
} from '@aws-sdk/client-secrets-manager';
import {
  DescribeExecutionCommand,
  type DescribeExecutionCommandOutput,
  GetExecutionHistoryCommand,
  ListStateMachinesCommand,
  SFNClient,
  StartExecutionCommand,
} from '@aws-sdk/client-sfn';
import pg from 'pg';
import { DataApi } from '../../functions/registry/data-api.ts';
import { platform, unique } from './running-platform.ts';

/** What onboarding leaves of one tenant, wherever it leaves something; names and secrets' values aside. */
export interface Footprint {
  tenants: { status: string; reason: string | null; users: number; places: number }[];
  /** Kinds of secrets, sorted. */
  secrets: string[];
  /** How often the cell's proxy accepts the tenant's secret. */
  accepted: number;
  /** Statuses of its CloudFormation stacks. */
  stacks: string[];
  /** In its data database; undefined where it has none. */
  data: { roles: number; schemas: number; tables: number; placements: string[] } | undefined;
}

export type Tier = 'starter' | 'business' | 'enterprise';
export interface Input {
  name: string;
  slug: string;
  adminEmail: string;
  tier: Tier;
}

export function newInput(tier: Tier): Input {
  const slug = unique('onb').toLowerCase();
  return { name: `Tenant ${slug}`, slug, adminEmail: `admin@${slug}.test`, tier };
}

export class OnboardingProbe {
  readonly states: SFNClient;
  readonly secrets: SecretsManagerClient;
  readonly #rds: RDSClient;
  readonly #stacks = new CloudFormationClient({});
  readonly registry: DataApi;
  readonly stateMachineArn: string;

  private constructor(
    { states, secrets, rds }: Pick<OnboardingProbe, 'states' | 'secrets'> & { rds: RDSClient },
    registry: DataApi,
    stateMachineArn: string,
  ) {
    this.states = states;
    this.secrets = secrets;
    this.#rds = rds;
    this.registry = registry;
    this.stateMachineArn = stateMachineArn;
  }

  static async connect(): Promise<OnboardingProbe> {
    Object.assign(process.env, {
      AWS_ENDPOINT_URL: platform().awsUrl,
      AWS_REGION: 'us-east-1',
      AWS_ACCESS_KEY_ID: 'administrator',
      AWS_SECRET_ACCESS_KEY: 'local',
    });
    const [states, secrets, rds] = [
      new SFNClient({}),
      new SecretsManagerClient({}),
      new RDSClient({}),
    ] as const;
    const [{ stateMachines }, { DBClusters }, { ARN }] = await Promise.all([
      states.send(new ListStateMachinesCommand({})),
      rds.send(new DescribeDBClustersCommand({})),
      secrets.send(new GetSecretValueCommand({ SecretId: 'strata/registry/writer' })),
    ]);
    const clusterArn = DBClusters!.find(({ DatabaseName }) => DatabaseName === 'registry')!.DBClusterArn!;
    const registry = new DataApi({ clusterArn, secretArn: ARN!, database: 'registry' });
    const arn = stateMachines!.find(({ name }) => name === 'tenant-onboarding')!.stateMachineArn!;
    return new OnboardingProbe({ states, secrets, rds }, registry, arn);
  }

  async start(input: unknown): Promise<string> {
    const { stateMachineArn } = this;
    const { executionArn } = await this.states.send(
      new StartExecutionCommand({ stateMachineArn, input: JSON.stringify(input) }),
    );
    return executionArn!;
  }

  async ended(executionArn: string): Promise<DescribeExecutionCommandOutput> {
    return this.#until(async () => {
      const execution = await this.states.send(new DescribeExecutionCommand({ executionArn }));
      return execution.status === 'RUNNING' ? undefined : execution;
    });
  }

  async execute(input: unknown): Promise<DescribeExecutionCommandOutput> {
    return this.ended(await this.start(input));
  }

  /** Waits until the execution is in that state; false when it ended without coming there. */
  async entered(executionArn: string, stateName: string): Promise<boolean> {
    return this.#until(async () => {
      const { status } = await this.states.send(new DescribeExecutionCommand({ executionArn }));
      const { events } = await this.states.send(
        new GetExecutionHistoryCommand({ executionArn, maxResults: 1000 }),
      );
      if (events!.some(({ stateEnteredEventDetails }) => stateEnteredEventDetails?.name === stateName))
        return true;
      return status === 'RUNNING' ? undefined : false;
    });
  }

  /**
   * Calls the task functions as the workflow does, each phase twice at the same time.
   * @param phases each after its function, such as `registry register`
   */
  async runPhases(input: Input, phases: string[]): Promise<void> {
    const state: Record<string, unknown> = { input, executionArn: 'test' };
    for (const each of phases) {
      const [task, phase] = each.split(' ') as [string, string];
      const twice = () => Promise.all([this.#invoke(task, phase, state), this.#invoke(task, phase, state)]);
      let [result] = await twice();
      if (phase === 'register') state.tenant = result;
      while (phase === 'launch' && !(result as { ready: boolean }).ready) {
        state.stack = result;
        [result] = await twice();
      }
    }
  }

  async #invoke(task: string, phase: string, state: unknown): Promise<unknown> {
    const { Functions } = await lambda('GET', '/');
    const id = new RegExp(`Onboarding${task}[0-9A-F]{8}`);
    const { FunctionName } = Functions.find((one: { FunctionName: string }) => id.test(one.FunctionName));
    const result = await lambda('POST', `/${FunctionName}/invocations`, { phase, state });
    if (result?.errorType) throw new Error(`${phase}: ${result.errorType}: ${result.errorMessage}`);
    return result;
  }

  async tenantId(slug: string): Promise<string> {
    const [row] = await this.registry.query<{ id: string }>(
      'SELECT tenant_id::text AS id FROM tenants WHERE tenant_slug = :slug',
      { slug },
    );
    return row!.id;
  }

  async footprint(slug: string): Promise<Footprint> {
    const tenants = await this.registry.query<Footprint['tenants'][number]>(
      `SELECT status, status_reason AS reason,
              (SELECT count(*) FROM tenant_users u WHERE u.tenant_id = t.tenant_id)::int AS users,
              (SELECT count(*) FROM tenant_database_routing r WHERE r.tenant_id = t.tenant_id)::int AS places
       FROM tenants t WHERE tenant_slug = :slug`,
      { slug },
    );
    const id = await this.tenantId(slug);
    const [place] = await this.registry.query<Place>(
      `SELECT r.writer_host, r.database_port, r.database_name, r.secret_arn, c.owner_secret_arn, c.proxy_name
       FROM tenant_database_routing r LEFT JOIN cells c ON c.cell_id = r.cell_id WHERE tenant_id = :id::uuid`,
      { id },
    );
    return {
      tenants,
      secrets: await this.#secretKinds(id),
      accepted: place?.proxy_name ? await this.#accepted(place.proxy_name, id) : 0,
      stacks: await this.#stackStatuses(id),
      data: place && (await this.#data(id, place)),
    };
  }

  async #secretKinds(id: string): Promise<string[]> {
    const kinds: string[] = [];
    for (const prefix of [`strata/tenant/${id}/`, `strata/dedicated/${id}/`]) {
      const { SecretList } = await this.secrets.send(
        new ListSecretsCommand({ Filters: [{ Key: 'name', Values: [prefix] }] }),
      );
      kinds.push(...SecretList!.map(({ Name }) => Name!.replace(id, '').replace(id.replaceAll('-', ''), '')));
    }
    return kinds.sort();
  }

  async #accepted(proxy: string, id: string): Promise<number> {
    const { DBProxies } = await this.#rds.send(new DescribeDBProxiesCommand({ DBProxyName: proxy }));
    return DBProxies![0]!.Auth!.filter(({ SecretArn }) => SecretArn!.includes(`strata/tenant/${id}/`)).length;
  }

  async #stackStatuses(id: string): Promise<string[]> {
    const { StackSummaries } = await this.#stacks.send(new ListStacksCommand({}));
    return StackSummaries!
      .filter(({ StackName }) => StackName === `strata-tenant-${id}`)
      .map(({ StackStatus }) => StackStatus!);
  }

  async #data(id: string, place: Place): Promise<Footprint['data']> {
    const { SecretString } = await this.secrets.send(
      new GetSecretValueCommand({ SecretId: place.owner_secret_arn ?? `strata/dedicated/${id}/owner` }),
    );
    const { username, password } = JSON.parse(SecretString!) as { username: string; password: string };
    const client = new pg.Client({
      host: place.writer_host,
      port: place.database_port,
      database: place.database_name,
      user: username,
      password,
      ssl: { ca: readFileSync(join(platform().stateDir, 'tls/ca.crt'), 'utf8') },
    });
    client.on('error', () => {});
    // A dedicated database that is not bootstrapped has no owner yet.
    const connected = await client.connect().then(
      () => true,
      () => false,
    );
    if (!connected) return undefined;
    try {
      const { rows } = await client.query(
        `SELECT (SELECT count(*) FROM pg_roles WHERE rolname LIKE $2)::int AS roles,
                (SELECT count(*) FROM pg_namespace WHERE nspname LIKE $2)::int AS schemas,
                (SELECT count(*) FROM pg_tables WHERE schemaname LIKE $2)::int AS tables,
                ARRAY(SELECT state || ' ' || isolation_model || ' ' || epoch FROM tenancy.placement
                      WHERE tenant_id = $1) AS placements`,
        [id, `tenant\\_${id.replaceAll('-', '')}%`],
      );
      return rows[0];
    } finally {
      await client.end();
    }
  }

  /** Asks again, a little later each time, until there is an answer. */
  async #until<Result>(ask: () => Promise<Result | undefined>): Promise<Result> {
    for (;;) {
      const answer = await ask();
      if (answer !== undefined) return answer;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

interface Place {
  writer_host: string;
  database_port: number;
  database_name: string;
  secret_arn: string | null;
  owner_secret_arn: string | null;
  proxy_name: string | null;
}

/** Lambda's API without its SDK client, which nothing else needs. Local credentials are a name, not a signature. */
// biome-ignore lint/suspicious/noExplicitAny: the answer is whatever the function answers.
async function lambda(method: string, path: string, payload?: unknown): Promise<any> {
  const scope = 'administrator/20260101/us-east-1/lambda/aws4_request';
  const response = await fetch(`${platform().awsUrl}/2015-03-31/functions${path}`, {
    method,
    headers: { authorization: `AWS4-HMAC-SHA256 Credential=${scope}, SignedHeaders=host, Signature=none` },
    ...(payload === undefined ? {} : { body: JSON.stringify(payload) }),
  });
  return response.json();
}
