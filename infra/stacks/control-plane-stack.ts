import { ArnFormat, CfnOutput, Duration, Stack } from 'aws-cdk-lib';
import { Grant, type IGrantable } from 'aws-cdk-lib/aws-iam';
import type { Construct } from 'constructs';
import { routes as tenantRoutes } from '../../functions/api/tenants/routes.ts';
import { EXPORT_ROOT } from '../../functions/contracts/backup-policy.ts';
import {
  accountsFunctionName,
  OPERATOR_SCOPE,
  STATE_MACHINES,
  surveyFunctionName,
} from '../../functions/contracts/names.ts';
import { CONTROL_PLANE_CIDR, type RegionConfig } from '../config.ts';
import { acknowledgePattern } from '../constructs/acknowledge-finding.ts';
import { AlarmTopic } from '../constructs/alarms.ts';
import { ClusterProtection } from '../constructs/cluster-protection.ts';
import { ContextApi } from '../constructs/context-api.ts';
import { DataKey } from '../constructs/data-key.ts';
import { Identity } from '../constructs/identity.ts';
import { IsolatedVpc } from '../constructs/isolated-vpc.ts';
import { RegionGrants } from '../constructs/region-grants.ts';
import { regionalStackName, registryClusterName } from '../constructs/region-names.ts';
import { Registry } from '../constructs/registry.ts';
import { residencySettings } from '../constructs/residency-settings.ts';
import { StrataFunction } from '../constructs/strata-function.ts';
import { type SharedSettings, stackProps, tagStack } from './stack-props.ts';

/** What a region needs of its control plane: its own, or in the home region this stack's. */
export interface ControlPlane {
  readonly registry: Registry;
  readonly identity: Identity;
  readonly alarmTopicArn: string;
}

/** The control plane of the home region: registry, user pool, and the operators' API. */
export class ControlPlaneStack extends Stack implements ControlPlane {
  readonly registry: Registry;
  readonly identity: Identity;
  readonly alarmTopicArn: string;

