import { CustomResource, Duration } from 'aws-cdk-lib';
import { type IVpc, SecurityGroup } from 'aws-cdk-lib/aws-ec2';
import { Grant, type IGrantable } from 'aws-cdk-lib/aws-iam';
import { Construct } from 'constructs';
import { clusterRetentionDays, TIERS } from '../../functions/contracts/backup-policy.ts';
import type { RegistryEnvironment } from '../../functions/contracts/environments.ts';
import {
  REGISTRY_DATABASE as DATABASE,
  REGISTRY_READER_ROLE,
  REGISTRY_WRITER_ROLE,
} from '../../functions/contracts/names.ts';
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
  /** Where the cluster stands; nothing in it talks to the cluster. */
  readonly network: { readonly vpc: IVpc; readonly subnetIds: string[] };
  readonly key: DataKey;
}

/**
 * The control-plane database: who the tenants are and where they live. It is reached over the Data API only, so its
 * security group lets nobody in, and functions outside the VPC can use it.
 */
export class Registry extends Construct {
  readonly cluster: AuroraCluster;
  readonly #reader: DatabaseSecret;
  readonly #writer: DatabaseSecret;
  /** Exists once the schema is migrated and the roles have their passwords. */
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
    const master = secret('Master', 'strata_master', 'Owner of the registry: only its bootstrap uses it');
    this.#reader = secret('Reader', REGISTRY_READER_ROLE, 'Looks up tenants, users and placements');
    this.#writer = secret('Writer', REGISTRY_WRITER_ROLE, 'Registers tenants and records workflows');
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
    this.schema = new CustomResource(this, 'Schema', {
      resourceType: 'Custom::StrataRegistryBootstrap',
      serviceToken: bootstrap.functionArn,
      serviceTimeout: Duration.minutes(10),
      properties: {
        ClusterArn: this.cluster.clusterArn,
        MasterSecretArn: master.secretArn,
        ReaderSecretArn: this.#reader.secretArn,
        WriterSecretArn: this.#writer.secretArn,
        Database: DATABASE,
        SchemaHash: props.bundle.hash,
      },
    });
    // The rights live in a policy of their own, which nothing else makes CloudFormation wait for.
    this.schema.node.addDependency(this.cluster.writer, bootstrap);
  }

  /** Environment of a function that only looks things up. It needs `grantRead` too. */
  get readerEnvironment(): RegistryEnvironment {
    return this.#environment(this.#reader);
  }

  /** Environment of a function that changes the registry. It needs `grantWrite` too. */
  get writerEnvironment(): RegistryEnvironment {
    return this.#environment(this.#writer);
  }

  /** May run statements with whatever secret it can read. */
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

  /** May register tenants and record what workflows do. */
  grantWrite(grantee: IGrantable): void {
    this.grantDataApi(grantee);
    this.#writer.grantRead(grantee);
  }

  #environment(secret: DatabaseSecret): RegistryEnvironment {
    return {
      REGISTRY_CLUSTER_ARN: this.cluster.clusterArn,
      REGISTRY_SECRET_ARN: secret.secretArn,
      REGISTRY_DATABASE: DATABASE,
    };
  }
}
