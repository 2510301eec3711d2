import { randomUUID } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bootstrapRegistry } from '../../functions/registry/bootstrap-registry.ts';
import { registerCell } from '../../functions/registry/cells.ts';
import { DataApi } from '../../functions/registry/data-api.ts';
import {
  freePort,
  internals,
  LOCAL_ACCOUNT,
  type PlatformContext,
  type ResourceFactory,
  stateFile,
  type Template,
} from '../../infra/local/index.ts';

const {
  passiveResourceTypes,
  TemplateDeployer,
  createAwsEndpoint,
  localCertificates,
  PostgresClusters,
  preparePostgresFiles,
  localPrincipals,
  claimStateDirectory,
  prepareStateDirectory,
} = await internals();

const REGION = 'us-east-1';
const PASSWORDS = {
  readerPassword: 'reader-password',
  writerPassword: 'writer-password',
  usersPassword: 'users-password',
};

/** A registry and proxies behind the local AWS endpoint, without functions and data databases: for registry logic. */
export interface ControlPlane {
  /** With the rights that tasks have. */
  registry: DataApi;
  /** For what only a test does to a registry. */
  master: DataApi;
  awsUrl: string;
  /** Of the registry, as a task's environment names it. */
  clusterArn: string;
  secretArn: string;
  /** That CloudFormation acts as; it may make secrets and databases. */
  serviceRoleArn: string;
  /** Adds a cell with a proxy of its own. @returns its id */
  addCell(cell?: {
    dataResidency?: string;
    maxBusinessTenants?: number;
    status?: 'active' | 'full' | 'draining';
    /** The registry that knows it, with a master's rights; the plane's where there is none. */
    master?: DataApi;
  }): Promise<string>;
  /** Another AWS region's registry, where everything has the same names. */
  addRegistry(
    region: string,
  ): Promise<{ registry: DataApi; master: DataApi; clusterArn: string; secretArn: string }>;
  /** Deploys further resources. @returns the template's outputs */
  deploy(name: string, template: Template, region?: string): Promise<Record<string, string>>;
  /** Makes a file the CloudFormation template of that URL. */
  serveTemplate(url: string, path: string): void;
  stop(): Promise<void>;
}

/**
 * Starts it, and points this process's SDK clients there.
 * @param reachedAt answers the URL that the clients get: of a relay, say, that passes their calls on to `awsUrl`.
 */
