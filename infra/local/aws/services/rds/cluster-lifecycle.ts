/**
 * What the RDS control plane does to existing clusters and proxies: protection, final snapshots, deletion.
 *
 *   available ──DeleteDBInstance of each──▶ available ──DeleteDBCluster──▶ deleting ──data erased──▶ gone
 *
 * What API calls made is remembered by `restored-clusters.ts`; what templates made is not, but what was deleted of it is.
 *
 * Invariants: a protected cluster is not deleted, nor one that has an instance that is not being deleted; a deletion is
 * durable before its answer, and continues at the next start.
 */
import { reasonOf } from '../../../errors.ts';
import { LOCAL_ACCOUNT, type PlatformContext } from '../../../model.ts';
import { overConnection } from '../../../postgres/over-connection.ts';
import { AwsError } from '../../errors.ts';
import type { Input } from '../../input.ts';
import type { Call, Operation, Permission } from '../../service.ts';
import { requestTags, resourceTags, tagsOf } from '../../tags.ts';
import type { QuotaStore } from '../service-quotas/service-quotas.ts';
import {
  describeCluster,
  describeInstance,
  describeProxy,
  describeProxyEndpoint,
  describeSnapshot,
  paginate,
} from './descriptions.ts';
import type { ClusterRecord, ClusterSnapshot, InstanceRecord, RdsStore } from './rds-store.ts';
import { isRestored, type RestoredClusters } from './restored-clusters.ts';

