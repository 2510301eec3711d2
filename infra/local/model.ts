/**
 * The interfaces between the parts of the local platform. Everything here is data or an interface; nothing is
 * implemented in this file. The platform itself knows no resource type: each type has a {@link ResourceFactory}.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ClientConfig } from 'pg';

/** The account in every local ARN. */
export const LOCAL_ACCOUNT = '000000000000';

/** One line of progress or warning, for the user. */
export type Log = (line: string) => void;

/** JSON object with CloudFormation intrinsics already resolved. */
export type Properties = Record<string, unknown>;

/** One deployed resource of a stack. `properties` have their intrinsics resolved. */
export interface LocalResource {
  /** ARN of its stack. */
  stack: string;
  logicalId: string;
  type: string;
  properties: Properties;
  /** Value of `Ref`: the physical id. */
  ref: string;
  /** Values of `Fn::GetAtt`, keyed by attribute name; dotted names (`Endpoint.Port`) are keys too. */
  attributes: Record<string, unknown>;
}

/** A stack of the assembly, or one created at run time. Resources appear in it as they are created. */
export interface DeployedStack {
  name: string;
  arn: string;
  region: string;
  template: Template;
  /** Keyed by logical id, in the order of creation. */
  resources: Map<string, LocalResource>;
  outputs: Record<string, string>;
  /** Resolved parameter values; lists are joined by commas. */
  parameters: Record<string, string>;
  /** Outcome of its last deployment to the running platform; absent when there was none. */
  ended?: StackOutcome;
  /** Events of that deployment, oldest first. */
  events?: readonly TimedResourceEvent[];
}

/** The parts of a CloudFormation template that this platform reads. */
export interface Template {
  Description?: string;
  Parameters?: Record<
    string,
    { Type: string; Default?: unknown; NoEcho?: boolean; AllowedValues?: unknown[] }
  >;
  Mappings?: Record<string, Record<string, Record<string, unknown>>>;
  Conditions?: Record<string, unknown>;
  Rules?: Record<string, unknown>;
  Resources: Record<string, TemplateResource>;
  Outputs?: Record<string, { Value: unknown; Export?: { Name: unknown }; Condition?: string }>;
}

export interface TemplateResource {
  Type: string;
  Properties?: Properties;
  DependsOn?: string | string[];
  Condition?: string;
  DeletionPolicy?: string;
  UpdateReplacePolicy?: string;
  Metadata?: Record<string, unknown>;
}

/** Input of a factory. */
export interface ResourceRequest {
  stack: DeployedStack;
  logicalId: string;
  type: string;
  /** Intrinsics and dynamic references are resolved. */
  properties: Properties;
  /** A stable physical name (`Stack-Logical-1A2B3C4D`) for resources whose properties have none. */
  defaultName: string;
}

export interface CreatedResource {
  ref: string;
  attributes: Record<string, unknown>;
}

/**
 * Makes resources of one type. `create` runs on every start, and on every deployment that changes the properties. It
 * must be idempotent: an existing resource (stored under the state directory) is found again by its name, never made
 * twice, and gets the new properties.
 */
export interface ResourceFactory {
  type: string;
  create(request: ResourceRequest, context: PlatformContext): Promise<CreatedResource>;
  /** Absent: nothing to undo. Must succeed when the resource is gone already. */
  remove?(resource: LocalResource, context: PlatformContext): Promise<void>;
}

/** Everything that a factory or a service of the AWS endpoint may use. */
export interface PlatformContext {
  stateDir: string;
  account: string;
  /** `http://127.0.0.1:<awsPort>`, known before the endpoint listens. */
  awsUrl: string;
  /**
   * Stacks of the assembly and run-time stacks, by ARN, because two regions may each have one of the same name. The
   * deployer adds and removes them.
   */
  stacks: Map<string, DeployedStack>;
  clusters: Clusters;
  functions: Functions;
  principals: Principals;
  state: StateFile;
  assets: Assets;
  deployer: StackDeployer;
  /** Factor on Wait states. */
  waitScale: number;
  /** PEM of the local certificate authority that signed every PostgreSQL server's certificate. */
  caCertificate: string;
  log: Log;
}

