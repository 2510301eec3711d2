import { ArnFormat, CustomResource, Duration, Stack } from 'aws-cdk-lib';
import { Grant, type IGrantable, Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import type { IFunction } from 'aws-cdk-lib/aws-lambda';
import { Construct, type IDependable } from 'constructs';
import { clusterRetentionDays } from '../../functions/contracts/backup-policy.ts';
import type { CachesEnvironment } from '../../functions/contracts/environments.ts';
import { cellSecretName, DATA_DATABASE, starterStandIns } from '../../functions/contracts/names.ts';
import type { CellConfig, RegionConfig, StrataConfig } from '../config.ts';
import { acknowledgePattern } from './acknowledge-finding.ts';
import { AuroraCluster } from './aurora-cluster.ts';
import { CellCache } from './cell-cache.ts';
import { DatabaseProxy } from './database-proxy.ts';
import {
  DatabaseSecret,
  grantSecretCreation,
  grantSecretRead,
  grantSecretRenewal,
  secretArnNamed,
} from './database-secret.ts';
import type { RegionNetwork } from './region-network.ts';
import type { RunTimeSecrets } from './run-time-secrets.ts';

export interface CellProps {
  readonly config: StrataConfig;
  readonly region: RegionConfig;
  readonly cell: CellConfig;
  readonly network: RegionNetwork;
  readonly secrets: RunTimeSecrets;
  readonly keyArn: string;
  readonly alarmTopicArn: string;
}

/**
 * One cell: an Aurora cluster with its proxy that hosts the shared tables and up to 190 tenant schemas.
 * Roles: `strata_master` only bootstraps, `strata_owner` runs DDL, `strata_starter` serves Starter tenants; a
 * Business tenant's role is created, and its secret registered with the proxy, at run time.
 */
export class Cell extends Construct {
  readonly cluster: AuroraCluster;
  readonly proxy: DatabaseProxy;
  readonly #props: CellProps;
  readonly #master: DatabaseSecret;
  readonly #owner: DatabaseSecret;
  readonly #starter: DatabaseSecret;

  constructor(scope: Construct, id: string, props: CellProps) {
    super(scope, id);
    this.#props = props;
    const { cell, config, network } = props;
    this.#master = this.#secret('master', 'strata_master', 'Master user: only the bootstrap uses it');
    this.#owner = this.#secret('owner', 'strata_owner', 'Owner of schemas and tables: DDL of workflows');
    this.#starter = this.#secret(
      'starter',
      'strata_starter',
      'Login role of all Starter tenants of the cell',
    );
    this.cluster = new AuroraCluster(this, 'Database', {
      identifier: `strata-${cell.id}`,
      databaseName: DATA_DATABASE,
      masterSecret: this.#master,
      subnetIds: network.subnetIds,
      securityGroupId: network.clusters.securityGroupId,
      keyArn: props.keyArn,
      minCapacity: cell.minCapacity,
      maxCapacity: cell.maxCapacity,
      readers: Array.from({ length: cell.readers }, () => ({})),
      purpose: 'data',
      backupRetentionDays: clusterRetentionDays(['starter', 'business']),
      logRetentionDays: config.logRetentionDays,
      alarmTopicArn: props.alarmTopicArn,
    });
    if (cell.cache && network.caches) {
      new CellCache(this, 'Cache', {
        cellId: cell.id,
        cache: cell.cache,
        subnetIds: network.subnetIds,
        securityGroupId: network.caches.securityGroupId,
        keyArn: props.keyArn,
        alarmTopicArn: props.alarmTopicArn,
      });
    }
    const proxyRole = new Role(this, 'ProxyRole', {
      assumedBy: new ServicePrincipal('rds.amazonaws.com'),
      description: `Lets the proxy of cell ${cell.id} read the secrets of the roles that sign in through it`,
    });
    this.#starter.grantRead(proxyRole);
    grantSecretRead(proxyRole, this, props.keyArn, [this.#standIns(proxyRole)]);
    props.secrets.grantReadTenant(
      proxyRole,
      'Secrets of Business tenants join and leave the proxy at run time; their names are only known as a pattern.',
    );
    this.proxy = new DatabaseProxy(this, 'Proxy', {
      name: `strata-${cell.id}`,
      cluster: this.cluster,
      secretArns: [this.#starter.secretArn],
      roleArn: proxyRole.roleArn,
      subnetIds: network.subnetIds,
      securityGroupId: network.proxies.securityGroupId,
      ...(cell.readers > 0 ? { readers: {} } : {}),
      logRetentionDays: config.logRetentionDays,
      alarmTopicArn: props.alarmTopicArn,
    });
    // If a proxy starts before its role may read the secrets, it marks them as failed for minutes.
    this.proxy.node.addDependency(proxyRole);
  }

  /**
   * Migrates the cell and registers it on every deployment, then restores the proxy's run-time secrets, which an update
   * of the proxy has erased.
   * @param after what must exist first: the registry's schema.
   */
  onDeploy(
    tasks: { bootstrap: IFunction; proxyAuth: IFunction },
    schemaHash: string,
    after: IDependable,
  ): void {
    const { cell, region } = this.#props;
    const bootstrap = new CustomResource(this, 'Bootstrap', {
      resourceType: 'Custom::StrataCellBootstrap',
      serviceToken: tasks.bootstrap.functionArn,
      serviceTimeout: Duration.minutes(15),
      properties: {
        CellId: cell.id,
        Region: region.key,
        DataResidency: region.key,
        ProxyHost: this.proxy.host,
        ProxyName: this.proxy.name,
        ProxyReaderHost: this.proxy.readerHost ?? '',
        WriterHost: this.cluster.writerHost,
        Port: this.cluster.port,
        Database: this.cluster.databaseName,
        ClusterArn: this.cluster.clusterArn,
        MasterSecretArn: this.#master.secretArn,
        OwnerSecretArn: this.#owner.secretArn,
        StarterSecretArn: this.#starter.secretArn,
        MaxBusinessTenants: cell.maxBusinessTenants,
        SchemaHash: schemaHash,
      },
    });
    bootstrap.node.addDependency(this.cluster.writer, tasks.bootstrap, after);
    const proxyAuth = new CustomResource(this, 'ProxyAuth', {
      resourceType: 'Custom::StrataProxyAuth',
      serviceToken: tasks.proxyAuth.functionArn,
      serviceTimeout: Duration.minutes(10),
      // Different in every synth, so that CloudFormation calls it in every deployment.
      properties: { CellId: cell.id, DeployTime: new Date().toISOString() },
    });
    proxyAuth.node.addDependency(this.proxy, bootstrap, tasks.proxyAuth);
  }

  /** May bootstrap the cell: read all three of its fixed secrets. */
  grantBootstrap(grantee: IGrantable): void {
    this.#master.grantRead(grantee);
    this.#owner.grantRead(grantee);
    this.#starter.grantRead(grantee);
  }

  /** May sign in as the cell's owner. */
  grantOwner(grantee: IGrantable): Grant {
    return grantSecretRead(grantee, this, this.#props.keyArn, [this.#named('owner')]);
  }

  /**
   * May sign in as the role of all Starter tenants, or as one that stands in for it while its password is replaced;
   * row-level security limits what they see.
   */
  grantStarter(grantee: IGrantable): Grant {
    const secrets = [this.#named('starter'), this.#standIns(grantee)];
    return grantSecretRead(grantee, this, this.#props.keyArn, secrets);
  }

  /** May give the secrets of the cell's roles other passwords. */
  grantRenew(grantee: IGrantable): void {
    grantSecretRenewal(grantee, this, this.#props.keyArn, [this.#named('owner'), this.#named('starter')]);
  }

  /** May make and delete the secrets of stand-ins. */
  grantStandIns(grantee: IGrantable): void {
    const { keyArn } = this.#props;
    const standIns = [this.#standIns(grantee)];
    grantSecretCreation(grantee, this, keyArn, standIns);
    Grant.addToPrincipal({ grantee, actions: ['secretsmanager:DeleteSecret'], resourceArns: standIns });
    // A second run of the same work reads what the first one has made.
    grantSecretRead(grantee, this, keyArn, standIns);
  }

  /** The variable of a function that uses the caches of these cells, as far as they have one. */
  static cachesEnvironment(cells: readonly Cell[]): CachesEnvironment {
    const ids = cells.filter((cell) => cell.#hasCache).map((cell) => cell.#props.cell.id);
    return ids.length > 0 ? { CACHES: ids.join(',') } : {};
  }

  get #hasCache(): boolean {
    return this.#props.cell.cache !== undefined;
  }

  /** May find the cell's cache and sign in to it, if there is one. */
  grantCache(grantee: IGrantable): void {
    if (!this.#hasCache) return;
    const secrets = [this.#named('cache'), this.#named('cache-address')];
    grantSecretRead(grantee, this, this.#props.keyArn, secrets);
  }

  /** Grants by name, so that the stacks of the region's functions do not import the secrets of the cell's stack. */
  #named(name: 'owner' | 'starter' | 'cache' | 'cache-address'): string {
    return secretArnNamed(Stack.of(this), cellSecretName(this.#props.cell.id, name));
  }

  /** Secrets of roles that stand in for the one of Starter tenants: they exist for minutes, and are named at run time. */
  #standIns(grantee: IGrantable): string {
    const pattern = Stack.of(this).formatArn({
      service: 'secretsmanager',
      resource: 'secret',
      resourceName: `${starterStandIns(this.#props.cell.id)}*`,
      arnFormat: ArnFormat.COLON_RESOURCE_NAME,
    });
    acknowledgePattern(
      grantee,
      pattern,
      'While the password of the role of all Starter tenants is replaced, another role serves, whose secret is named after the rotation.',
    );
    return pattern;
  }

  /** May replace the list of secrets that the cell's proxy accepts. */
  grantProxyAuth(grantee: IGrantable): Grant {
    const anyProxy = Stack.of(this).formatArn({
      service: 'rds',
      resource: 'db-proxy',
      resourceName: '*',
      arnFormat: ArnFormat.COLON_RESOURCE_NAME,
    });
    acknowledgePattern(
      grantee,
      anyProxy,
      'Describing a proxy by its name is authorized on the collection; changing one is granted by its exact ARN.',
    );
    return Grant.addToPrincipal({
      grantee,
      actions: ['rds:ModifyDBProxy'],
      resourceArns: [this.proxy.proxyArn],
    }).combine(
      Grant.addToPrincipal({ grantee, actions: ['rds:DescribeDBProxies'], resourceArns: [anyProxy] }),
    );
  }

  #secret(name: 'master' | 'owner' | 'starter', username: string, description: string): DatabaseSecret {
    const { cell, keyArn } = this.#props;
    return new DatabaseSecret(this, `${name}-secret`, {
      name: cellSecretName(cell.id, name),
      description: `${cell.id}: ${description}`,
      username,
      databaseName: DATA_DATABASE,
      keyArn,
    });
  }
}
