/**
 * Clusters, their snapshots, and proxies of the deployed stacks, for the RDS control plane.
 *
 * A cluster's deletion protection is that of the last API call, otherwise that of its template. What an API call
 * deleted (a cluster, an instance, a proxy) stays deleted when its stack is started again.
 *
 * States of a proxy: available → (ModifyDBProxy) modifying → available. While it is modifying, another modification is
 * refused. Its Auth list is always replaced as a whole.
 */
import type { StateFile } from '../../../model.ts';
import { AwsError } from '../../errors.ts';
import type { Tag } from '../../tags.ts';

export interface ProxyAuth {
  AuthScheme: string;
  SecretArn?: string | undefined;
  IAMAuth: string;
  Description?: string | undefined;
  UserName?: string | undefined;
  ClientPasswordAuthType?: string | undefined;
}

export interface DatabaseProxy {
  name: string;
  arn: string;
  region: string;
  auth: ProxyAuth[];
  roleArn: string;
  requireTls: boolean;
  debugLogging: boolean;
  idleClientTimeout: number;
  vpcId: string;
  subnetIds: string[];
  securityGroupIds: string[];
  tags: Tag[];
  createdDate: number;
  updatedDate: number;
  /** It is modifying until then. */
  busyUntil: number;
}

/** An endpoint of a proxy besides its own. All endpoints lead to the cluster's one server. */
export interface ProxyEndpoint {
  name: string;
  arn: string;
  region: string;
  proxyName: string;
  targetRole: string;
  vpcId: string;
  subnetIds: string[];
  securityGroupIds: string[];
  tags: Tag[];
  createdDate: number;
}

export interface TargetGroup {
  name: string;
  arn: string;
  proxyName: string;
  region: string;
  clusterIdentifiers: string[];
  tags: Tag[];
}

export interface ClusterRecord {
  identifier: string;
  arn: string;
  region: string;
  resourceId: string;
  properties: Record<string, unknown>;
  tags: Tag[];
  instances: InstanceRecord[];
  masterSecretArn?: string | undefined;
  createdDate: number;
  /** Its data is being erased. */
  deleting?: boolean;
  /** Of a cluster that no template has made; see `restored-clusters.ts`. */
  restore?: RestoreRecord;
}

export interface RestoreRecord {
  sourceArn: string;
  /** Epoch milliseconds. */
  time: number;
  /** Of its DB cluster parameter group, as it was when the cluster was restored. */
  parameters: Record<string, string>;
  status: 'creating' | 'available' | 'restore-error';
  /** Why it failed. */
  reason?: string;
  /** Of its server, from when it is available. */
  port?: number;
  databaseName?: string | undefined;
  masterUsername?: string | undefined;
}

export interface InstanceRecord {
  identifier: string;
  arn: string;
  tags: Tag[];
  instanceClass?: string;
  creating?: boolean;
  deleting?: boolean;
}

/** A record only: no data is copied. */
export interface ClusterSnapshot {
  identifier: string;
  arn: string;
  region: string;
  clusterIdentifier: string;
  kmsKeyId?: string | undefined;
  engineVersion?: string | undefined;
  /** Size of all databases of the cluster at the time of the request. */
  bytes: number;
  tags: Tag[];
  createdDate: number;
  /** It is being created until then. */
  availableAt: number;
}

/** Limit of secrets of a proxy. */
const PROXY_SECRETS = 200;
const DOCUMENT = 'proxy-auth';
const PROTECTION_DOCUMENT = 'rds-deletion-protection';
const DELETED_DOCUMENT = 'rds-deleted';
const SNAPSHOT_DOCUMENT = 'rds-cluster-snapshots';

export class RdsStore {
  readonly #state: StateFile;
  /** Duration of a modification, a deletion or a snapshot. */
  readonly modificationMs: number;
  readonly #registered: Record<string, ProxyAuth[]>;
  readonly #protection: Record<string, boolean>;
  readonly #deleted: Record<string, true>;
  readonly #snapshots: ClusterSnapshot[];
  readonly proxies = new Map<string, DatabaseProxy>();
  readonly targetGroups = new Map<string, TargetGroup>();
  /** By ARN. */
  readonly proxyEndpoints = new Map<string, ProxyEndpoint>();
  /** By ARN. */
  readonly clusters = new Map<string, ClusterRecord>();

  constructor(state: StateFile, waitScale: number) {
    this.#state = state;
    // Some ten seconds in AWS.
    this.modificationMs = 10_000 * waitScale;
    this.#registered = state.load<Record<string, ProxyAuth[]>>(DOCUMENT, {});
    this.#protection = state.load<Record<string, boolean>>(PROTECTION_DOCUMENT, {});
    this.#deleted = state.load<Record<string, true>>(DELETED_DOCUMENT, {});
    this.#snapshots = state.load<ClusterSnapshot[]>(SNAPSHOT_DOCUMENT, []);
  }

