import { ArnFormat, Lazy, Stack } from 'aws-cdk-lib';
import { Alarm, CfnDashboard } from 'aws-cdk-lib/aws-cloudwatch';
import { Construct } from 'constructs';
import type { RegionConfig } from '../config.ts';
import { alarmNameOf } from './alarms.ts';

/** A widget's alarms; CloudWatch takes no more. */
const ALARMS_OF_WIDGET = 100;
/** The grid is 24 wide. */
const [WIDTH, HEIGHT] = [8, 6];

interface Graph {
  readonly title: string;
  /** Lines of the graph: `SEARCH` finds the resources, also those that workflows make at run time. */
  readonly lines: readonly Line[];
  readonly unit?: string;
}

interface Line {
  /** Namespace and dimension, such as `AWS/Lambda,FunctionName`. */
  readonly of: string;
  readonly metric: string;
  readonly statistic: 'Average' | 'Maximum' | 'Minimum' | 'Sum' | 'p50' | 'p95' | 'p99';
  /** The resources whose names contain this. All of them when absent. */
  readonly named?: string;
}

const api = (metric: string, statistic: Line['statistic']): Line => ({
  of: 'AWS/ApiGateway,ApiId',
  metric,
  statistic,
});
const functions = (metric: string, statistic: Line['statistic']): Line => ({
  of: 'AWS/Lambda,FunctionName',
  metric,
  statistic,
  named: 'FunctionName=Strata',
});
const clusters = (metric: string, statistic: Line['statistic'] = 'Maximum'): Line => ({
  of: 'AWS/RDS,DBClusterIdentifier',
  metric,
  statistic,
  named: 'DBClusterIdentifier=strata',
});
const proxies = (metric: string, statistic: Line['statistic'] = 'Maximum'): Line => ({
  of: 'AWS/RDS,ProxyName',
  metric,
  statistic,
  named: 'ProxyName=strata',
});
const workflows = (metric: string): Line => ({
  of: 'AWS/States,StateMachineArn',
  metric,
  statistic: 'Sum',
});

const GRAPHS: readonly Graph[] = [
  { title: 'API: requests', lines: [api('Count', 'Sum')] },
  { title: 'API: latency, ms', lines: [api('Latency', 'p50'), api('Latency', 'p99')] },
  { title: 'API: errors', lines: [api('5xx', 'Sum'), api('4xx', 'Sum')] },
  { title: 'Functions: errors', lines: [functions('Errors', 'Sum')] },
  { title: 'Functions: throttles', lines: [functions('Throttles', 'Sum')] },
  { title: 'Functions: duration, ms', lines: [functions('Duration', 'p99')] },
  { title: 'Clusters: CPU, %', lines: [clusters('CPUUtilization')] },
  { title: 'Clusters: capacity, % of the maximum', lines: [clusters('ACUUtilization')] },
  { title: 'Clusters: capacity, ACU', lines: [clusters('ServerlessDatabaseCapacity')] },
  { title: 'Clusters: connections', lines: [clusters('DatabaseConnections')] },
  { title: 'Clusters: storage, bytes', lines: [clusters('VolumeBytesUsed')] },
  { title: 'Clusters: free local storage, bytes', lines: [clusters('FreeLocalStorage', 'Minimum')] },
  { title: 'Clusters: deadlocks a second', lines: [clusters('Deadlocks')] },
  { title: 'Clusters: lag of readers, ms', lines: [clusters('AuroraReplicaLagMaximum')] },
  { title: 'Clusters: lag of replication slots, bytes', lines: [clusters('OldestReplicationSlotLag')] },
  {
    title: 'Proxies: connections to the database',
    lines: [proxies('DatabaseConnections'), proxies('MaxDatabaseConnectionsAllowed')],
  },
  {
    title: 'Proxies: waiting for a connection, µs',
    lines: [proxies('DatabaseConnectionsBorrowLatency', 'Average')],
  },
  {
    title: 'Proxies: refused sessions, pinned sessions',
    lines: [
      proxies('ClientConnectionsSetupFailedAuth', 'Sum'),
      proxies('DatabaseConnectionsSetupFailed', 'Sum'),
      proxies('DatabaseConnectionsCurrentlySessionPinned'),
    ],
  },
  {
    title: 'Workflows: failed and timed out executions',
    lines: [workflows('ExecutionsFailed'), workflows('ExecutionsTimedOut')],
  },
  { title: 'Workflows: started executions', lines: [workflows('ExecutionsStarted')] },
  { title: 'Workflows: duration, ms', lines: [{ ...workflows('ExecutionTime'), statistic: 'Maximum' }] },
];

/**
 * The dashboard of a region: the states of all its alarms, and graphs of the API, functions, clusters, proxies and
 * workflows. It refers to no other stack: alarms by their names, everything else by a search.
 */
export class RegionDashboard extends Construct {
  constructor(scope: Construct, id: string, { region }: { readonly region: RegionConfig }) {
    super(scope, id);
    new CfnDashboard(this, 'Dashboard', {
      dashboardName: `strata-${region.key}`,
      // At synthesis, when all stacks of the region have their alarms.
      dashboardBody: Lazy.string({
        produce: () => Stack.of(this).toJsonString({ widgets: this.#widgets() }),
      }),
    });
  }

  #widgets(): object[] {
    const { region } = Stack.of(this);
    const alarms = this.#alarmArns();
    const widgets: object[] = [];
    for (let first = 0; first < alarms.length; first += ALARMS_OF_WIDGET) {
      widgets.push({
        type: 'alarm',
        width: 3 * WIDTH,
        height: HEIGHT,
        properties: {
          title: 'Alarms',
          alarms: alarms.slice(first, first + ALARMS_OF_WIDGET),
          sortBy: 'stateUpdatedTimestamp',
        },
      });
    }
    const graphs = GRAPHS.map(({ title, lines }, index) => ({
      type: 'metric',
      x: (index % 3) * WIDTH,
      width: WIDTH,
      height: HEIGHT,
      properties: {
        title,
        view: 'timeSeries',
        region,
        period: 300,
        metrics: lines.map((line, number) => [{ expression: searchOf(line), id: `e${number + 1}` }]),
      },
    }));
    return [...widgets, ...graphs];
  }

  /** Of all alarms of the region's stacks, by name. */
  #alarmArns(): string[] {
    const stack = Stack.of(this);
    const names = this.node.root.node
      .findAll()
      .filter((one): one is Alarm => one instanceof Alarm && Stack.of(one).region === stack.region)
      .flatMap((alarm) => alarmNameOf(alarm.stack, alarm.node.path) ?? [])
      .sort();
    return names.map((resourceName) =>
      stack.formatArn({
        service: 'cloudwatch',
        resource: 'alarm',
        resourceName,
        arnFormat: ArnFormat.COLON_RESOURCE_NAME,
      }),
    );
  }
}

const searchOf = ({ of, metric, statistic, named }: Line): string =>
  `SEARCH('{${of}} MetricName="${metric}"${named ? ` ${named}` : ''}', '${statistic}', 300)`;
