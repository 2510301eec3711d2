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
import { DATA_DATABASE, DEDICATED_NAMES } from '../../functions/contracts/names.ts';
import type { StrataConfig } from '../config.ts';
import { AuroraCluster } from '../constructs/aurora-cluster.ts';
import { DatabaseProxy } from '../constructs/database-proxy.ts';
import { DatabaseSecret } from '../constructs/database-secret.ts';

/**
 * An Enterprise tenant's own cluster. It is a template, not a stack of the app: workflows launch it at run time, one
 * per tenant, and everything that differs is a parameter. It has no assets, so it deploys without CDK's bootstrap
 * stack, and it creates no IAM: the service role that launches it cannot either.
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
    const minCapacity = new CfnParameter(this, 'MinCapacity', {
      type: 'Number',
      default: 0.5,
      minValue: 0.5,
      maxValue: 256,
      description: 'Aurora capacity units that are always on',
    }).valueAsNumber;
    const maxCapacity = new CfnParameter(this, 'MaxCapacity', {
      type: 'Number',
      default: 16,
      minValue: 1,
      maxValue: 256,
      description: 'Aurora capacity units the cluster may grow to',
    }).valueAsNumber;
    const readerCount = new CfnParameter(this, 'ReaderCount', {
      type: 'String',
      default: '0',
      allowedValues: ['0', '1'],
      description: 'Instances beside the writer, for failover and analytics',
    }).valueAsString;
    const hasReader = new CfnCondition(this, 'HasReader', {
      expression: Fn.conditionEquals(readerCount, '1'),
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
      minCapacity,
      maxCapacity,
      readers: [{ condition: hasReader }],
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
      logRetentionDays: config.logRetentionDays,
      alarmTopicArn,
    });
    // Proxies are the scarcer quota. A launch that fails for want of one then fails before it has made a cluster.
    cluster.resource.node.addDependency(proxy.resource);
    Validations.of(this).acknowledge({
      id: 'CloudFormation-Validate::W2509',
      reason: 'The parameters SecretName, OwnerSecretName and MasterSecretName are names, not secrets.',
    });
    for (const [output, value] of Object.entries({
      ClusterArn: cluster.clusterArn,
      ClusterIdentifier: cluster.identifier,
      WriterHost: cluster.writerHost,
      ReaderHost: cluster.readerHost,
      Port: cluster.port,
      ProxyHost: proxy.host,
      ProxyName: proxy.name,
      MasterSecretArn: master.secretArn,
      OwnerSecretArn: owner.secretArn,
      TenantSecretArn: tenant.secretArn,
    })) {
      new CfnOutput(this, output, { value });
    }
  }
}
