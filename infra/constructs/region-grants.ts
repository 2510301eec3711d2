import { ArnFormat, DefaultStackSynthesizer, Stack } from 'aws-cdk-lib';
import { Grant, type IGrantable } from 'aws-cdk-lib/aws-iam';
import type { Construct } from 'constructs';
import type { RegionsEnvironment, RegistryAddress } from '../../functions/contracts/environments.ts';
import {
  cellSecretName,
  copiedFieldKeyAlias,
  DEDICATED_NAMES,
  DEDICATED_SECRETS,
  REGISTRY_DATABASE,
  REGISTRY_WRITER_SECRET,
  regionFieldKeyAlias,
  STATE_MACHINES,
  TENANT_SECRETS,
} from '../../functions/contracts/names.ts';
import type { RegionConfig, StrataConfig } from '../config.ts';
import { acknowledgePattern } from './acknowledge-finding.ts';
import { secretArnNamed } from './database-secret.ts';
import { type DedicatedDatabases, FAILED_LAUNCH, grantDedicatedDatabases } from './dedicated-databases.ts';
import { grantProvideTenantKeys, grantTenantKeys } from './field-keys.ts';
import { launchRoleName, registryClusterName } from './region-names.ts';
import { DATA_API_ACTIONS } from './registry.ts';

interface Rights {
  readonly actions: string[];
  readonly resources: string[];
  readonly conditions?: Record<string, Record<string, unknown>>;
}

/**
 * The rights of one region's functions in the other regions. It mirrors the grants of `Registry`, `Cell`,
 * `RunTimeSecrets` and `DedicatedDatabases` by resource names, because one region's stack cannot refer to another's.
 * With one region in the configuration nothing is granted.
 */
export class RegionGrants {
  /** For functions that work across regions: the registries of all regions, and the key of their own. */
  readonly environment: RegionsEnvironment;
  readonly #stack: Stack;
  readonly #others: readonly RegionConfig[];
  readonly #clusterArn: (region: RegionConfig) => string;