/** Lifecycle of one resource, as CloudFormation reports it in stack events. */
export type ResourceStatus =
  | 'CREATE_IN_PROGRESS'
  | 'CREATE_COMPLETE'
  | 'CREATE_FAILED'
  | 'UPDATE_IN_PROGRESS'
  | 'UPDATE_COMPLETE'
  | 'UPDATE_FAILED'
  | 'DELETE_IN_PROGRESS'
  | 'DELETE_COMPLETE'
  | 'DELETE_FAILED'
  | 'DELETE_SKIPPED';

export interface ResourceEvent {
  logicalId: string;
  type: string;
  physicalId: string;
  status: ResourceStatus;
  reason?: string;
}

/** @property timestamp epoch milliseconds */
export interface TimedResourceEvent extends ResourceEvent {
  timestamp: number;
}

export interface StackSpec {
  name: string;
  arn: string;
  region: string;
  template: Template;
  parameters: Record<string, string>;
  onEvent?: (event: ResourceEvent) => void;
}

/** A deployment to the running platform. */
export interface UpdateSpec extends StackSpec {
  /** Called whenever the stack is complete again: updated, or rolled back. Old resources are removed after it. */
  onChanged?(): void;
  /** Called after each resource that was made or changed; an error that it throws fails the deployment. */
  afterResource?(resource: LocalResource): void;
}

/** Outcome of the deployment of one stack, in CloudFormation's words; `NO_CHANGES` as in the CDK's. */
export interface StackOutcome {
  name: string;
  region: string;
  status:
    | 'CREATE_COMPLETE'
    | 'ROLLBACK_COMPLETE'
    | 'ROLLBACK_FAILED'
    | 'UPDATE_COMPLETE'
    | 'UPDATE_ROLLBACK_COMPLETE'
    | 'UPDATE_ROLLBACK_FAILED'
    | 'NO_CHANGES';
  /** Why it failed, in one line. */
  reason?: string;
}

/** Runs a template: the assembly's stacks at boot, and run-time stacks for CloudFormation's CreateStack. */
export interface StackDeployer {
  /**
   * Creates every resource in dependency order, independent ones concurrently. Idempotent, as factories are.
   * On failure the resources made so far stay in `context.stacks` for the caller to remove or keep.
   * @throws {DeployError} naming stack, logical id and cause in one line
   */
  deploy(spec: StackSpec): Promise<DeployedStack>;
  /**
   * Deploys a template to the running platform: updates the stack of that ARN, or creates it. After a failure the stack
   * has its former state, as far as it could be rolled back. Never rejects.
   */
  update(spec: UpdateSpec): Promise<StackOutcome>;
  /** Removes in reverse order and deletes the stack; `DeletionPolicy: Retain` and Snapshot are kept. */
  remove(stack: DeployedStack, onEvent?: (event: ResourceEvent) => void): Promise<void>;
}

/** File assets of the assembly. */
export interface Assets {
  /**
   * The local file or directory behind an S3 bucket and key, or an `https://…s3….amazonaws.com/<key>` URL.
   * @throws {AssetNotFound}
   */
  path(location: { bucket: string; key: string } | { url: string }): string;
}

export interface ClusterSpec {
  clusterIdentifier: string;
  arn: string;
  databaseName: string;
  masterUsername: string;
  masterPassword: string;
  /** DB cluster parameter group, merged with the engine's local defaults. */
  parameters: Record<string, string>;
}

/** A new cluster with what another one had at a time: its databases, roles and passwords. */
export interface RecoverySpec extends Pick<ClusterSpec, 'clusterIdentifier' | 'arn' | 'parameters'> {
  sourceArn: string;
  /** Within the source's window. What was committed in that millisecond is in. */
  time: Date;
}

/** Times that a cluster can be recovered to. */
export interface RestorableWindow {
  earliest: Date;
  latest: Date;
}

export interface ClusterServer {
  clusterIdentifier: string;
  arn: string;
  /** Always `127.0.0.1`. */
  host: string;
  port: number;
  databaseName: string;
  masterUsername: string;
  /** Stops the server; its data stays and `create` starts it again. */
  stop(): Promise<void>;
}