/** Operations of the RDS service. */
export function clusterLifecycle(
  store: RdsStore,
  context: PlatformContext,
  quotas: QuotaStore,
  restored: RestoredClusters,
): Record<string, Operation> {
  const snapshotArn = (identifier: string, call: Call): string =>
    `arn:aws:rds:${call.region}:${LOCAL_ACCOUNT}:cluster-snapshot:${identifier.toLowerCase()}`;
  const onCluster = (action: string, input: Input, call: Call): Permission => {
    const name = input.required('DBClusterIdentifier');
    const cluster = store.clusterByIdentifier(name, call.region);
    const resource = cluster?.arn ?? `arn:aws:rds:${call.region}:${LOCAL_ACCOUNT}:cluster:${name}`;
    return { action: `rds:${action}`, resource, context: resourceTags(cluster?.tags ?? []) };
  };
  const instanceNamed = (
    name: string,
    call: Call,
  ): { cluster: ClusterRecord; instance: InstanceRecord } | undefined => {
    for (const cluster of store.clusters.values()) {
      if (cluster.region !== call.region) continue;
      const instance = cluster.instances.find(({ identifier }) => identifier === name.toLowerCase());
      if (instance) return { cluster, instance };
    }
    return undefined;
  };
  const snapshotNamed = (identifier: string, call: Call): ClusterSnapshot | undefined =>
    store.snapshotsOf(call.region).find((snapshot) => snapshot.identifier === identifier.toLowerCase());
  const endpointNamed = (name: string, call: Call) =>
    [...store.proxyEndpoints.values()].find((one) => one.name === name && one.region === call.region);
  /** RDS takes time to delete resources. */
  const later = (work: () => void): void => void setTimeout(work, store.modificationMs).unref();

  async function takeSnapshot(identifier: string, cluster: ClusterRecord, input: Input, call: Call) {
    if (!/^[a-z](?:-?[a-z0-9])*$/i.test(identifier) || identifier.length > 63) {
      throw new AwsError('InvalidParameterValue', `Invalid snapshot identifier: ${identifier}`);
    }
    const bytes = await sizeOf(cluster, context);
    // Nothing is awaited from here on: of two concurrent calls, one makes it.
    if (snapshotNamed(identifier, call)) {
      throw new AwsError(
        'DBClusterSnapshotAlreadyExistsFault',
        `Cannot create the cluster snapshot because one with the identifier ${identifier} already exists.`,
      );
    }
    const snapshot: ClusterSnapshot = {
      identifier: identifier.toLowerCase(),
      arn: snapshotArn(identifier, call),
      region: call.region,
      clusterIdentifier: cluster.identifier,
      kmsKeyId: cluster.properties.KmsKeyId as string | undefined,
      engineVersion: cluster.properties.EngineVersion as string | undefined,
      bytes,
      tags: tagsOf(input),
      createdDate: Date.now(),
      availableAt: Date.now() + store.modificationMs,
    };
    store.addSnapshot(snapshot);
    return snapshot;
  }

  return {
    ModifyDBCluster: {
      permissions: (input, call) => [onCluster('ModifyDBCluster', input, call)],
      async run(input, call) {
        const cluster = requireUsable(requireCluster(store, input.required('DBClusterIdentifier'), call));
        const unknown = Object.keys(input.members).find((name) => !MODIFIABLE.has(name));
        if (unknown)
          throw new AwsError('InvalidParameterValue', `Modifying ${unknown} is not supported here`);
        const isOn = input.boolean('DeletionProtection');
        const password = input.text('MasterUserPassword');
        if (password !== undefined) await setMasterPassword(cluster, password, context);
        if (isOn !== undefined) store.setProtection(cluster, isOn);
        return { DBCluster: describeCluster(cluster, store, context) };
      },
    },
    DeleteDBCluster: {
      permissions(input, call) {
        // RDS also checks the right on the final snapshot, whether one is taken or not.
        const final =
          input.text('FinalDBSnapshotIdentifier') ?? `${input.required('DBClusterIdentifier')}-snapshot`;
        return [
          onCluster('DeleteDBCluster', input, call),
          { action: 'rds:DeleteDBCluster', resource: snapshotArn(final, call) },
        ];
      },
      async run(input, call) {
        const cluster = requireUsable(requireCluster(store, input.required('DBClusterIdentifier'), call));
        if (store.isProtected(cluster)) {
          throw new AwsError(
            'InvalidParameterCombination',
            'Cannot delete protected Cluster, please disable deletion protection and try again.',
          );
        }
        if (cluster.instances.some(({ deleting }) => !deleting)) {
          throw new AwsError(
            'InvalidDBClusterStateFault',
            'Cluster cannot be deleted, it still contains DB instances in non-deleting state.',
          );
        }
        const final = input.text('FinalDBSnapshotIdentifier');
        const skips = input.boolean('SkipFinalSnapshot') ?? false;
        if (skips === (final !== undefined)) {
          throw new AwsError(
            'InvalidParameterCombination',
            'FinalDBSnapshotIdentifier is required unless SkipFinalSnapshot is specified.',
          );
        }
        if (final !== undefined) await takeSnapshot(final, cluster, input, call);
        store.markDeleted(cluster.arn);
        cluster.deleting = true;
        if (isRestored(cluster)) restored.save();
        later(() => {
          const erased = isRestored(cluster)
            ? restored.erase(cluster)
            : context.clusters.remove(cluster.arn).then(() => store.clusters.delete(cluster.arn));
          erased.catch((cause: unknown) => context.log(`cluster ${cluster.identifier}: ${reasonOf(cause)}`));
        });
        return { DBCluster: describeCluster(cluster, store, context) };
      },
    },
    DeleteDBInstance: {
      permissions(input, call) {
        const name = input.required('DBInstanceIdentifier');
        const instance = instanceNamed(name, call)?.instance;
        const resource = instance?.arn ?? `arn:aws:rds:${call.region}:${LOCAL_ACCOUNT}:db:${name}`;
        return [{ action: 'rds:DeleteDBInstance', resource, context: resourceTags(instance?.tags ?? []) }];
      },
      run(input, call) {
        const name = input.required('DBInstanceIdentifier');
        const found = instanceNamed(name, call);
        if (!found) {
          throw new AwsError('DBInstanceNotFound', `DBInstance ${name} not found.`, { status: 404 });
        }
        const { cluster, instance } = found;
        if (instance.deleting) {
          throw new AwsError('InvalidDBInstanceState', `Instance ${name} is already being deleted.`);
        }
        instance.deleting = true;
        if (isRestored(cluster)) {
          restored.save();
          later(() => void restored.removeInstance(cluster, instance));
          return { DBInstance: describeInstance(instance, cluster, context) };
        }
        store.markDeleted(instance.arn);
        later(() => {
          cluster.instances = cluster.instances.filter((one) => one !== instance);
        });
        return { DBInstance: describeInstance(instance, cluster, context) };
      },
    },
    DeleteDBProxy: {
      permissions(input, call) {
        const proxy = store.findProxy(input.required('DBProxyName'), call.region);
        const resource = proxy?.arn ?? `arn:aws:rds:${call.region}:${LOCAL_ACCOUNT}:db-proxy:*`;
        return [{ action: 'rds:DeleteDBProxy', resource, context: resourceTags(proxy?.tags ?? []) }];
      },
      run(input, call) {
        const proxy = store.proxy(input.required('DBProxyName'), call.region);
        for (const endpoint of store.proxyEndpoints.values()) {
          if (endpoint.proxyName !== proxy.name || endpoint.region !== call.region) continue;
          // It is not documented what RDS does with them. Nobody should rely on their end.
          throw new AwsError(
            'InvalidDBProxyStateFault',
            `DB proxy ${proxy.name} still has the endpoint ${endpoint.name}.`,
          );
        }
        store.markDeleted(proxy.arn);
        store.removeProxy(proxy.arn);
        for (const [arn, group] of store.targetGroups) {
          if (group.proxyName === proxy.name && group.region === proxy.region) store.targetGroups.delete(arn);
        }
        return { DBProxy: { ...describeProxy(proxy), Status: 'deleting' } };
      },
    },
    DeleteDBProxyEndpoint: {
      permissions(input, call) {
        const endpoint = endpointNamed(input.required('DBProxyEndpointName'), call);
        const resource = endpoint?.arn ?? `arn:aws:rds:${call.region}:${LOCAL_ACCOUNT}:db-proxy-endpoint:*`;
        return [
          { action: 'rds:DeleteDBProxyEndpoint', resource, context: resourceTags(endpoint?.tags ?? []) },
        ];
      },
      run(input, call) {
        const name = input.required('DBProxyEndpointName');
        const endpoint = endpointNamed(name, call);
        if (!endpoint) {
          throw new AwsError('DBProxyEndpointNotFoundFault', `DB proxy endpoint ${name} doesn't exist.`, {
            status: 404,
          });
        }
        store.markDeleted(endpoint.arn);
        store.proxyEndpoints.delete(endpoint.arn);
        return { DBProxyEndpoint: { ...describeProxyEndpoint(endpoint), Status: 'deleting' } };
      },
    },
    CreateDBClusterSnapshot: {
      permissions(input, call) {
        const resource = snapshotArn(input.required('DBClusterSnapshotIdentifier'), call);
        const tags = tagsOf(input);
        const action = 'rds:CreateDBClusterSnapshot';
        return [
          onCluster('CreateDBClusterSnapshot', input, call),
          { action, resource, context: requestTags(tags) },
          ...(tags.length > 0
            ? [{ action: 'rds:AddTagsToResource', resource, context: requestTags(tags) }]
            : []),
        ];
      },
      async run(input, call) {
        const cluster = requireUsable(requireCluster(store, input.required('DBClusterIdentifier'), call));
        const identifier = input.required('DBClusterSnapshotIdentifier');
        return { DBClusterSnapshot: describeSnapshot(await takeSnapshot(identifier, cluster, input, call)) };
      },
    },
    DeleteDBClusterSnapshot: {
      permissions: (input, call) => [
        {
          action: 'rds:DeleteDBClusterSnapshot',
          resource: snapshotArn(input.required('DBClusterSnapshotIdentifier'), call),
        },
      ],
      run(input, call) {
        const identifier = input.required('DBClusterSnapshotIdentifier');
        const snapshot = snapshotNamed(identifier, call);
        if (!snapshot) {
          throw new AwsError('DBClusterSnapshotNotFoundFault', `DBClusterSnapshot ${identifier} not found.`, {
            status: 404,
          });
        }
        store.removeSnapshot(snapshot);
        return { DBClusterSnapshot: { ...describeSnapshot(snapshot), Status: 'deleted' } };
      },
    },
    DescribeDBClusterSnapshots: {
      permissions(input, call) {
        const identifier = input.text('DBClusterSnapshotIdentifier');
        const resource = snapshotArn(identifier ?? '*', call);
        return [{ action: 'rds:DescribeDBClusterSnapshots', resource }];
      },
      run(input, call) {
        const identifier = input.text('DBClusterSnapshotIdentifier')?.toLowerCase();
        const cluster = input.text('DBClusterIdentifier')?.toLowerCase();
        const found = store
          .snapshotsOf(call.region)
          .filter(
            (snapshot) =>
              (identifier === undefined || snapshot.identifier === identifier) &&
              (cluster === undefined || snapshot.clusterIdentifier === cluster),
          );
        if (identifier !== undefined && found.length === 0) {
          throw new AwsError('DBClusterSnapshotNotFoundFault', `DBClusterSnapshot ${identifier} not found.`, {
            status: 404,
          });
        }
        return paginate(input, 'DBClusterSnapshots', found.map(describeSnapshot));
      },
    },
    DescribeAccountAttributes: {
      permissions: () => [{ action: 'rds:DescribeAccountAttributes', resource: '*' }],
      run(_input, call) {
        const clusters = [...store.clusters.values()].filter(({ region }) => region === call.region);
        const instances = clusters.reduce((sum, cluster) => sum + cluster.instances.length, 0);
        const quota = (AccountQuotaName: string, Used: number, code: string) => ({
          AccountQuotaName,
          Used,
          Max: quotas.find(code, call.region)?.value,
        });
        return {
          AccountQuotas: [
            quota('DBInstances', instances, 'L-7B6409FD'),
            quota('DBClusters', clusters.length, 'L-952B80B8'),
          ],
        };
      },
    },
  };
}

