import { Duration, Stack } from 'aws-cdk-lib';
import { Rule } from 'aws-cdk-lib/aws-events';
import { LambdaFunction as InvokeFunction } from 'aws-cdk-lib/aws-events-targets';
import type { Construct } from 'constructs';
import type { CellConfig, RegionConfig } from '../config.ts';
import { Cell } from '../constructs/cell.ts';
import { ClusterProtection } from '../constructs/cluster-protection.ts';
import { cellStackName } from '../constructs/region-names.ts';
import { type FunctionSettings, StrataFunction } from '../constructs/strata-function.ts';
import type { ControlPlane } from './control-plane-stack.ts';
import type { NetworkStack } from './network-stack.ts';
import { type SharedSettings, stackProps, tagStack } from './stack-props.ts';

export interface CellStackProps extends SharedSettings {
  readonly region: RegionConfig;
  readonly cell: CellConfig;
  readonly network: NetworkStack;
  readonly controlPlane: ControlPlane;
}

/** Of a stack: its resources are what they stay until the next deployment. */
const DEPLOYMENT_ENDS = [
  'CREATE_COMPLETE',
  'UPDATE_COMPLETE',
  'UPDATE_FAILED',
  'UPDATE_ROLLBACK_COMPLETE',
  'UPDATE_ROLLBACK_FAILED',
];

/** One cell with all that its deployment needs: what bootstraps it, repairs its proxy and protects its cluster. */
export class CellStack extends Stack {
  readonly cell: Cell;

  constructor(scope: Construct, props: CellStackProps) {
    const { config, bundle, region, controlPlane } = props;
    const description = `Strata: cell ${props.cell.id} of region ${region.key}`;
    super(scope, cellStackName(region.key, props.cell.id), stackProps(region, description, config));
    tagStack(this, 'data-plane', region, config);
    const { key, network, secrets } = props.network;
    const { registry, alarmTopicArn } = controlPlane;
    const settings: FunctionSettings = { config, bundle, alarmTopicArn };
    this.cell = new Cell(this, 'Cell', {
      config,
      region,
      cell: props.cell,
      network,
      secrets,
      alarmTopicArn,
      keyArn: key.keyArn,
    });

    const bootstrap = new StrataFunction(this, 'Bootstrap', {
      ...settings,
      entry: 'tasks/bootstrap-cell',
      description: 'Migrates the cell and registers it, on every deployment',
      environment: registry.writerEnvironment,
      timeout: Duration.minutes(10),
      network: network.forTasks,
    });
    registry.grantWrite(bootstrap);
    this.cell.grantBootstrap(bootstrap);

    const proxyAuth = new StrataFunction(this, 'ProxyAuth', {
      ...settings,
      entry: 'tasks/reconcile-proxy-auth',
      description: "Makes the cell's proxy accept exactly the secrets that the registry says",
      environment: { ...registry.writerEnvironment, CELL_ID: props.cell.id },
      timeout: Duration.minutes(5),
    });
    registry.grantWrite(proxyAuth);
    this.cell.grantProxyAuth(proxyAuth);
    // Sooner than the region's schedule: a deployment of this stack may have put back the proxy's own list.
    new Rule(this, 'Deployed', {
      description: 'Deployments of this stack have ended: repair the secrets of the proxy',
      eventPattern: {
        source: ['aws.cloudformation'],
        detailType: ['CloudFormation Stack Status Change'],
        detail: { 'stack-id': [this.stackId], 'status-details': { status: DEPLOYMENT_ENDS } },
      },
      targets: [new InvokeFunction(proxyAuth, { retryAttempts: 4, maxEventAge: Duration.hours(1) })],
    });
    this.cell.onDeploy({ bootstrap, proxyAuth }, bundle.hash, registry.schema);

    new ClusterProtection(this, 'ClusterProtection', {
      clusters: [this.cell.cluster],
      deletionProtection: config.deletionProtection,
      task: proxyAuth,
      release: bundle.hash,
    });
  }
}
