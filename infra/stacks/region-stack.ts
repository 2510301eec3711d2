import { CfnOutput, CustomResource, Duration, Stack } from 'aws-cdk-lib';
import { Rule } from 'aws-cdk-lib/aws-events';
import { LambdaFunction as InvokeFunction } from 'aws-cdk-lib/aws-events-targets';
import type { Construct } from 'constructs';
import { routes as healthRoutes } from '../../functions/api/health/routes.ts';
import { routes as peopleRoutes } from '../../functions/api/people/routes.ts';
import { routes as skillsRoutes } from '../../functions/api/skills/routes.ts';
import type { RegionConfig } from '../config.ts';
import { AlarmTopic } from '../constructs/alarm-topic.ts';
import { BackupBucket } from '../constructs/backup-bucket.ts';
import { Cell } from '../constructs/cell.ts';
import { ClusterProtection } from '../constructs/cluster-protection.ts';
import { ContextApi } from '../constructs/context-api.ts';
import { DataKey } from '../constructs/data-key.ts';
import { DedicatedDatabases } from '../constructs/dedicated-databases.ts';
import { Identity } from '../constructs/identity.ts';
import { Moves } from '../constructs/moves.ts';
import { Onboarding } from '../constructs/onboarding.ts';
import { PartitionUpkeep } from '../constructs/partition-upkeep.ts';
import { Promotion } from '../constructs/promotion.ts';
import { RegionGrants } from '../constructs/region-grants.ts';
import { registryClusterName } from '../constructs/region-names.ts';
import { type EndpointName, RegionNetwork } from '../constructs/region-network.ts';
import { Registry } from '../constructs/registry.ts';
import { RunTimeSecrets } from '../constructs/run-time-secrets.ts';
import { SchemaRollouts } from '../constructs/schema-rollouts.ts';
import { type FunctionSettings, StrataFunction } from '../constructs/strata-function.ts';
import { TaskSchedule } from '../constructs/task-schedule.ts';
import type { ControlPlane } from './control-plane-stack.ts';
import type { SharedSettings } from './shared-settings.ts';
import { stackProps, tagStack } from './stack-props.ts';

export interface RegionStackProps extends SharedSettings {
  readonly region: RegionConfig;
  /** The control plane's, in the home region. Other regions get a registry and a user pool of their own. */
  readonly home?: ControlPlane;
  /** The synthesized template of DedicatedDatabaseStack. */
  readonly dedicatedTemplateFile: string;
}

/** Outputs of a region's stack, where there are several regions. */
export const VPC_OUTPUT = 'VpcId';
export const endpointOutput = (name: EndpointName): string => `${name}Endpoint`;

/** Of a stack: its resources are what they stay until the next deployment. */
const DEPLOYMENT_ENDS = [
  'CREATE_COMPLETE',
  'UPDATE_COMPLETE',
  'UPDATE_FAILED',
  'UPDATE_ROLLBACK_COMPLETE',
  'UPDATE_ROLLBACK_FAILED',
];

const SERVES_ALL =
  'The function serves whichever tenant a request is for, so tenants’ secrets are known by pattern only.';

/** One region: its network, its cells, the data-plane API and the workflows that work on them. */
export class RegionStack extends Stack {
  readonly place: RegionConfig;
  readonly network: RegionNetwork;
  readonly alarmTopicArn: string;