export async function startControlPlane(
  reachedAt: (awsUrl: string) => Promise<string> = async (awsUrl) => awsUrl,
): Promise<ControlPlane> {
  const stateDir = mkdtempSync(join(tmpdir(), 'strata-control-plane-'));
  // PostgreSQL's own user has to reach its data.
  chmodSync(stateDir, 0o755);
  prepareStateDirectory(claimStateDirectory(stateDir));
  const state = stateFile(join(stateDir, 'state'));
  const certificates = await localCertificates(join(stateDir, 'tls'));
  const log = () => {};
  const clusters = new PostgresClusters(preparePostgresFiles(stateDir), certificates, state, log);
  const templates = new Map<string, string>();
  const factories = new Map<string, ResourceFactory>();
  const awsPort = await freePort(undefined, new Set());
  const awsUrl = `http://127.0.0.1:${awsPort}`;
  const context: PlatformContext = {
    stateDir,
    account: LOCAL_ACCOUNT,
    awsUrl,
    stacks: new Map(),
    clusters,
    state,
    log,
    waitScale: 0.005,
    functions: { invoke: () => Promise.reject(new Error('there are no functions')), list: () => [] },
    principals: localPrincipals(state),
    assets: { path: (location) => templates.get('url' in location ? location.url : location.key)! },
    caCertificate: certificates.caCertificate,
    deployer: new TemplateDeployer({
      factory: (type) => factories.get(type),
      secretString: (secretId, region) => endpoint.secretString(secretId, region),
      context: () => context,
    }),
  };
  const endpoint = createAwsEndpoint({ context, before: [] });
  for (const factory of [...passiveResourceTypes(), ...endpoint.factories])
    factories.set(factory.type, factory);
  await endpoint.listen(awsPort);
  Object.assign(process.env, {
    AWS_ENDPOINT_URL: await reachedAt(awsUrl),
    AWS_REGION: REGION,
    AWS_ACCESS_KEY_ID: 'administrator',
    AWS_SECRET_ACCESS_KEY: 'local',
  });

  const deploy = async (
    name: string,
    template: Template,
    region = REGION,
  ): Promise<Record<string, string>> => {
    const arn = `arn:aws:cloudformation:${region}:${LOCAL_ACCOUNT}:stack/${name}/test`;
    return (await context.deployer.deploy({ name, arn, region, template, parameters: {} })).outputs;
  };
  const outputs = await deploy('registry', registryTemplate);
  const target = { clusterArn: outputs.ClusterArn!, database: 'registry' };
  const master = new DataApi({ ...target, secretArn: outputs.MasterSecretArn! });
  await bootstrapRegistry(master, PASSWORDS);

  return {
    registry: new DataApi({ ...target, secretArn: outputs.WriterSecretArn! }),
    master,
    awsUrl,
    clusterArn: target.clusterArn,
    secretArn: outputs.WriterSecretArn!,
    serviceRoleArn: outputs.ServiceRoleArn!,
    deploy,
    async addRegistry(region) {
      const { ServiceRole: _, ...Resources } = registryTemplate.Resources;
      const { ServiceRoleArn: __, ...Outputs } = registryTemplate.Outputs!;
      const further = await deploy('registry', { Resources, Outputs }, region);
      const its = { clusterArn: further.ClusterArn!, database: 'registry', region };
      const itsMaster = new DataApi({ ...its, secretArn: further.MasterSecretArn! });
      await bootstrapRegistry(itsMaster, PASSWORDS);
      const secretArn = further.WriterSecretArn!;
      const registry = new DataApi({ ...its, secretArn });
      return { registry, master: itsMaster, clusterArn: its.clusterArn, secretArn };
    },
    async addCell({
      dataResidency = 'us',
      maxBusinessTenants = 190,
      status = 'active',
      master: itsMaster = master,
    } = {}) {
      const cellId = `cell-${randomUUID().slice(0, 8)}`;
      const cell = await deploy(cellId, cellTemplate(cellId));
      await registerCell(itsMaster, {
        cellId,
        region: dataResidency,
        dataResidency,
        maxBusinessTenants,
        proxyName: cellId,
        databaseHost: '127.0.0.1',
        databasePort: 5432,
        writerHost: '127.0.0.1',
        databaseName: 'strata',
        clusterArn: `arn:aws:rds:${REGION}:${LOCAL_ACCOUNT}:cluster:${cellId}`,
        masterSecretArn: cell.StarterSecretArn!,
        ownerSecretArn: cell.StarterSecretArn!,
        starterRoleName: 'strata_starter',
        starterSecretArn: cell.StarterSecretArn!,
      });
      await itsMaster.query('UPDATE cells SET status = :status WHERE cell_id = :cellId', { cellId, status });
      return cellId;
    },
    serveTemplate: (url, path) => templates.set(url, path),
    async stop() {
      await endpoint.stop();
      await clusters.stop();
      rmSync(stateDir, { recursive: true, force: true });
    },
  };
}

const secret = (name: string, username: string, password: string) => ({
  Type: 'AWS::SecretsManager::Secret',
  Properties: { Name: name, SecretString: JSON.stringify({ username, password }) },
});

const registryTemplate: Template = {
  Resources: {
    Master: secret('strata/registry/master', 'strata_master', 'master-password'),
    Writer: secret('strata/registry/writer', 'strata_registry_writer', PASSWORDS.writerPassword),
    ServiceRole: {
      Type: 'AWS::IAM::Role',
      Properties: {
        RoleName: 'cloudformation',
        Policies: [
          {
            PolicyName: 'databases',
            PolicyDocument: {
              Statement: [
                { Effect: 'Allow', Action: ['secretsmanager:*', 'rds:*', 'iam:PassRole'], Resource: '*' },
              ],
            },
          },
        ],
      },
    },
    Cluster: {
      Type: 'AWS::RDS::DBCluster',
      Properties: {
        DBClusterIdentifier: 'registry',
        DatabaseName: 'registry',
        EnableHttpEndpoint: true,
        MasterUsername: 'strata_master',
        MasterUserPassword: 'master-password',
      },
    },
  },
  Outputs: {
    ClusterArn: { Value: { 'Fn::GetAtt': ['Cluster', 'DBClusterArn'] } },
    MasterSecretArn: { Value: { Ref: 'Master' } },
    WriterSecretArn: { Value: { Ref: 'Writer' } },
    ServiceRoleArn: { Value: { 'Fn::GetAtt': ['ServiceRole', 'Arn'] } },
  },
};

const cellTemplate = (cellId: string): Template => ({
  Resources: {
    Starter: secret(`strata/${cellId}/starter`, 'strata_starter', 'starter-password'),
    Proxy: {
      Type: 'AWS::RDS::DBProxy',
      Properties: {
        DBProxyName: cellId,
        EngineFamily: 'POSTGRESQL',
        RequireTLS: true,
        RoleArn: `arn:aws:iam::${LOCAL_ACCOUNT}:role/proxy`,
        Auth: [{ AuthScheme: 'SECRETS', SecretArn: { Ref: 'Starter' } }],
        VpcSubnetIds: [],
      },
    },
  },
  Outputs: { StarterSecretArn: { Value: { Ref: 'Starter' } } },
});
