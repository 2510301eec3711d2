import { CustomResource, Duration } from 'aws-cdk-lib';
import { type IVpc, SecurityGroup } from 'aws-cdk-lib/aws-ec2';
import { Grant, type IGrantable } from 'aws-cdk-lib/aws-iam';
import { Construct } from 'constructs';
import { clusterRetentionDays, TIERS } from '../../functions/contracts/backup-policy.ts';
import type { RegistryEnvironment } from '../../functions/contracts/environments.ts';
import {
  REGISTRY_DATABASE as DATABASE,
  REGISTRY_READER_ROLE,
  REGISTRY_USERS_ROLE,
  REGISTRY_WRITER_ROLE,
} from '../../functions/contracts/names.ts';
import type { RegionConfig } from '../config.ts';
import { costBasisOf } from '../cost-basis.ts';
import { AuroraCluster } from './aurora-cluster.ts';
import type { DataKey } from './data-key.ts';
import { DatabaseSecret } from './database-secret.ts';
import { type FunctionSettings, StrataFunction } from './strata-function.ts';

export const DATA_API_ACTIONS = [
  'rds-data:ExecuteStatement',
  'rds-data:BatchExecuteStatement',
  'rds-data:BeginTransaction',
  'rds-data:CommitTransaction',
  'rds-data:RollbackTransaction',
];

export interface RegistryProps extends FunctionSettings {
  /** Physical name of the cluster. */
  readonly identifier: string;
  /** VPC of the cluster; nothing in it connects to the cluster. */
  readonly network: { readonly vpc: IVpc; readonly subnetIds: string[] };
  readonly key: DataKey;
  readonly region: RegionConfig;
}

/**
 * The control-plane database: the tenants and their places. It is reached over the Data API only, so its security group
 * allows no connection, and functions outside the VPC can use it.
 */
export class Registry extends Construct {
  readonly cluster: AuroraCluster;
  readonly #master: DatabaseSecret;
  readonly #reader: DatabaseSecret;
  readonly #writer: DatabaseSecret;
  readonly #users: DatabaseSecret;
  /** Exists when the schema is migrated and the roles have their passwords. */
  readonly schema: CustomResource;
  /** Outside of the network; serves `Custom::StrataClusterProtection` too. */
  readonly bootstrap: StrataFunction;