  constructor(scope: Construct, config: StrataConfig, own: RegionConfig) {
    this.#stack = Stack.of(scope);
    this.#others = config.regions.filter(({ key }) => key !== own.key);
    this.#clusterArn = ({ key, awsRegion }) =>
      this.#arn(awsRegion, 'rds', 'cluster', registryClusterName(config, key));
    this.environment = {
      REGION_KEY: own.key,
      REGISTRIES: this.#stack.toJsonString(
        config.regions.map(
          (region): RegistryAddress => ({
            region: region.key,
            awsRegion: region.awsRegion,
            clusterArn: this.#clusterArn(region),
            secretName: REGISTRY_WRITER_SECRET,
            database: REGISTRY_DATABASE,
          }),
        ),
      ),
    };
  }

  /** May read and change the other registries, and look up their writers' secrets by name. */
  grantRegistries(grantee: IGrantable): void {
    this.#grant(grantee, { actions: DATA_API_ACTIONS, resources: this.#others.map(this.#clusterArn) });
    this.#grantSecrets(
      grantee,
      ({ awsRegion }) => [secretArnNamed(this.#stack, REGISTRY_WRITER_SECRET, awsRegion)],
      ['secretsmanager:DescribeSecret', 'secretsmanager:GetSecretValue'],
    );
  }

  /** May sign in as the owner of any cell there. */
  grantOwner(grantee: IGrantable): void {
    this.#grantCells(grantee, 'owner');
  }

  /** May sign in as the role of all Starter tenants of any cell there. */
  grantStarter(grantee: IGrantable): void {
    this.#grantCells(grantee, 'starter');
  }

  /** May sign in as any tenant's login role there. `why` goes into the acknowledged finding, here and below. */
  grantReadTenant(grantee: IGrantable, why: string): void {
    this.#grantNamed(grantee, `${TENANT_SECRETS}*`, ['secretsmanager:GetSecretValue'], why);
    this.#grantKey(grantee, ['kms:Decrypt']);
  }

  /** May sign in as owner or master of any Enterprise tenant's cluster there. */
  grantReadDedicated(grantee: IGrantable, why: string): void {
    this.#grantNamed(grantee, `${DEDICATED_SECRETS}*`, ['secretsmanager:GetSecretValue'], why);
    this.#grantKey(grantee, ['kms:Decrypt']);
  }

  /** May delete the secret of any tenant's login role there, immediately and permanently. */
  grantDeleteTenant(grantee: IGrantable, why: string): void {
    this.#grantNamed(grantee, `${TENANT_SECRETS}*`, ['secretsmanager:DeleteSecret'], why);
  }

  /** May create the secret of a tenant's login role there, look it up, and restore it from pending deletion. */
  grantCreateTenant(grantee: IGrantable, why: string): void {
    const actions = ['CreateSecret', 'TagResource', 'DescribeSecret', 'RestoreSecret'];
    this.#grantNamed(
      grantee,
      `${TENANT_SECRETS}*`,
      actions.map((action) => `secretsmanager:${action}`),
      why,
    );
    this.#grantKey(grantee, ['kms:GenerateDataKey']);
  }

  /** May decrypt fields that were encrypted there, before their tenant moved here. */
  grantOpenFields(grantee: IGrantable): void {
    for (const { key, awsRegion } of this.#others) {
      const aliases = [regionFieldKeyAlias(key), copiedFieldKeyAlias(key)];
      grantTenantKeys(grantee, this.#stack, awsRegion, ['kms:Decrypt'], aliases);
    }
  }

  /** May make the keys of Enterprise tenants there. */
  grantProvideFieldKeys(grantee: IGrantable): void {
    for (const { awsRegion } of this.#others) grantProvideTenantKeys(grantee, this.#stack, awsRegion);
  }

  /** May replace the list of secrets that a cell's proxy there accepts. */
  grantProxyAuth(grantee: IGrantable): void {
    const proxies = this.#others.map(({ awsRegion }) => this.#arn(awsRegion, 'rds', 'db-proxy', '*'));
    for (const proxy of proxies) {
      acknowledgePattern(
        grantee,
        proxy,
        'RDS makes up the ids of proxies in another region; changing one is bound to the tag of cells.',
      );
    }
    this.#grant(grantee, { actions: ['rds:DescribeDBProxies'], resources: proxies });
    this.#grant(grantee, {
      actions: ['rds:ModifyDBProxy'],
      resources: proxies,
      // A proxy's ARN has a random id, so the tag identifies it: proxies of dedicated databases, and proxies without
      // the tag, are out of reach.
      conditions: { StringEquals: { 'aws:ResourceTag/strata:component': 'data-plane' } },
    });
  }

  /**
   * May create, watch and delete the stacks of dedicated databases there, with that region's template and role only.
   */
  grantLaunch(grantee: IGrantable, dedicated: DedicatedDatabases): void {
    this.grantDeleteTenant(grantee, FAILED_LAUNCH);
    this.#grantNamed(grantee, `${DEDICATED_SECRETS}*`, ['secretsmanager:DeleteSecret'], FAILED_LAUNCH);
    for (const { key, awsRegion } of this.#others) {
      grantDedicatedDatabases(grantee, this.#stack, awsRegion);
      const stacks = this.#stack.formatArn({
        service: 'cloudformation',
        region: awsRegion,
        resource: 'stack',
        resourceName: `${DEDICATED_NAMES}*`,
      });
      const role = this.#stack.formatArn({
        service: 'iam',
        region: '',
        resource: 'role',
        resourceName: launchRoleName(key),
      });
      acknowledgePattern(
        grantee,
        stacks,
        'Stacks of dedicated databases are created at run time; only the beginning of their names is known.',
      );
      this.#grant(grantee, {
        actions: ['cloudformation:CreateStack'],
        resources: [stacks],
        conditions: { StringEquals: { 'cloudformation:RoleArn': role } },
      });
      const actions = [
        'DescribeStacks',
        'DescribeStackEvents',
        'DescribeStackResources',
        'DeleteStack',
        'TagResource',
      ];
      this.#grant(grantee, {
        actions: actions.map((action) => `cloudformation:${action}`),
        resources: [stacks],
      });
      this.#grant(grantee, {
        actions: ['iam:PassRole'],
        resources: [role],
        conditions: { StringEquals: { 'iam:PassedToService': 'cloudformation.amazonaws.com' } },
      });
      // CloudFormation reads the template with the rights of the caller of CreateStack.
      this.#grant(grantee, {
        actions: ['s3:GetObject'],
        resources: [
          this.#stack.formatArn({
            service: 's3',
            region: '',
            account: '',
            resource: this.#assetBucket(awsRegion),
            resourceName: dedicated.templateKey,
          }),
        ],
      });
    }
  }

  /** May start moves there. */
  grantStartMove(grantee: IGrantable): void {
    const machines = this.#others.map(({ awsRegion }) =>
      this.#arn(awsRegion, 'states', 'stateMachine', STATE_MACHINES.move),
    );
    this.#grant(grantee, { actions: ['states:StartExecution'], resources: machines });
  }

  /** May start executions of a state machine there. */
  grantStart(grantee: IGrantable, name: string): void {
    const resources = this.#others.map(({ awsRegion }) =>
      this.#arn(awsRegion, 'states', 'stateMachine', name),
    );
    this.#grant(grantee, { actions: ['states:StartExecution'], resources });
  }

  #grantCells(grantee: IGrantable, role: 'owner' | 'starter'): void {
    this.#grantSecrets(
      grantee,
      ({ awsRegion, cells }) =>
        cells.map(({ id }) => secretArnNamed(this.#stack, cellSecretName(id, role), awsRegion)),
      ['secretsmanager:GetSecretValue'],
    );
  }

  #grantSecrets(grantee: IGrantable, arns: (region: RegionConfig) => string[], actions: string[]): void {
    this.#grant(grantee, { actions, resources: this.#others.flatMap(arns) });
    this.#grantKey(grantee, ['kms:Decrypt']);
  }

  /** Secrets that are made at run time. */
  #grantNamed(grantee: IGrantable, pattern: string, actions: string[], why: string): void {
    const resources = this.#others.map(({ awsRegion }) =>
      this.#arn(awsRegion, 'secretsmanager', 'secret', pattern),
    );
    for (const resource of resources) acknowledgePattern(grantee, resource, why);
    this.#grant(grantee, { actions, resources });
  }

  /** Keys have generated ids. Through Secrets Manager they decrypt only secrets that other statements grant. */
  #grantKey(grantee: IGrantable, actions: string[]): void {
    const keys = this.#others.map(({ awsRegion }) =>
      this.#stack.formatArn({ service: 'kms', region: awsRegion, resource: 'key', resourceName: '*' }),
    );
    for (const key of keys) {
      acknowledgePattern(
        grantee,
        key,
        'The ids of another region’s keys are not known here; they can be used through Secrets Manager only, for secrets that are granted.',
      );
    }
    const services = this.#others.map(({ awsRegion }) => `secretsmanager.${awsRegion}.amazonaws.com`);
    this.#grant(grantee, {
      actions,
      resources: keys,
      conditions: { StringEquals: { 'kms:ViaService': services } },
    });
  }

  #grant(grantee: IGrantable, { actions, resources, conditions }: Rights): void {
    if (resources.length === 0) return;
    Grant.addToPrincipal({
      grantee,
      actions,
      resourceArns: resources,
      ...(conditions ? { conditions } : {}),
    });
  }

  #arn(region: string, service: string, resource: string, resourceName: string): string {
    return this.#stack.formatArn({
      service,
      region,
      resource,
      resourceName,
      arnFormat: ArnFormat.COLON_RESOURCE_NAME,
    });
  }

  /** The bucket of CDK's assets for a region's stack. */
  #assetBucket(awsRegion: string): string {
    const { synthesizer, account } = this.#stack;
    const qualifier = synthesizer.bootstrapQualifier ?? DefaultStackSynthesizer.DEFAULT_QUALIFIER;
    return `cdk-${qualifier}-assets-${account}-${awsRegion}`;
  }
}
