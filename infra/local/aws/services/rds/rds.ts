import { LOCAL_ACCOUNT, type PlatformContext } from '../../../model.ts';
import { AwsError } from '../../errors.ts';
import type { Input } from '../../input.ts';
import type { AwsService, Call, Operation, Permission, ServiceModule } from '../../service.ts';
import { resourceTags, type Tag } from '../../tags.ts';
import type { SecretStore } from '../secrets-manager/secret-store.ts';
import type { QuotaStore } from '../service-quotas/service-quotas.ts';
import { clusterLifecycle, requireCluster } from './cluster-lifecycle.ts';
import { clusterResource, databaseGroupResources, instanceResource } from './database-cluster.ts';
import { proxyAuth, proxyEndpointResource, proxyResource, targetGroupResource } from './database-proxy.ts';
import {
  describeCluster,
  describeInstance,
  describeProxy,
  describeProxyEndpoint,
  describeTargets,
  paginate,
} from './descriptions.ts';
import { pointInTimeRestore } from './point-in-time-restore.ts';
import type { ProxyLogins } from './proxy-logins.ts';
import type { RdsStore } from './rds-store.ts';
import { RestoredClusters } from './restored-clusters.ts';

interface Tagged {
  arn: string;
  tags: Tag[];
}

interface RdsOptions {
  readonly logins: ProxyLogins;
  readonly context: PlatformContext;
  readonly quotas: QuotaStore;
  readonly secrets: SecretStore;
  /** True when a stack is only being started again, without anything new. */
  isRestarted(stackArn: string): boolean;
}

/** The part of the RDS control plane that workflows use, and the databases of templates. */
export function rds(store: RdsStore, options: RdsOptions): ServiceModule {
  const { logins, secrets, isRestarted, context } = options;
  const restored = new RestoredClusters(store, context);
  return {
    service: wire(store, options, restored),
    resume: () => restored.resume(),
    stop: () => restored.stop(),
    resources: [
      ...databaseGroupResources(store),
      clusterResource(store, secrets, isRestarted),
      instanceResource(store, isRestarted),
      proxyResource(store, logins, isRestarted),
      targetGroupResource(store, logins),
      proxyEndpointResource(store, isRestarted),
    ],
  };
}

