import {
  BootstraplessSynthesizer,
  CfnCondition,
  CfnOutput,
  CfnParameter,
  Fn,
  type IStackSynthesizer,
  Stack,
  Tags,
  Validations,
} from 'aws-cdk-lib';
import type { Construct } from 'constructs';
import { clusterRetentionDays } from '../../functions/contracts/backup-policy.ts';
import { DEFAULT_DATABASE_SIZE } from '../../functions/contracts/database-size.ts';
import { DATA_DATABASE, DEDICATED_NAMES } from '../../functions/contracts/names.ts';
import type { DedicatedSizeConfig, StrataConfig } from '../config.ts';
import { AuroraCluster } from '../constructs/aurora-cluster.ts';
import { DatabaseProxy } from '../constructs/database-proxy.ts';
import { DatabaseSecret } from '../constructs/database-secret.ts';
import { sizeParameters } from '../constructs/dedicated-databases.ts';

/**
 * An Enterprise tenant's own cluster. It is a template, not a stack of the app: workflows launch it at run time, one
 * per tenant, and every difference is a parameter. It has no assets, so it deploys without CDK's bootstrap stack, and
 * it creates no IAM, because its service role must not.
 */
export class DedicatedDatabaseStack extends Stack {
  constructor(scope: Construct, id: string, config: StrataConfig) {
    super(scope, id, {
      synthesizer: new BootstraplessSynthesizer() as IStackSynthesizer,
      description: 'Strata: dedicated database of one Enterprise tenant',
    });
    const text = (name: string, description: string): string =>
      new CfnParameter(this, name, { description }).valueAsString;
    const tenantId = text('TenantId', 'Id of the tenant, a UUID');
    const tenantSlug = text('TenantSlug', 'Slug of the tenant, for people who read the console');
    const launchId = text('LaunchId', 'Ends the names of cluster and proxy: no two launches share one');
    const roleName = text('RoleName', "The tenant's schema and login role");
    const secretName = text('SecretName', "Name of the login role's secret");
    const ownerSecretName = text('OwnerSecretName', "Name of the owner's secret");
    const masterSecretName = text('MasterSecretName', "Name of the master user's secret");
    const subnetIds = new CfnParameter(this, 'SubnetIds', {
      type: 'CommaDelimitedList',
      description: 'Isolated subnets in at least two availability zones',
    }).valueAsList;
    const clusterSecurityGroupId = text('ClusterSecurityGroupId', 'Security group of clusters');
    const proxySecurityGroupId = text('ProxySecurityGroupId', 'Security group of proxies');
    const proxyRoleArn = text('ProxyRoleArn', "Role with which the proxy reads the tenant's secret");
    const keyArn = text('KmsKeyArn', 'Key that encrypts the cluster and its secrets');
    const alarmTopicArn = text('AlarmTopicArn', 'Topic that is told about alarms');
    const zones = new CfnParameter(this, 'AvailabilityZones', {
      type: 'CommaDelimitedList',
      description: 'Zones of the writer, the first and the second reader; there are three',
    }).valueAsList;
    // An earlier release, which launches one during a deployment, knows neither sizes nor classes.
    const [home] = config.regions;
    const usual = sizeParameters(home?.dedicated.sizes[DEFAULT_DATABASE_SIZE] as DedicatedSizeConfig);
    const instanceClass = new CfnParameter(this, 'InstanceClass', {
      default: usual.InstanceClass,
      allowedPattern: 'db\\.[a-z0-9.]+',
      description: 'Class of all instances, such as db.serverless',
    }).valueAsString;
    const minCapacity = new CfnParameter(this, 'MinCapacity', {
      type: 'Number',
      default: Number(usual.MinCapacity ?? 0.5),
      minValue: 0.5,
      maxValue: 256,
      description: 'Aurora capacity units of a serverless instance that are always on',
    }).valueAsNumber;
    const maxCapacity = new CfnParameter(this, 'MaxCapacity', {
      type: 'Number',
      default: Number(usual.MaxCapacity ?? 16),
      minValue: 1,
      maxValue: 256,
      description: 'Aurora capacity units a serverless instance may grow to',
    }).valueAsNumber;
    const readerCount = new CfnParameter(this, 'ReaderCount', {
      type: 'String',
      default: usual.ReaderCount,
      allowedValues: ['0', '1', '2'],
      description: 'Instances beside the writer, for failover and analytics',
    }).valueAsString;
    const hasReader = new CfnCondition(this, 'HasReader', {
      expression: Fn.conditionNot(Fn.conditionEquals(readerCount, '0')),
    });
    const hasSecondReader = new CfnCondition(this, 'HasSecondReader', {
      expression: Fn.conditionEquals(readerCount, '2'),
    });
    Tags.of(this).add('strata:component', 'dedicated-database');
    Tags.of(this).add('strata:tenant-slug', tenantSlug);

    const secret = (key: string, name: string, username: string, description: string): DatabaseSecret =>
      new DatabaseSecret(this, key, { name, description, username, databaseName: DATA_DATABASE, keyArn });
    const master = secret(
      'MasterSecret',
      masterSecretName,
      'strata_master',
      'Master user: only the bootstrap uses it',
    );
    const owner = secret('OwnerSecret', ownerSecretName, 'strata_owner', 'Owner of schemas and tables');
    const tenant = secret('TenantSecret', secretName, roleName, "The tenant's login role");
    const name = Fn.join('', [DEDICATED_NAMES, tenantId, '-', launchId]);
    const cluster = new AuroraCluster(this, 'Database', {
      identifier: name,
      databaseName: DATA_DATABASE,
      masterSecret: master,
      subnetIds,
      securityGroupId: clusterSecurityGroupId,
      keyArn,
      instanceClass,
      minCapacity,
      maxCapacity,
      zone: Fn.select(0, zones),
      readers: [
        { condition: hasReader, zone: Fn.select(1, zones) },
        { condition: hasSecondReader, zone: Fn.select(2, zones) },
      ],
      purpose: 'data',
      backupRetentionDays: clusterRetentionDays(['enterprise']),
      logRetentionDays: config.logRetentionDays,
      alarmTopicArn,
    });
    const proxy = new DatabaseProxy(this, 'Proxy', {
      name,
      cluster,
      secretArns: [tenant.secretArn],
      roleArn: proxyRoleArn,
      subnetIds,
      securityGroupId: proxySecurityGroupId,
      readers: { condition: hasReader },
      logRetentionDays: config.logRetentionDays,
      alarmTopicArn,
    });
    // Proxies are the scarcer quota. A launch without quota for one then fails before it has made a cluster.
    cluster.resource.node.addDependency(proxy.resource);
    Validations.of(this).acknowledge({
      id: 'CloudFormation-Validate::W2509',
      reason: 'The parameters SecretName, OwnerSecretName and MasterSecretName are names, not secrets.',
    });
    for (const [output, value] of Object.entries({
      ClusterArn: cluster.clusterArn,
      ClusterIdentifier: cluster.identifier,
      WriterHost: cluster.writerHost,
      Port: cluster.port,
      ProxyHost: proxy.host,
      ProxyName: proxy.name,
      MasterSecretArn: master.secretArn,
      OwnerSecretArn: owner.secretArn,
      TenantSecretArn: tenant.secretArn,
    })) {
      new CfnOutput(this, output, { value });
    }
    new CfnOutput(this, 'ProxyReaderHost', { value: proxy.readerHost as string, condition: hasReader });
  }
}