  /**
   * Adds a proxy with its template's Auth list, as CloudFormation does. A run-time stack that is started again keeps
   * the list that was registered last.
   */
  addProxy(proxy: DatabaseProxy, keepRegistered: boolean): void {
    const auth = (keepRegistered ? this.#registered[proxy.arn] : undefined) ?? proxy.auth;
    this.proxies.set(proxy.arn, { ...proxy, auth });
    this.#remember(proxy.arn, auth);
  }

  removeProxy(arn: string): void {
    this.proxies.delete(arn);
    delete this.#registered[arn];
    this.#state.save(DOCUMENT, this.#registered);
  }

  findProxy(name: string, region: string): DatabaseProxy | undefined {
    return [...this.proxies.values()].find((proxy) => proxy.name === name && proxy.region === region);
  }

  /** @throws {AwsError} DBProxyNotFoundFault */
  proxy(name: string, region: string): DatabaseProxy {
    const proxy = this.findProxy(name, region);
    if (!proxy) {
      throw new AwsError('DBProxyNotFoundFault', `DB proxy ${name} doesn't exist.`, { status: 404 });
    }
    return proxy;
  }

  /** @throws {AwsError} InvalidDBProxyStateFault while it is being modified */
  modifyProxy(proxy: DatabaseProxy, changes: Partial<DatabaseProxy>): void {
    if (proxyStatus(proxy) !== 'available') {
      throw new AwsError(
        'InvalidDBProxyStateFault',
        `DB proxy ${proxy.name} is in an invalid state: ${proxyStatus(proxy)}`,
      );
    }
    if ((changes.auth?.length ?? 0) > PROXY_SECRETS) {
      throw new AwsError(
        'InvalidParameterValue',
        `A proxy takes at most ${PROXY_SECRETS} authentication entries`,
      );
    }
    const now = Date.now();
    Object.assign(proxy, changes, { updatedDate: now, busyUntil: now + this.modificationMs });
    if (changes.auth) this.#remember(proxy.arn, changes.auth);
  }

  clusterByIdentifier(identifier: string, region: string): ClusterRecord | undefined {
    const wanted = identifier.toLowerCase();
    return [...this.clusters.values()].find(
      (cluster) => cluster.region === region && (cluster.identifier === wanted || cluster.arn === identifier),
    );
  }

  isProtected({ arn, properties }: ClusterRecord): boolean {
    return this.#protection[arn] ?? properties.DeletionProtection === true;
  }

  setProtection({ arn }: ClusterRecord, isOn: boolean): void {
    this.#protection[arn] = isOn;
    this.#state.save(PROTECTION_DOCUMENT, this.#protection);
  }

  /** True when an API call has deleted it. */
  isDeleted(arn: string): boolean {
    return this.#deleted[arn] === true;
  }

  /** Durable before it returns. */
  markDeleted(arn: string): void {
    this.#deleted[arn] = true;
    this.#state.save(DELETED_DOCUMENT, this.#deleted);
  }

  /**
   * Call it when a resource of that ARN is made anew, or its stack is deleted: the effects of API calls on the former
   * one end.
   */
  forget(arn: string): void {
    if (this.#deleted[arn] !== undefined) {
      delete this.#deleted[arn];
      this.#state.save(DELETED_DOCUMENT, this.#deleted);
    }
    if (this.#protection[arn] !== undefined) {
      delete this.#protection[arn];
      this.#state.save(PROTECTION_DOCUMENT, this.#protection);
    }
  }

  snapshotsOf(region: string): ClusterSnapshot[] {
    return this.#snapshots.filter((snapshot) => snapshot.region === region);
  }

  removeSnapshot(snapshot: ClusterSnapshot): void {
    this.#snapshots.splice(this.#snapshots.indexOf(snapshot), 1);
    this.#state.save(SNAPSHOT_DOCUMENT, this.#snapshots);
  }

  addSnapshot(snapshot: ClusterSnapshot): void {
    this.#snapshots.push(snapshot);
    this.#state.save(SNAPSHOT_DOCUMENT, this.#snapshots);
  }

  #remember(arn: string, auth: ProxyAuth[]): void {
    if (JSON.stringify(this.#registered[arn]) === JSON.stringify(auth)) return;
    this.#registered[arn] = auth;
    this.#state.save(DOCUMENT, this.#registered);
  }
}

export function proxyStatus(proxy: DatabaseProxy): 'available' | 'modifying' {
  return Date.now() < proxy.busyUntil ? 'modifying' : 'available';
}