/** One real PostgreSQL server per Aurora cluster. Identifiers are unique within a region only, ARNs everywhere. */
export interface Clusters {
  /** Initializes a data directory, or starts the server of an existing one. Idempotent, also concurrently. */
  create(spec: ClusterSpec): Promise<ClusterServer>;
  byArn(arn: string): ClusterServer | undefined;
  list(): ClusterServer[];
  /** Stops the server and erases its data. Does nothing when it is gone. */
  remove(arn: string): Promise<void>;
  /** Undefined when it is not recoverable: archiving is off, no base backup is whole yet, or the server does not run. */
  restorableWindow(arn: string): RestorableWindow | undefined;
  /**
   * Makes a cluster of another one's archive. It is left halted. What an attempt that was killed has left is made anew.
   * @returns the port that its server will have
   * @throws {PostgresError} with the reason of PostgreSQL, or because the time is not in the window
   */
  recover(spec: RecoverySpec): Promise<number>;
  /** Starts a cluster that was halted. */
  start(arn: string): Promise<ClusterServer>;
  /** Stops a cluster's server until `start` is called, also in later runs of the platform. */
  halt(arn: string): Promise<void>;
  /** Connection of the platform's own superuser, by a private socket: for the platform only, never handed out. */
  superuser(clusterArn: string, database?: string): ClientConfig;
  /** From now on exactly these roles may not sign in to the cluster; open sessions continue. */
  refuseLogins(arn: string, roles: readonly string[]): Promise<void>;
  /** Sets the master password, as ModifyDBCluster and rotation do. */
  setMasterPassword(arn: string, password: string): Promise<void>;
}

export interface InvokeResult {
  /** The handler's result; for a function error AWS's error object `{ errorType, errorMessage, trace }`. */
  payload: unknown;
  functionError?: 'Unhandled';
}

export interface InvokeOptions {
  type?: 'RequestResponse' | 'Event';
  /** The caller's region, in which names are looked up. Without it a name is resolved if only one region has it. */
  region?: string;
}

export interface Functions {
  /**
   * Invokes by name, ARN or qualified ARN. With type `Event` it returns at once (payload null) and runs later.
   * @throws {FunctionNotFound} also for a function of another region than the caller's
   */
  invoke(functionNameOrArn: string, payload: unknown, options?: InvokeOptions): Promise<InvokeResult>;
  list(): {
    name: string;
    arn: string;
    roleArn: string;
    timeoutSeconds: number;
    memoryMb: number;
    /** Absent: it is in no VPC. */
    subnetIds: readonly string[];
    logGroupName: string;
    /** The file with its output; absent until it was invoked. */
    logFile: string;
  }[];
}

export interface AccessKey {
  accessKeyId: string;
  secretAccessKey: string;
}

/** Identities of signers: each role has one local access key; any other key is an administrator. */
export interface Principals {
  byAccessKey(accessKeyId: string): { roleArn: string } | 'administrator';
  /** Stable for a role ARN within one state directory. */
  accessKeyFor(roleArn: string): AccessKey;
}

/** Small JSON documents under the state directory. */
export interface StateFile {
  /** @throws {CorruptState} when the document exists but cannot be read */
  load<T>(name: string, fallback: T): T;
  /** Atomic and durable: written beside, synced, renamed. */
  save(name: string, value: unknown): void;
  /**
   * Appends an entry to the journal of that name. It survives a killed process, but not a power loss of the machine: a
   * sync for each entry would cost more than the entry.
   */
  append(name: string, entry: unknown): void;
  /** The journal's entries, without an incomplete last one. */
  entries<T>(name: string): T[];
  removeJournal(name: string): void;
}

export type RequestHandler = (
  request: IncomingMessage,
  response: ServerResponse,
) => boolean | Promise<boolean>;

/** The result of `createAwsEndpoint(options)` in `infra/local/aws/`. */
export interface AwsEndpoint {
  /** One per resource type that the AWS endpoint provides. */
  factories: ResourceFactory[];
  /** The factory for stacks that CloudFormation makes with a role: it makes and deletes only what the role may. */
  permitted(factory: ResourceFactory): ResourceFactory;
  /**
   * Value of `{{resolve:secretsmanager:<secretId>:SecretString:<jsonKey>}}` in that region. @throws when it does not
   * exist
   */
  secretString(secretId: string, region: string): string;
  listen(port: number): Promise<void>;
  /** Publishes the end of a stack's deployment to the running platform for the rules of the event bus. */
  stackEnded(stack: { arn: string; region: string }, outcome: StackOutcome): void;
  /**
   * Called after all stacks are deployed: ends what was running when the platform was killed, recreates run-time
   * stacks.
   */
  resume(): Promise<void>;
  /** Aborts running work and closes the server. Never rejects. */
  stop(): Promise<void>;
}
