import { ArnFormat, Stack } from 'aws-cdk-lib';
import { Grant, type IGrantable, Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { Asset } from 'aws-cdk-lib/aws-s3-assets';
import { Construct } from 'constructs';
import { DATABASE_SIZES } from '../../functions/contracts/database-size.ts';
import type { LaunchEnvironment } from '../../functions/contracts/environments.ts';
import { DEDICATED_NAMES } from '../../functions/contracts/names.ts';
import type { DedicatedSizeConfig, RegionConfig, StrataConfig } from '../config.ts';
import { acknowledgePattern } from './acknowledge-finding.ts';
import { COMPONENT, DedicatedServiceRole, RESOURCE_TAG } from './dedicated-service-role.ts';
import type { RegionNetwork } from './region-network.ts';
import type { RunTimeSecrets } from './run-time-secrets.ts';

/** The reason why a launch may delete secrets. */
export const FAILED_LAUNCH =
  'A failed launch leaves the secrets that it made; only the beginning of their names is known.';

export interface DedicatedDatabasesProps {
  readonly config: StrataConfig;
  readonly region: RegionConfig;
  /** The synthesized template of DedicatedDatabaseStack. */
  readonly templateFile: string;
  readonly network: RegionNetwork;
  readonly secrets: RunTimeSecrets;
  readonly keyArn: string;
  readonly alarmTopicArn: string;
}

/** Resources that workflows need to launch an Enterprise tenant's own database in this region. */
export class DedicatedDatabases extends Construct {
  /** Environment of the function that launches and watches the stacks. */
  readonly launchEnvironment: LaunchEnvironment;
  readonly #template: Asset;
  readonly #serviceRole: DedicatedServiceRole;
  readonly #secrets: RunTimeSecrets;

  constructor(scope: Construct, id: string, props: DedicatedDatabasesProps) {
    super(scope, id);
    const { network, region } = props;
    this.#secrets = props.secrets;
    const proxyRole = new Role(this, 'ProxyRole', {
      assumedBy: new ServicePrincipal('rds.amazonaws.com'),
      description: "Lets the proxies of dedicated databases read their tenants' secrets",
    });
    props.secrets.grantReadTenant(
      proxyRole,
      'One role serves the proxies of all dedicated databases, because launching one must not create IAM.',
    );
    this.#template = new Asset(this, 'Template', { path: props.templateFile });
    this.#serviceRole = new DedicatedServiceRole(this, 'ServiceRole', {
      regionKey: region.key,
      proxyRoleArn: proxyRole.roleArn,
      secrets: props.secrets,
      keyArn: props.keyArn,
    });
    this.launchEnvironment = {
      DEDICATED_TEMPLATE_URL: this.#template.httpUrl,
      DEDICATED_PARAMETERS: Stack.of(this).toJsonString({
        SubnetIds: network.subnetIds.join(','),
        ClusterSecurityGroupId: network.clusters.securityGroupId,
        ProxySecurityGroupId: network.proxies.securityGroupId,
        ProxyRoleArn: proxyRole.roleArn,
        KmsKeyArn: props.keyArn,
        AlarmTopicArn: props.alarmTopicArn,
        AvailabilityZones: zonesOf(region).join(','),
      }),
      DEDICATED_SIZES: JSON.stringify(
        Object.fromEntries(
          DATABASE_SIZES.map((size) => [size, sizeParameters(region.dedicated.sizes[size])]),
        ),
      ),
      CLOUDFORMATION_ROLE_ARN: this.#serviceRole.role.roleArn,
      DELETION_PROTECTION: String(props.config.deletionProtection),
    };
  }

  /** The same, as properties of the custom resource that registers the region in other regions. */
  get launchProperties(): Record<string, string> {
    const { DEDICATED_TEMPLATE_URL, DEDICATED_PARAMETERS, DEDICATED_SIZES, CLOUDFORMATION_ROLE_ARN } =
      this.launchEnvironment;
    return {
      DedicatedTemplateUrl: DEDICATED_TEMPLATE_URL,
      DedicatedRoleArn: CLOUDFORMATION_ROLE_ARN,
      DedicatedParameters: DEDICATED_PARAMETERS,
      DedicatedSizes: DEDICATED_SIZES,
    };
  }

  /** Key of the template in the bucket of CDK's assets; the same in every region. */
  get templateKey(): string {
    return this.#template.s3ObjectKey;
  }

  /** May delete the dedicated databases of this region with their stacks and secrets, after a final snapshot. */
  grantDelete(grantee: IGrantable): void {
    const stack = Stack.of(this);
    const why = 'Dedicated databases are named at run time, after their tenants.';
    const stacks = this.#stacks();
    const snapshots = stack.formatArn({
      service: 'rds',
      resource: 'cluster-snapshot',
      resourceName: `${DEDICATED_NAMES}*`,
      arnFormat: ArnFormat.COLON_RESOURCE_NAME,
    });
    const clusters = stack.formatArn({
      service: 'rds',
      resource: 'cluster',
      resourceName: `${DEDICATED_NAMES}*`,
      arnFormat: ArnFormat.COLON_RESOURCE_NAME,
    });
    acknowledgePattern(grantee, stacks, why);
    const grant = (actions: string[], resourceArns: string[]) =>
      Grant.addToPrincipal({ grantee, actions, resourceArns });
    grant(['cloudformation:DescribeStacks', 'cloudformation:DeleteStack'], [stacks]);
    grantDedicatedDatabases(grantee, stack);
    grant(['rds:CreateDBClusterSnapshot', 'rds:DescribeDBClusterSnapshots'], [clusters, snapshots]);
    grant(['rds:AddTagsToResource'], [snapshots]);
    this.#secrets.grantDeleteTenant(grantee, why);
    this.#secrets.grantDeleteDedicated(grantee, why);
  }

  /** May delete the final snapshots of dedicated databases that tenants have left. */
  grantDeleteSnapshots(grantee: IGrantable): void {
    const snapshots = Stack.of(this).formatArn({
      service: 'rds',
      resource: 'cluster-snapshot',
      resourceName: `${DEDICATED_NAMES}*`,
      arnFormat: ArnFormat.COLON_RESOURCE_NAME,
    });
    Grant.addToPrincipal({ grantee, actions: ['rds:DeleteDBClusterSnapshot'], resourceArns: [snapshots] });
  }

  /** May list the names of the account's stacks in this region: a list is not authorized on single stacks. */
  grantList(grantee: IGrantable): void {
    acknowledgePattern(
      grantee,
      '*',
      'CloudFormation lists all stacks or none: dedicated databases that a lost registry does not know are found this way.',
    );
    Grant.addToPrincipal({ grantee, actions: ['cloudformation:ListStacks'], resourceArns: ['*'] });
  }

  #stacks(): string {
    return Stack.of(this).formatArn({
      service: 'cloudformation',
      resource: 'stack',
      resourceName: `${DEDICATED_NAMES}*`,
    });
  }

  /**
   * May create, watch and delete the stacks of dedicated databases, with this region's template and service role only,
   * protect their clusters, and delete the rest of a failed creation.
   */
  grantLaunch(grantee: IGrantable): void {
    const stack = Stack.of(this);
    grantDedicatedDatabases(grantee, stack);
    grantReadQuotas(grantee);
    this.#secrets.grantDeleteTenant(grantee, FAILED_LAUNCH);
    this.#secrets.grantDeleteDedicated(grantee, FAILED_LAUNCH);
    const stacks = this.#stacks();
    acknowledgePattern(
      grantee,
      stacks,
      'Stacks of dedicated databases are created at run time; only the beginning of their names is known.',
    );
    Grant.addToPrincipal({
      grantee,
      actions: ['cloudformation:CreateStack'],
      resourceArns: [stacks],
      conditions: { StringEquals: { 'cloudformation:RoleArn': this.#serviceRole.role.roleArn } },
    });
    Grant.addToPrincipal({
      grantee,
      actions: [
        'cloudformation:DescribeStacks',
        'cloudformation:DescribeStackEvents',
        'cloudformation:DescribeStackResources',
        'cloudformation:DeleteStack',
        'cloudformation:TagResource',
      ],
      resourceArns: [stacks],
    });
    Grant.addToPrincipal({
      grantee,
      actions: ['iam:PassRole'],
      resourceArns: [this.#serviceRole.role.roleArn],
      conditions: { StringEquals: { 'iam:PassedToService': 'cloudformation.amazonaws.com' } },
    });
    // CloudFormation reads the template with the rights of the caller of CreateStack.
    Grant.addToPrincipal({
      grantee,
      actions: ['s3:GetObject'],
      resourceArns: [
        stack.formatArn({
          service: 's3',
          region: '',
          account: '',
          resource: this.#template.s3BucketName,
          resourceName: this.#template.s3ObjectKey,
          arnFormat: ArnFormat.SLASH_RESOURCE_NAME,
        }),
      ],
    });
  }
}

/** The template's parameters of a size. */
export function sizeParameters({
  instanceClass,
  readers,
  capacity,
}: DedicatedSizeConfig): Record<string, string> {
  return {
    InstanceClass: instanceClass,
    ReaderCount: String(readers),
    ...(capacity ? { MinCapacity: String(capacity.min), MaxCapacity: String(capacity.max) } : {}),
  };
}

/** Zones of the writer and two readers: a cluster with a reader has two zones, whichever RDS would have chosen. */
function zonesOf({ availabilityZones: zones }: RegionConfig): string[] {
  return [0, 1, 2].map((index) => zones[index % zones.length] as string);
}

/**
 * May protect and delete the clusters, instances and proxies of dedicated databases in an AWS region: clusters and
 * instances by name, proxies by tag, because their ARNs have random ids.
 */
export function grantDedicatedDatabases(grantee: IGrantable, stack: Stack, region = stack.region): void {
  const rds = (resource: string, resourceName: string): string =>
    stack.formatArn({
      service: 'rds',
      region,
      resource,
      resourceName,
      arnFormat: ArnFormat.COLON_RESOURCE_NAME,
    });
  const [clusters, instances] = [rds('cluster', `${DEDICATED_NAMES}*`), rds('db', `${DEDICATED_NAMES}*`)];
  const proxies = rds('db-proxy', '*');
  const endpoints = rds('db-proxy-endpoint', '*');
  const snapshots = rds('cluster-snapshot', `${DEDICATED_NAMES}*`);
  for (const pattern of [clusters, instances, snapshots]) {
    acknowledgePattern(grantee, pattern, 'Dedicated databases are named at run time, after their tenants.');
  }
  for (const pattern of [proxies, endpoints]) {
    acknowledgePattern(
      grantee,
      pattern,
      'RDS makes up the ids of proxies; deleting one is bound to the tag of dedicated databases.',
    );
  }
  const grant = (actions: string[], resource: string, conditions?: Record<string, Record<string, string>>) =>
    Grant.addToPrincipal({
      grantee,
      actions: actions.map((action) => `rds:${action}`),
      resourceArns: [resource],
      ...(conditions ? { conditions } : {}),
    });
  grant(['DescribeDBClusters', 'ModifyDBCluster', 'DeleteDBCluster'], clusters);
  // RDS also checks the right on the final snapshot, whether one is taken or not.
  grant(['DeleteDBCluster'], snapshots);
  grant(['DeleteDBInstance'], instances);
  grant(['DescribeDBProxies'], proxies);
  grant(['DeleteDBProxy'], proxies, { StringEquals: { [RESOURCE_TAG]: COMPONENT } });
  for (const resource of [proxies, endpoints]) grant(['DescribeDBProxyEndpoints'], resource);
  grant(['DeleteDBProxyEndpoint'], endpoints, { StringEquals: { [RESOURCE_TAG]: COMPONENT } });
}

/** May replace the list of secrets that the proxy of a dedicated database accepts. */
export function grantDedicatedProxyAuth(grantee: IGrantable, stack: Stack): void {
  const proxies = stack.formatArn({
    service: 'rds',
    resource: 'db-proxy',
    resourceName: '*',
    arnFormat: ArnFormat.COLON_RESOURCE_NAME,
  });
  acknowledgePattern(
    grantee,
    proxies,
    'RDS makes up the ids of proxies; changing one is bound to the tag of dedicated databases.',
  );
  Grant.addToPrincipal({ grantee, actions: ['rds:DescribeDBProxies'], resourceArns: [proxies] });
  Grant.addToPrincipal({
    grantee,
    actions: ['rds:ModifyDBProxy'],
    resourceArns: [proxies],
    conditions: { StringEquals: { [RESOURCE_TAG]: COMPONENT } },
  });
}

/** May read how many databases and proxies a region has, and its quotas. */
function grantReadQuotas(grantee: IGrantable): void {
  acknowledgePattern(grantee, '*', 'Quotas of the account are not authorized on single resources.');
  Grant.addToPrincipal({
    grantee,
    actions: [
      'rds:DescribeAccountAttributes',
      'servicequotas:GetServiceQuota',
      'servicequotas:GetAWSDefaultServiceQuota',
    ],
    resourceArns: ['*'],
  });
}
