import { type CfnCondition, CfnDeletionPolicy, Fn, RemovalPolicy } from 'aws-cdk-lib';
import { LogGroup } from 'aws-cdk-lib/aws-logs';
import { CfnDBProxy, CfnDBProxyEndpoint, CfnDBProxyTargetGroup } from 'aws-cdk-lib/aws-rds';
import { Construct } from 'constructs';
import { raiseAlarm, serviceMetric } from './alarms.ts';
import type { AuroraCluster } from './aurora-cluster.ts';

export interface DatabaseProxyProps {
  /** Physical name, required by RDS. */
  readonly name: string;
  readonly cluster: AuroraCluster;
  /**
   * Secrets that clients may sign in with from the start. Tenants' secrets are added at run time; an update of this
   * resource removes them, and Custom::StrataProxyAuth restores them on every deployment.
   */
  readonly secretArns: string[];
  readonly roleArn: string;
  readonly subnetIds: string[];
  readonly securityGroupId: string;
  /** Given when the cluster has readers: then they get an endpoint of their own. It may depend on a condition. */
  readonly readers?: { readonly condition?: CfnCondition };
  readonly logRetentionDays: number;
  readonly alarmTopicArn: string;
}

/**
 * RDS Proxy in front of one cluster: TLS only, SCRAM passwords, sessions shared between requests. Its default endpoint
 * leads to the writer, and `readerHost` to the readers: with the same secrets, security group and certificate, and with
 * pooled sessions, which the cluster's own reader endpoint does not have.
 */
export class DatabaseProxy extends Construct {
  readonly host: string;
  /** Of the endpoint that leads to the readers; undefined without readers. */
  readonly readerHost: string | undefined;
  readonly name: string;
  readonly proxyArn: string;
  /** The proxy without its target: it needs no cluster. */
  readonly resource: CfnDBProxy;

  constructor(scope: Construct, id: string, props: DatabaseProxyProps) {
    super(scope, id);
    const logs = new LogGroup(this, 'Logs', {
      logGroupName: `/aws/rds/proxy/${props.name}`,
      retention: props.logRetentionDays,
      removalPolicy: RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
    });
    const proxy = new CfnDBProxy(this, 'Proxy', {
      dbProxyName: props.name,
      engineFamily: 'POSTGRESQL',
      requireTls: true,
      debugLogging: false,
      idleClientTimeout: 900,
      roleArn: props.roleArn,
      auth: props.secretArns.map((secretArn) => ({
        authScheme: 'SECRETS',
        iamAuth: 'DISABLED',
        clientPasswordAuthType: 'POSTGRES_SCRAM_SHA_256',
        secretArn,
      })),
      vpcSubnetIds: props.subnetIds,
      vpcSecurityGroupIds: [props.securityGroupId],
    });
    proxy.cfnOptions.deletionPolicy = CfnDeletionPolicy.RETAIN_EXCEPT_ON_CREATE;
    proxy.cfnOptions.updateReplacePolicy = CfnDeletionPolicy.RETAIN;
    proxy.node.addDependency(logs);
    const targets = new CfnDBProxyTargetGroup(this, 'Targets', {
      dbProxyName: proxy.ref,
      targetGroupName: 'default',
      dbClusterIdentifiers: [props.cluster.identifier],
      connectionPoolConfigurationInfo: {
        // The rest is for workflow tasks, which connect to the cluster itself.
        maxConnectionsPercent: 90,
        maxIdleConnectionsPercent: 50,
        // Seconds. A request has 29 in all and must still be able to answer 503.
        connectionBorrowTimeout: 10,
      },
    });
    // The target group registers existing instances; without the writer it would stay empty.
    targets.node.addDependency(props.cluster.writer);
    this.readerHost = props.readers && this.#readerEndpoint(proxy, props, props.readers.condition);
    this.resource = proxy;
    this.host = proxy.attrEndpoint;
    this.name = proxy.ref;
    this.proxyArn = proxy.attrDbProxyArn;
    raiseAlarm(this, 'BorrowLatencyAlarm', {
      metric: serviceMetric(
        'AWS/RDS',
        'DatabaseConnectionsBorrowLatency',
        { ProxyName: this.name },
        'Average',
      ),
      // Microseconds.
      threshold: 1_000_000,
      periods: 2,
      description: `Proxy ${props.name}: clients wait more than a second for a connection, the pool is exhausted.`,
      topicArn: props.alarmTopicArn,
    });
    raiseAlarm(this, 'PinnedAlarm', {
      metric: serviceMetric(
        'AWS/RDS',
        'DatabaseConnectionsCurrentlySessionPinned',
        { ProxyName: this.name },
        'Maximum',
      ),
      threshold: 5,
      periods: 3,
      description: `Proxy ${props.name}: pinned sessions. Some statement sets session state, which also risks leaking a tenant.`,
      topicArn: props.alarmTopicArn,
    });
  }

  /** A proxy without readers refuses connections at such an endpoint. */
  #readerEndpoint(
    proxy: CfnDBProxy,
    { name, subnetIds, securityGroupId }: DatabaseProxyProps,
    condition: CfnCondition | undefined,
  ): string {
    const endpoint = new CfnDBProxyEndpoint(this, 'ReaderEndpoint', {
      dbProxyName: proxy.ref,
      dbProxyEndpointName: Fn.join('', [name, '-ro']),
      targetRole: 'READ_ONLY',
      vpcSubnetIds: subnetIds,
      vpcSecurityGroupIds: [securityGroupId],
    });
    endpoint.cfnOptions.deletionPolicy = CfnDeletionPolicy.RETAIN_EXCEPT_ON_CREATE;
    endpoint.cfnOptions.updateReplacePolicy = CfnDeletionPolicy.RETAIN;
    if (condition) endpoint.cfnOptions.condition = condition;
    return endpoint.attrEndpoint;
  }
}