  constructor(scope: Construct, id: string, props: RegionStackProps) {
    const { config, region } = props;
    super(scope, id, stackProps(region, `Strata: data plane of region ${region.key}`, config));
    tagStack(this, 'data-plane', region, config);
    const key = new DataKey(this, 'Key', {
      description: `Strata ${region.key}: clusters, secrets and backups`,
    });
    const network = new RegionNetwork(this, 'Network', region, config);
    const { registry, identity, alarmTopicArn } = props.home ?? this.#ownControlPlane(props, key, network);
    this.place = region;
    this.network = network;
    this.alarmTopicArn = alarmTopicArn;
    const settings: FunctionSettings = { config, bundle: props.bundle, alarmTopicArn };
    const secrets = new RunTimeSecrets(this, 'Secrets', key.keyArn);
    new BackupBucket(this, 'Backup', { key, logRetentionDays: config.logRetentionDays });
    const cells = region.cells.map(
      (cell) =>
        new Cell(this, `Cell-${cell.id}`, {
          ...{ config, region, cell, network, secrets, alarmTopicArn },
          keyArn: key.keyArn,
        }),
    );

    const bootstrapCell = new StrataFunction(this, 'BootstrapCell', {
      ...settings,
      entry: 'tasks/bootstrap-cell',
      description: 'Migrates a cell and registers it, on every deployment',
      environment: registry.writerEnvironment,
      timeout: Duration.minutes(10),
      network: network.forTasks,
    });
    registry.grantWrite(bootstrapCell);
    for (const cell of cells) cell.grantBootstrap(bootstrapCell);

    const reconcileProxyAuth = new StrataFunction(this, 'ReconcileProxyAuth', {
      ...settings,
      entry: 'tasks/reconcile-proxy-auth',
      description: 'Makes each proxy accept exactly the secrets that the registry says',
      environment: registry.writerEnvironment,
      timeout: Duration.minutes(5),
    });
    registry.grantWrite(reconcileProxyAuth);
    for (const cell of cells) cell.grantProxyAuth(reconcileProxyAuth);
    new TaskSchedule(this, 'ProxyAuthSchedule', {
      name: `strata-${region.key}-proxy-auth`,
      description: 'Repairs the secrets of proxies',
      expression: 'rate(1 minute)',
      punctual: true,
      task: reconcileProxyAuth,
    });
    // Sooner than the schedule: a deployment of this stack may have put back its proxies' own lists.
    new Rule(this, 'Deployed', {
      description: 'Deployments of this stack have ended: repair the secrets of proxies',
      eventPattern: {
        source: ['aws.cloudformation'],
        detailType: ['CloudFormation Stack Status Change'],
        detail: { 'stack-id': [this.stackId], 'status-details': { status: DEPLOYMENT_ENDS } },
      },
      targets: [new InvokeFunction(reconcileProxyAuth, { retryAttempts: 4, maxEventAge: Duration.hours(1) })],
    });
    for (const cell of cells) {
      cell.onDeploy(
        { bootstrap: bootstrapCell, proxyAuth: reconcileProxyAuth },
        props.bundle.hash,
        registry.schema,
      );
    }

    const dedicated = new DedicatedDatabases(this, 'Dedicated', {
      ...{ config, region, network, secrets, alarmTopicArn },
      templateFile: props.dedicatedTemplateFile,
      keyArn: key.keyArn,
    });
    const elsewhere = new RegionGrants(this, config, region);
    const workflows = { settings, registry, network, cells, secrets, dedicated, elsewhere };
    const onboarding = new Onboarding(this, 'Onboarding', { ...workflows, region });
    const moves = new Moves(this, 'Moves', { ...workflows, region });

    const domain = config.domainName && `${props.home ? '' : `${region.key}.`}${config.domainName}`;
    const environment = {
      ...registry.readerEnvironment,
      REGION_KEY: region.key,
      // Where `{slug}.domain` names a tenant. The assembly also runs as it is on a developer's machine, hence localhost.
      TENANT_DOMAINS: [domain, 'localhost'].filter(Boolean).join(','),
    };
    const people = new StrataFunction(this, 'People', {
      ...{ ...settings, environment, network: network.forApi },
      entry: 'api/people/handler',
      description: 'Employees and teams',
    });
    registry.grantRead(people);
    for (const cell of cells) cell.grantStarter(people);
    secrets.grantReadTenant(people, SERVES_ALL);

    const skills = new StrataFunction(this, 'Skills', {
      ...{ ...settings, environment, network: network.forApi },
      entry: 'api/skills/handler',
      description: 'Skills of the organisation and of its employees',
    });
    registry.grantRead(skills);
    for (const cell of cells) cell.grantStarter(skills);
    secrets.grantReadTenant(skills, SERVES_ALL);

    const health = new StrataFunction(this, 'Health', {
      ...settings,
      entry: 'api/health/handler',
      description: 'Answers probes',
      memorySize: 128,
      timeout: Duration.seconds(5),
    });

    const rollouts = new SchemaRollouts(this, 'Rollouts', { ...workflows, region });

    new Promotion(this, 'Promotion', { settings, region, registry, network, cells, secrets, key });
    new PartitionUpkeep(this, 'Upkeep', { settings, region, registry, network, cells, secrets });

    const api = new ContextApi(this, 'Api', {
      config,
      description: `Strata data plane ${region.key}`,
      issuer: identity.issuer,
      clientId: identity.clientId,
      hostName: domain && `*.${domain}`,
      alarmTopicArn,
    });
    api.serve('people', peopleRoutes, people);
    api.serve('skills', skillsRoutes, skills);
    api.serve('health', healthRoutes, health, {
      reason:
        'Load balancers and uptime probes have no token; the answer says nothing but that the API runs.',
    });

    const registerRegion = new StrataFunction(this, 'RegisterRegion', {
      ...settings,
      entry: 'tasks/register-region',
      description: 'Makes the region known in the registries of all regions, on every deployment',
      environment: { ...registry.writerEnvironment, ...elsewhere.environment },
      timeout: Duration.minutes(5),
    });
    registry.grantWrite(registerRegion);
    elsewhere.grantRegistries(registerRegion);
    const registered = new CustomResource(this, 'Registered', {
      resourceType: 'Custom::StrataRegion',
      serviceToken: registerRegion.functionArn,
      serviceTimeout: Duration.minutes(10),
      properties: {
        RegionKey: region.key,
        AwsRegion: region.awsRegion,
        ApiUrl: api.url,
        SecretsKeyArn: key.keyArn,
        ...dedicated.launchProperties,
        // A region that joins is told of this one, and this one of it.
        Registries: elsewhere.environment.REGISTRIES,
        SchemaHash: props.bundle.hash,
      },
    });
    registered.node.addDependency(registry.schema, registerRegion);
    // Last: cells tell the registry their versions when they are bootstrapped.
    rollouts.onDeploy(registerRegion, props.bundle.hash, [registered, ...cells]);

    new ClusterProtection(this, 'ClusterProtection', {
      clusters: [...(props.home ? [] : [registry.cluster]), ...cells.map(({ cluster }) => cluster)],
      deletionProtection: config.deletionProtection,
      task: registerRegion,
      release: props.bundle.hash,
    });

    new CfnOutput(this, 'ApiUrl', { value: api.url });
    new CfnOutput(this, 'OnboardingStateMachineArn', { value: onboarding.stateMachine.stateMachineArn });
    new CfnOutput(this, 'RolloutStateMachineArn', { value: rollouts.stateMachine.stateMachineArn });
    new CfnOutput(this, 'MoveStateMachineArn', { value: moves.stateMachine.stateMachineArn });
    if (config.regions.length > 1) this.#tellLinks();
  }

  /** What stacks of other regions read of this one, which they cannot refer to. */
  #tellLinks(): void {
    new CfnOutput(this, VPC_OUTPUT, { value: this.network.vpc.vpcId });
    for (const [name, value] of Object.entries(this.network.endpoints)) {
      new CfnOutput(this, endpointOutput(name as EndpointName), { value });
    }
  }

  /** Users' addresses stay in their region, so a further region has its own registry and user pool. */
  #ownControlPlane(props: RegionStackProps, key: DataKey, network: RegionNetwork): ControlPlane {
    const topic = new AlarmTopic(this, 'Alarms', { key, email: props.config.alarmEmail });
    const settings = { config: props.config, bundle: props.bundle, alarmTopicArn: topic.topicArn };
    const registry = new Registry(this, 'Registry', {
      ...settings,
      identifier: registryClusterName(props.config, props.region.key),
      network,
      key,
    });
    const identity = new Identity(this, 'Identity', { ...settings, registry });
    new CfnOutput(this, 'UserPoolId', { value: identity.userPoolId });
    new CfnOutput(this, 'UserPoolClientId', { value: identity.clientId });
    return { registry, identity, alarmTopicArn: topic.topicArn };
  }
}
