import { Duration, RemovalPolicy } from 'aws-cdk-lib';
import { type ISecurityGroup, type IVpc, SubnetType } from 'aws-cdk-lib/aws-ec2';
import { Policy, PolicyStatement, Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { Architecture, Code, Function as LambdaFunction, Runtime } from 'aws-cdk-lib/aws-lambda';
import { FilterPattern, type ILogGroup, LogGroup, MetricFilter } from 'aws-cdk-lib/aws-logs';
import type { Construct } from 'constructs';
import type { CommonEnvironment, FunctionCode } from '../../functions/contracts/environments.ts';
import { ALERTS } from '../../functions/contracts/names.ts';
import type { StrataConfig } from '../config.ts';
import { acknowledgeFinding } from './acknowledge-finding.ts';
import { raiseAlarm, raiseWorkflowAlarm } from './alarms.ts';
import { type FunctionBundle, FunctionBundleError } from './function-bundle.ts';

/** Settings that all functions of one stack share. */
export interface FunctionSettings {
  readonly config: StrataConfig;
  readonly bundle: FunctionBundle;
  readonly alarmTopicArn: string;
}

/** Network of a function that talks to a database or an endpoint inside the VPC. */
export interface FunctionNetwork {
  readonly vpc: IVpc;
  readonly securityGroup: ISecurityGroup;
}

/**
 * A bundle entry, such as `tasks/bootstrap-cell`, with the environment that its contract requires, and its settings.
 */
export type StrataFunctionProps = FunctionSettings & FunctionCode & FunctionOptions;

interface FunctionOptions {
  readonly description: string;
  readonly timeout?: Duration;
  /** MiB; CPU grows with it. */
  readonly memorySize?: number;
  readonly network?: FunctionNetwork;
  /** The alarm of the function's workflow covers it: it gets no alarm of its own. */
  readonly watchedByWorkflow?: boolean;
  /** Physical name, for a function that another stack refers to by name only. */
  readonly functionName?: string;
}

/**
 * One Lambda function with its own role, its own log group and, unless it is part of a workflow, its own alarm. At
 * first the role may only write to that log group: every further right is a `grant…` line in a stack.
 */
export class StrataFunction extends LambdaFunction {
  constructor(scope: Construct, id: string, props: StrataFunctionProps) {
    const common: CommonEnvironment = {
      DB_PIPELINE: props.config.databasePipeline,
      DB_TLS: props.config.databaseTls,
      LOG_LEVEL: props.config.logLevel,
      POWERTOOLS_SERVICE_NAME: serviceName(props.entry),
    };
    if (!props.bundle.entries.has(props.entry)) {
      throw new FunctionBundleError(
        `functions/${props.entry}.ts does not exist, but ${scope.node.path} needs it`,
      );
    }
    const role = new Role(scope, `${id}Role`, {
      assumedBy: new ServicePrincipal('lambda.amazonaws.com'),
      description: `Runs functions/${props.entry}.ts`,
    });
    const logGroup = new LogGroup(scope, `${id}Logs`, {
      retention: props.config.logRetentionDays,
      removalPolicy: RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
    });
    logGroup.grantWrite(role);
    const networkInterfaces = props.network ? attachToNetwork(scope, id, role) : undefined;
    super(scope, id, {
      runtime: Runtime.NODEJS_24_X,
      architecture: Architecture.ARM_64,
      code: Code.fromAsset(props.bundle.directory, { assetHash: props.bundle.hash }),
      handler: `${props.entry}.handler`,
      ...(props.functionName ? { functionName: props.functionName } : {}),
      description: props.description,
      role,
      logGroup,
      timeout: props.timeout ?? Duration.seconds(29),
      memorySize: props.memorySize ?? 512,
      environment: { ...props.environment, ...common },
      ...(props.network
        ? {
            vpc: props.network.vpc,
            securityGroups: [props.network.securityGroup],
            vpcSubnets: { subnetType: SubnetType.PRIVATE_ISOLATED },
          }
        : {}),
    });
    // Lambda checks at creation that the role may attach network interfaces.
    if (networkInterfaces) this.node.addDependency(networkInterfaces);
    if (!props.watchedByWorkflow) {
      raiseWorkflowAlarm(this, 'Failures', {
        functions: [this],
        failing: [this],
        description: `${props.entry}: an invocation failed or was throttled. Search its log group for level ERROR; without one, the account's concurrency is used up.`,
        topicArn: props.alarmTopicArn,
      });
    }
    if (props.entry.startsWith('api/')) this.#watchIsolation(props, logGroup);
  }

  /** A request for an unknown tenant or one of another role (TN004) answers 500, which alone raises no alarm. */
  #watchIsolation({ entry, alarmTopicArn: topicArn }: StrataFunctionProps, logGroup: ILogGroup): void {
    const filter = new MetricFilter(this, 'IsolationAlerts', {
      logGroup,
      filterPattern: FilterPattern.stringValue('$.message', '=', ALERTS.isolation),
      metricNamespace: 'Strata',
      metricName: `${ALERTS.isolation}s-${serviceName(entry)}`,
      metricValue: '1',
    });
    raiseAlarm(this, 'Isolation', {
      metric: filter.metric({ statistic: 'Sum', period: Duration.minutes(5) }),
      threshold: 1,
      description: `${entry}: registry and database disagree about who owns a tenant, or a tenant’s credential holds locks of another. Search its log for TenantIsolationAlert.`,
      topicArn,
    });
  }
}

/** `people` for `api/people/handler`, `bootstrap-cell` for `tasks/bootstrap-cell`. */
const serviceName = (entry: string): string => entry.split('/')[1] as string;

function attachToNetwork(scope: Construct, id: string, role: Role): Policy {
  const policy = new Policy(scope, `${id}NetworkInterfaces`, {
    roles: [role],
    statements: [
      new PolicyStatement({
        actions: [
          'ec2:CreateNetworkInterface',
          'ec2:DescribeNetworkInterfaces',
          'ec2:DescribeSubnets',
          'ec2:DeleteNetworkInterface',
          'ec2:AssignPrivateIpAddresses',
          'ec2:UnassignPrivateIpAddresses',
        ],
        resources: ['*'],
      }),
    ],
  });
  acknowledgeFinding(
    policy,
    'IAM5[Resource::*]',
    'Lambda attaches its network interfaces with the function role, and these EC2 actions take no resource that is known beforehand. AWS documents exactly this list.',
  );
  return policy;
}
