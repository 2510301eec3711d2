/**
 * Clusters that RestoreDBClusterToPointInTime has made, and the instances that CreateDBInstance has added: what no
 * template describes, and the state directory remembers.
 *
 *   creating ──recovered──▶ available ──DeleteDBCluster──▶ deleting ──data erased──▶ gone
 *      └──failed──▶ restore-error ──DeleteDBCluster──▶ …
 *
 * As in Aurora, a restored cluster without an instance serves nobody: its server runs while it has one.
 * Invariants: a restore is durable before it is answered. One that a stop or a kill interrupted begins anew at the next
 * start, to the same time. What is deleting stays deleting over a start.
 */
import { reasonOf } from '../../../errors.ts';
import type { PlatformContext } from '../../../model.ts';
import type { ClusterRecord, InstanceRecord, RdsStore, RestoreRecord } from './rds-store.ts';

export type RestoredCluster = ClusterRecord & { restore: RestoreRecord };

const DOCUMENT = 'rds-restored-clusters';

export class RestoredClusters {
  readonly #store: RdsStore;
  readonly #context: PlatformContext;
  #isStopping = false;

  constructor(store: RdsStore, context: PlatformContext) {
    this.#store = store;
    this.#context = context;
    for (const cluster of context.state.load<RestoredCluster[]>(DOCUMENT, [])) {
      store.clusters.set(cluster.arn, cluster);
    }
  }

  /** Adds a cluster whose status is `creating`, and begins to recover it. */
  add(cluster: RestoredCluster): void {
    this.#store.clusters.set(cluster.arn, cluster);
    this.save();
    void this.#recover(cluster);
  }

  /** Makes an instance serve. Durable before it is answered; the server is running some time later. */
  addInstance(cluster: RestoredCluster, instance: InstanceRecord): void {
    cluster.instances.push(instance);
    this.save();
    void this.#serve(cluster);
  }

  /** Forgets an instance; without one the cluster's server is stopped. */
  async removeInstance(cluster: RestoredCluster, instance: InstanceRecord): Promise<void> {
    cluster.instances = cluster.instances.filter((one) => one !== instance);
    this.save();
    if (cluster.instances.length === 0) await this.#context.clusters.halt(cluster.arn);
  }

  /** Erases a cluster that is deleting. */
  async erase(cluster: RestoredCluster): Promise<void> {
    await this.#context.clusters.remove(cluster.arn);
    this.#store.clusters.delete(cluster.arn);
    this.save();
    this.#store.forget(cluster.arn);
  }

  save(): void {
    this.#context.state.save(DOCUMENT, [...this.#store.clusters.values()].filter(isRestored));
  }

  /** Takes up what the last run of the platform left. */
  resume(): void {
    for (const cluster of [...this.#store.clusters.values()].filter(isRestored)) {
      if (cluster.deleting) {
        this.erase(cluster).catch((cause: unknown) => this.#tell(cluster, reasonOf(cause)));
      } else if (cluster.restore.status === 'creating') void this.#recover(cluster);
      else {
        for (const instance of cluster.instances.filter(({ deleting }) => deleting)) {
          void this.removeInstance(cluster, instance);
        }
        if (cluster.instances.length > 0) void this.#serve(cluster);
      }
    }
  }

  stop(): void {
    this.#isStopping = true;
  }

  async #recover(cluster: RestoredCluster): Promise<void> {
    const { restore, arn, identifier } = cluster;
    const { sourceArn, parameters, time } = restore;
    try {
      restore.port = await this.#context.clusters.recover({
        clusterIdentifier: identifier,
        arn,
        parameters,
        sourceArn,
        time: new Date(time),
      });
      restore.status = 'available';
    } catch (cause) {
      // The next start begins it anew.
      if (this.#isStopping) return;
      restore.status = 'restore-error';
      restore.reason = reasonOf(cause);
      this.#tell(cluster, `was not restored: ${restore.reason}`);
    }
    this.save();
  }

  async #serve(cluster: RestoredCluster): Promise<void> {
    try {
      const { port } = await this.#context.clusters.start(cluster.arn);
      for (const instance of cluster.instances) delete instance.creating;
      cluster.restore.port = port;
      this.save();
    } catch (cause) {
      if (!this.#isStopping) this.#tell(cluster, reasonOf(cause));
    }
  }

  #tell({ identifier }: ClusterRecord, what: string): void {
    this.#context.log(`database cluster ${identifier}: ${what}`);
  }
}

export function isRestored(cluster: ClusterRecord): cluster is RestoredCluster {
  return cluster.restore !== undefined;
}