  constructor(scope: Construct, id: string, home: RegionConfig, shared: SharedSettings) {
    super(scope, id, stackProps(home, 'Strata: registry, user pool, operator API', shared.config));
    tagStack(this, 'control-plane', home, shared.config);
    const { config } = shared;
    const key = new DataKey(this, 'Key', {
      description: 'Strata: registry, its secrets and the alarm topic',
    });
    const topic = new AlarmTopic(this, 'Alarms', { key, email: config.alarmEmail });
    this.alarmTopicArn = topic.topicArn;
    const settings = { ...shared, alarmTopicArn: this.alarmTopicArn };
    this.registry = new Registry(this, 'Registry', {
      ...settings,
      region: home,
      identifier: registryClusterName(config, home.key),
      network: new IsolatedVpc(this, 'Network', {
        cidr: CONTROL_PLANE_CIDR,
        availabilityZones: home.availabilityZones,
        logRetentionDays: config.logRetentionDays,
      }),
      key,
    });
    this.identity = new Identity(this, 'Identity', {
      ...settings,
      region: home,
      registry: this.registry,
    });

    const regions = new RegionGrants(this, config, home);
    const tenants = new StrataFunction(this, 'Tenants', {
      ...settings,
      entry: 'api/tenants/handler',
      description: 'Operator API: tenants and their users',
      environment: {
        ...this.registry.writerEnvironment,
        ...regions.environment,
        ONBOARDING_STATE_MACHINE_ARN: this.#states('stateMachine', STATE_MACHINES.onboarding, home.awsRegion),
        MOVE_STATE_MACHINE_ARN: this.#states('stateMachine', STATE_MACHINES.move, home.awsRegion),
        BACKUP_STATE_MACHINE_ARN: this.#states('stateMachine', STATE_MACHINES.backup, home.awsRegion),
        RESTORE_STATE_MACHINE_ARN: this.#states('stateMachine', STATE_MACHINES.restore, home.awsRegion),
        EXPORT_STATE_MACHINE_ARN: this.#states('stateMachine', STATE_MACHINES.export, home.awsRegion),
        OFFBOARDING_STATE_MACHINE_ARN: this.#states(
          'stateMachine',
          STATE_MACHINES.offboarding,
          home.awsRegion,
        ),
        ROLLOUT_STATE_MACHINE_ARN: this.#states('stateMachine', STATE_MACHINES.rollout, home.awsRegion),
        CREDENTIALS_STATE_MACHINE_ARN: this.#states(
          'stateMachine',
          STATE_MACHINES.credentials,
          home.awsRegion,
        ),
        MOVE_SURVEY_FUNCTION: surveyFunctionName(home.key),
        RESIDENCY: JSON.stringify(residencySettings(config)),
      },
      timeout: Duration.seconds(29),
    });
    this.registry.grantWrite(tenants);
    // While a deployment updates it, its requests already need the new tables.
    tenants.node.addDependency(this.registry.schema);
    regions.grantRegistries(tenants);
    for (const region of config.regions) {
      this.#grantWorkflow(tenants, STATE_MACHINES.onboarding, region);
      this.#grantWorkflow(tenants, STATE_MACHINES.move, region);
      this.#grantWorkflow(tenants, STATE_MACHINES.backup, region);
      this.#grantWorkflow(tenants, STATE_MACHINES.restore, region);
      this.#grantWorkflow(tenants, STATE_MACHINES.export, region);
      this.#grantWorkflow(tenants, STATE_MACHINES.offboarding, region);
      this.#grantWorkflow(tenants, STATE_MACHINES.rollout, region);
      this.#grantWorkflow(tenants, STATE_MACHINES.credentials, region);
      this.#grantExportLinks(tenants, region);
      this.#grantInvoke(tenants, surveyFunctionName(region.key), region);
      this.#grantInvoke(tenants, accountsFunctionName(region.key), region);
    }

    const api = new ContextApi(this, 'OperatorApi', {
      config,
      description: 'Strata operator API',
      issuer: this.identity.issuer,
      clientIds: this.identity.clientIds,
      scopes: [OPERATOR_SCOPE],
      hostName: config.domainName && `operator.${config.domainName}`,
      alarmTopicArn: this.alarmTopicArn,
    });
    api.serve('tenants', tenantRoutes, tenants);

    new ClusterProtection(this, 'ClusterProtection', {
      clusters: [this.registry.cluster],
      deletionProtection: config.deletionProtection,
      task: this.registry.bootstrap,
      release: shared.bundle.hash,
    });
    new CfnOutput(this, 'OperatorApiUrl', { value: api.url });
    new CfnOutput(this, 'UserPoolId', { value: this.identity.userPoolId });
    new CfnOutput(this, 'UserPoolClientId', { value: this.identity.clientIds[0] ?? '' });
    new CfnOutput(this, 'RegistryClusterArn', { value: this.registry.cluster.clusterArn });
  }

  /** May start and watch executions of one workflow of one region. */
  #grantWorkflow(grantee: IGrantable, name: string, { awsRegion }: RegionConfig): void {
    const executions = this.#states('execution', `${name}:*`, awsRegion);
    acknowledgePattern(
      grantee,
      executions,
      'Executions are named at run time; the pattern is bound to the one state machine.',
    );
    Grant.addToPrincipal({
      grantee,
      actions: ['states:StartExecution'],
      resourceArns: [this.#states('stateMachine', name, awsRegion)],
    });
    Grant.addToPrincipal({ grantee, actions: ['states:DescribeExecution'], resourceArns: [executions] });
  }

  /**
   * May sign links to the exports of one region: a link does what its signer may do. Buckets have generated names that
   * begin with their stack's, and keys generated ids.
   */
  #grantExportLinks(grantee: IGrantable, { key, awsRegion }: RegionConfig): void {
    const objects = this.formatArn({
      service: 's3',
      region: '',
      account: '',
      resource: `${regionalStackName(key, 'backups').toLowerCase()}-*`,
      resourceName: `${EXPORT_ROOT}*`,
    });
    acknowledgePattern(
      grantee,
      objects,
      'Exports are named at run time, and their bucket by CloudFormation; the pattern is bound to this account and to the folder of exports.',
    );
    Grant.addToPrincipal({
      grantee,
      actions: ['s3:GetObject'],
      resourceArns: [objects],
      conditions: { StringEquals: { 'aws:ResourceAccount': this.account } },
    });
    const keys = this.formatArn({ service: 'kms', region: awsRegion, resource: 'key', resourceName: '*' });
    acknowledgePattern(
      grantee,
      keys,
      'The id of the region’s key is not known here; it can be used through S3 only, for objects that are granted.',
    );
    Grant.addToPrincipal({
      grantee,
      actions: ['kms:Decrypt'],
      resourceArns: [keys],
      conditions: { StringEquals: { 'kms:ViaService': `s3.${awsRegion}.amazonaws.com` } },
    });
  }

  /** May invoke a function of one region. */
  #grantInvoke(grantee: IGrantable, functionName: string, { awsRegion }: RegionConfig): void {
    Grant.addToPrincipal({
      grantee,
      actions: ['lambda:InvokeFunction'],
      resourceArns: [
        this.formatArn({
          service: 'lambda',
          region: awsRegion,
          resource: 'function',
          resourceName: functionName,
          arnFormat: ArnFormat.COLON_RESOURCE_NAME,
        }),
      ],
    });
  }

  /** By name: the state machines' stacks depend on this one, so this one cannot refer to them. */
  #states(resource: 'stateMachine' | 'execution', resourceName: string, region: string): string {
    return this.formatArn({
      service: 'states',
      region,
      resource,
      resourceName,
      arnFormat: ArnFormat.COLON_RESOURCE_NAME,
    });
  }
}