function wire(
  store: RdsStore,
  { logins, context, quotas, secrets }: RdsOptions,
  restored: RestoredClusters,
): AwsService {
  /** On one thing that exists, with its tags, or on all of its kind, which have none in common. */
  const on = (action: string, kind: string, one: Tagged | undefined, call: Call): Permission[] => [
    {
      action: `rds:${action}`,
      resource: one?.arn ?? `arn:aws:rds:${call.region}:${LOCAL_ACCOUNT}:${kind}:*`,
      context: resourceTags(one?.tags ?? []),
    },
  ];

  function describing(
    action: string,
    options: {
      kind: string;
      nameMember: string;
      resultMember: string;
      named(name: string, call: Call): Tagged | undefined;
      find(name: string | undefined, call: Call): unknown[] | Promise<unknown[]>;
      /** Further resources that the action is authorized on. */
      also?(name: string, call: Call): Permission[];
    },
  ): Operation {
    return {
      permissions(input, call) {
        const name = input.text(options.nameMember);
        const named = name === undefined ? undefined : options.named(name, call);
        return [...on(action, options.kind, named, call), ...(options.also?.(name ?? '', call) ?? [])];
      },
      run: async (input, call) =>
        paginate(input, options.resultMember, await options.find(input.text(options.nameMember), call)),
    };
  }

  const proxyNamed = (name: string, call: Call): Tagged | undefined => store.findProxy(name, call.region);
  const clusterNamed = (name: string, call: Call): Tagged =>
    store.clusterByIdentifier(name, call.region) ?? {
      arn: `arn:aws:rds:${call.region}:${LOCAL_ACCOUNT}:cluster:${name}`,
      tags: [],
    };
  const instanceNamed = (name: string, call: Call): Tagged =>
    [...store.clusters.values()]
      .filter((cluster) => cluster.region === call.region)
      .flatMap((cluster) => cluster.instances)
      .find((instance) => instance.identifier === name) ?? {
      arn: `arn:aws:rds:${call.region}:${LOCAL_ACCOUNT}:db:${name}`,
      tags: [],
    };

  return {
    signingNames: ['rds'],
    prefix: 'rds',
    protocol: {
      kind: 'query',
      namespace: 'http://rds.amazonaws.com/doc/2014-10-31/',
      items: {
        DBClusters: 'DBCluster',
        DBInstances: 'DBInstance',
        DBClusterMembers: 'DBClusterMember',
        VpcSecurityGroups: 'VpcSecurityGroupMembership',
        DBClusterSnapshots: 'DBClusterSnapshot',
        AccountQuotas: 'AccountQuota',
        TagList: 'Tag',
      },
    },
    accessDenied: { code: 'AccessDenied', status: 403 },
    operations: {
      DescribeDBProxies: describing('DescribeDBProxies', {
        kind: 'db-proxy',
        nameMember: 'DBProxyName',
        resultMember: 'DBProxies',
        named: proxyNamed,
        find: (name, call) => {
          const proxies =
            name === undefined
              ? [...store.proxies.values()].filter((proxy) => proxy.region === call.region)
              : [store.proxy(name, call.region)];
          return proxies.map(describeProxy);
        },
      }),
      DescribeDBProxyTargets: describing('DescribeDBProxyTargets', {
        kind: 'db-proxy',
        nameMember: 'DBProxyName',
        resultMember: 'Targets',
        named: proxyNamed,
        also: (name, call) => {
          const group = [...store.targetGroups.values()].find(
            ({ proxyName, region }) => proxyName === name && region === call.region,
          );
          return on('DescribeDBProxyTargets', 'target-group', group, call);
        },
        find: (name, call) => describeTargets(store, context, secrets, store.proxy(name ?? '', call.region)),
      }),
      // RDS lists a proxy's own endpoint too, as the default one; it cannot be deleted.
      DescribeDBProxyEndpoints: describing('DescribeDBProxyEndpoints', {
        kind: 'db-proxy',
        nameMember: 'DBProxyName',
        resultMember: 'DBProxyEndpoints',
        named: proxyNamed,
        also: (_name, call) => on('DescribeDBProxyEndpoints', 'db-proxy-endpoint', undefined, call),
        find: (name, call) => {
          if (name !== undefined) store.proxy(name, call.region);
          return [...store.proxyEndpoints.values()]
            .filter((one) => one.region === call.region && (name === undefined || one.proxyName === name))
            .map(describeProxyEndpoint);
        },
      }),
      DescribeDBProxyTargetGroups: describing('DescribeDBProxyTargetGroups', {
        kind: 'db-proxy',
        nameMember: 'DBProxyName',
        resultMember: 'TargetGroups',
        named: proxyNamed,
        find: (name, call) => {
          const proxy = store.proxy(name ?? '', call.region);
          return [...store.targetGroups.values()]
            .filter((group) => group.proxyName === proxy.name && group.region === proxy.region)
            .map((group) => ({
              DBProxyName: proxy.name,
              TargetGroupName: group.name,
              TargetGroupArn: group.arn,
              IsDefault: group.name === 'default',
              Status: 'available',
            }));
        },
      }),
      ModifyDBProxy: {
        permissions(input, call) {
          const roleArn = input.text('RoleArn');
          const pass: Permission[] =
            roleArn === undefined
              ? []
              : [
                  {
                    action: 'iam:PassRole',
                    resource: roleArn,
                    context: { 'iam:PassedToService': 'rds.amazonaws.com' },
                  },
                ];
          return [
            ...on('ModifyDBProxy', 'db-proxy', proxyNamed(input.required('DBProxyName'), call), call),
            ...pass,
          ];
        },
        async run(input, call) {
          const modified = modifyProxy(store, input, call);
          await logins.enforce(input.required('DBProxyName'), call.region);
          return modified;
        },
      },
      DescribeDBClusters: describing('DescribeDBClusters', {
        kind: 'cluster',
        nameMember: 'DBClusterIdentifier',
        resultMember: 'DBClusters',
        named: clusterNamed,
        find: (name, call) => {
          const clusters =
            name === undefined
              ? [...store.clusters.values()].filter((cluster) => cluster.region === call.region)
              : [requireCluster(store, name, call)];
          return clusters.map((cluster) => describeCluster(cluster, store, context));
        },
      }),
      DescribeDBInstances: describing('DescribeDBInstances', {
        kind: 'db',
        nameMember: 'DBInstanceIdentifier',
        resultMember: 'DBInstances',
        named: instanceNamed,
        find: (name, call) => {
          const instances = [...store.clusters.values()]
            .filter((cluster) => cluster.region === call.region)
            .flatMap((cluster) =>
              cluster.instances.map((instance) => describeInstance(instance, cluster, context)),
            )
            .filter((instance) => name === undefined || instance.DBInstanceIdentifier === name);
          if (name !== undefined && instances.length === 0) {
            throw new AwsError('DBInstanceNotFound', `DBInstance ${name} not found.`, { status: 404 });
          }
          return instances;
        },
      }),
      ...clusterLifecycle(store, context, quotas, restored),
      ...pointInTimeRestore(store, restored, context),
    },
  };
}

function modifyProxy(store: RdsStore, input: Input, call: Call): unknown {
  const proxy = store.proxy(input.required('DBProxyName'), call.region);
  if (input.has('NewDBProxyName')) {
    throw new AwsError('InvalidParameterValue', 'Renaming a proxy is not supported here');
  }
  store.modifyProxy(proxy, {
    ...(input.has('Auth') ? { auth: input.inputs('Auth').map(proxyAuth) } : {}),
    requireTls: input.boolean('RequireTLS') ?? proxy.requireTls,
    debugLogging: input.boolean('DebugLogging') ?? proxy.debugLogging,
    idleClientTimeout: input.integer('IdleClientTimeout') ?? proxy.idleClientTimeout,
    roleArn: input.text('RoleArn') ?? proxy.roleArn,
  });
  return { DBProxy: describeProxy(proxy) };
}