/** Members of ModifyDBCluster that are taken. */
const MODIFIABLE = new Set([
  'DBClusterIdentifier',
  'ApplyImmediately',
  'DeletionProtection',
  'MasterUserPassword',
]);

/** Also of a cluster without an instance, whose server is not running. */
async function setMasterPassword(
  { arn, masterSecretArn }: ClusterRecord,
  password: string,
  { clusters }: PlatformContext,
): Promise<void> {
  if (masterSecretArn !== undefined) {
    throw new AwsError(
      'InvalidParameterCombination',
      'You cannot specify MasterUserPassword while the master password is managed in Secrets Manager.',
    );
  }
  if (password.length < 8 || password.length > 128) {
    throw new AwsError(
      'InvalidParameterValue',
      'The parameter MasterUserPassword is not a valid password: it has 8 to 128 characters.',
    );
  }
  const isRunning = clusters.byArn(arn) !== undefined;
  if (!isRunning) await clusters.start(arn);
  await clusters.setMasterPassword(arn, password);
  if (!isRunning) await clusters.halt(arn);
}

/** @throws {AwsError} InvalidDBClusterStateFault while it is being created or deleted */
export function requireUsable(cluster: ClusterRecord): ClusterRecord {
  const state = cluster.deleting ? 'deleting' : cluster.restore?.status;
  if (state !== 'deleting' && state !== 'creating') return cluster;
  throw new AwsError(
    'InvalidDBClusterStateFault',
    `DBCluster ${cluster.identifier} is in the ${state} state and cannot be changed.`,
  );
}

/** Bytes of all its databases. */
async function sizeOf({ arn }: ClusterRecord, context: PlatformContext): Promise<number> {
  // A restored one without an instance.
  if (!context.clusters.byArn(arn)) return 0;
  return overConnection(context.clusters.superuser(arn, 'postgres'), async (client) => {
    const { rows } = await client.query<{ bytes: string }>(
      'SELECT sum(pg_database_size(oid))::text AS bytes FROM pg_database WHERE datallowconn',
    );
    return Number(rows[0]?.bytes ?? 0);
  });
}

export function requireCluster(store: RdsStore, name: string, call: Call) {
  const cluster = store.clusterByIdentifier(name, call.region);
  if (!cluster) throw new AwsError('DBClusterNotFoundFault', `DBCluster ${name} not found.`, { status: 404 });
  return cluster;
}