  constructor(scope: Construct, id: string, props: RegistryProps) {
    super(scope, id);
    const secret = (name: string, role: string, description: string): DatabaseSecret =>
      new DatabaseSecret(this, name, {
        name: `strata/registry/${name.toLowerCase()}`,
        description,
        username: role,
        databaseName: DATABASE,
        keyArn: props.key.keyArn,
      });
    const master = secret(
      'Master',
      'strata_master',
      'Owner of the registry: its bootstrap and the rotation of its roles use it',
    );
    this.#master = master;
    this.#reader = secret('Reader', REGISTRY_READER_ROLE, 'Looks up tenants, users and placements');
    this.#writer = secret('Writer', REGISTRY_WRITER_ROLE, 'Registers tenants and records workflows');
    this.#users = secret('Users', REGISTRY_USERS_ROLE, 'Changes memberships, and signs users in');
    const nobody = new SecurityGroup(this, 'Nobody', {
      vpc: props.network.vpc,
      description: 'The registry takes no connections, only Data API calls',
      allowAllOutbound: false,
    });
    const { registry, logRetentionDays } = props.config;
    this.cluster = new AuroraCluster(this, 'Database', {
      identifier: props.identifier,
      databaseName: DATABASE,
      masterSecret: master,
      subnetIds: props.network.subnetIds,
      securityGroupId: nobody.securityGroupId,
      keyArn: props.key.keyArn,
      minCapacity: registry.minCapacity,
      maxCapacity: registry.maxCapacity,
      readers: Array.from({ length: registry.readers }, () => ({})),
      purpose: 'registry',
      backupRetentionDays: clusterRetentionDays(TIERS),
      logRetentionDays,
      alarmTopicArn: props.alarmTopicArn,
    });

    const bootstrap = new StrataFunction(this, 'BootstrapRegistry', {
      config: props.config,
      bundle: props.bundle,
      alarmTopicArn: props.alarmTopicArn,
      entry: 'tasks/bootstrap-registry',
      environment: {},
      description: 'Migrates the registry and gives its roles their passwords, on every deployment',
      timeout: Duration.minutes(5),
    });
    this.bootstrap = bootstrap;
    this.grantDataApi(bootstrap);
    master.grantRead(bootstrap);
    this.#reader.grantRead(bootstrap);
    this.#writer.grantRead(bootstrap);
    this.#users.grantRead(bootstrap);
    this.schema = new CustomResource(this, 'Schema', {
      resourceType: 'Custom::StrataRegistryBootstrap',
      serviceToken: bootstrap.functionArn,
      serviceTimeout: Duration.minutes(10),
      properties: {
        ClusterArn: this.cluster.clusterArn,
        MasterSecretArn: master.secretArn,
        ReaderSecretArn: this.#reader.secretArn,
        WriterSecretArn: this.#writer.secretArn,
        UsersSecretArn: this.#users.secretArn,
        Database: DATABASE,
        CostBasis: JSON.stringify(costBasisOf(props.config, props.region)),
        SchemaHash: props.bundle.hash,
      },
    });
    // The rights are in a separate policy, which CloudFormation would not otherwise wait for.
    this.schema.node.addDependency(this.cluster.writer, bootstrap);
  }

  /** Environment of a function that only reads the registry. It needs `grantRead` too. */
  get readerEnvironment(): RegistryEnvironment {
    return this.#environment(this.#reader);
  }

  /** Environment of a function that changes the registry. It needs `grantWrite` too. */
  get writerEnvironment(): RegistryEnvironment {
    return this.#environment(this.#writer);
  }

  /** Environment of a function that changes memberships. It needs `grantUsers` too. */
  get usersEnvironment(): RegistryEnvironment {
    return this.#environment(this.#users);
  }

  /** May run statements with any secret that it can read. */
  grantDataApi(grantee: IGrantable): Grant {
    return Grant.addToPrincipal({
      grantee,
      actions: DATA_API_ACTIONS,
      resourceArns: [this.cluster.clusterArn],
    });
  }

  /** May look up tenants, users, placements and cells. */
  grantRead(grantee: IGrantable): void {
    this.grantDataApi(grantee);
    this.#reader.grantRead(grantee);
  }

  /** May register tenants and record the progress of workflows. */
  grantWrite(grantee: IGrantable): void {
    this.grantDataApi(grantee);
    this.#writer.grantRead(grantee);
  }

  /** Environment of the function that rotates the registry's roles, in addition to the writer's. It needs `grantRotate`. */
  get rotationEnvironment(): { REGISTRY_MASTER_SECRET_ARN: string } {
    return { REGISTRY_MASTER_SECRET_ARN: this.#master.secretArn };
  }

  /** May give the roles of the registry other passwords, as its master. */
  grantRotate(grantee: IGrantable): void {
    this.grantDataApi(grantee);
    this.#master.grantRead(grantee);
    for (const secret of [this.#reader, this.#writer, this.#users]) secret.grantRenew(grantee);
  }

  /** May look up what the reader may, and change memberships. */
  grantUsers(grantee: IGrantable): void {
    this.grantDataApi(grantee);
    this.#users.grantRead(grantee);
  }

  #environment(secret: DatabaseSecret): RegistryEnvironment {
    return {
      REGISTRY_CLUSTER_ARN: this.cluster.clusterArn,
      REGISTRY_SECRET_ARN: secret.secretArn,
      REGISTRY_DATABASE: DATABASE,
    };
  }
}
