/**
 * Life of stacks that are created at run time.
 *
 *   CREATE_IN_PROGRESS → CREATE_COMPLETE
 *                      → (failure) ROLLBACK_IN_PROGRESS → ROLLBACK_COMPLETE | ROLLBACK_FAILED
 *                      → (failure, OnFailure=DO_NOTHING) CREATE_FAILED
 *   any of these       → DELETE_IN_PROGRESS → DELETE_COMPLETE | DELETE_FAILED
 *
 * Invariants: one job at a time per stack, in the order asked for; a status is durable before anybody sees it; a job
 * that the platform's end interrupts leaves its status as it is, and the next start takes it up again. Creating is
 * idempotent because the factories are.
 */
import { reasonOf } from '../../../errors.ts';
import type {
  DeployedStack,
  LocalResource,
  PlatformContext,
  ResourceEvent,
  Template,
} from '../../../model.ts';
import type { Authorizer } from '../../iam/authorizer.ts';
import type { Principal } from '../../service.ts';
import {
  REMOVAL_PROPERTIES,
  type ResourceRecord,
  type StackRecord,
  type StackStatus,
} from './stack-record.ts';
import type { StackStore } from './stack-store.ts';

export class RunTimeStacks {
  readonly #context: PlatformContext;
  readonly #store: StackStore;
  readonly #authorizer: Authorizer;
  readonly #jobs = new Map<string, Promise<void>>();
  readonly #restarting = new Set<string>();
  #stopping = false;

  constructor(context: PlatformContext, store: StackStore, authorizer: Authorizer) {
    this.#context = context;
    this.#store = store;
    this.#authorizer = authorizer;
  }

  /** Whether the stack is only being started again: nothing of it is new. */
  isRestarted(stackArn: string): boolean {
    return this.#restarting.has(stackArn);
  }

  /**
   * With whose rights CloudFormation makes and deletes a stack's resources; undefined for the assembly's own stacks, and
   * for one that is only being started again.
   */
  actor(stackArn: string): Principal | undefined {
    if (this.isRestarted(stackArn)) return undefined;
    const record = this.#store.all().find((one) => one.id === stackArn);
    const roleArn = record?.roleArn ?? record?.creatorRoleArn;
    if (!record || roleArn === undefined) return undefined;
    return this.#authorizer.session(roleArn, record.roleArn ? 'AWSCloudFormation' : undefined);
  }

  /** What exists of a stack. */
  resourcesOf(stackArn: string): LocalResource[] {
    const live = this.#context.stacks.get(stackArn);
    if (live) return [...live.resources.values()];
    return (
      this.#store
        .all()
        .find((one) => one.id === stackArn)
        ?.resources.map(fromRecord(stackArn)) ?? []
    );
  }

  /** Starts creating; the record is durable when this returns. */
  create(record: StackRecord): void {
    this.#store.add(record);
    this.#enqueue(record, () => this.#runCreation(record));
  }

  /** Starts deleting; the status is durable when this returns. */
  delete(record: StackRecord): void {
    this.#store.setStatus(record, 'DELETE_IN_PROGRESS', 'User Initiated');
    this.#enqueue(record, () => this.#runDeletion(record));
  }

  /** After a start: runs finished stacks again, and takes up what was in progress. Resolves when the former stand. */
  async resume(): Promise<void> {
    const restarts: Promise<void>[] = [];
    for (const record of this.#store.all().reverse()) {
      switch (record.status) {
        case 'CREATE_COMPLETE':
          restarts.push(this.#restart(record));
          break;
        case 'CREATE_IN_PROGRESS':
          this.#enqueue(record, () => this.#runCreation(record));
          break;
        case 'ROLLBACK_IN_PROGRESS':
          this.#enqueue(record, () => this.#rollBack(record));
          break;
        case 'DELETE_IN_PROGRESS':
          this.#enqueue(record, () => this.#runDeletion(record));
          break;
        default:
          break;
      }
    }
    await Promise.all(restarts);
  }

  /** From now on nothing changes status any more. */
  stop(): void {
    this.#stopping = true;
  }

  #enqueue(record: StackRecord, job: () => Promise<void>): void {
    const previous = this.#jobs.get(record.id) ?? Promise.resolve();
    const next = previous.then(job).catch((cause: unknown) => {
      if (!this.#stopping) this.#context.log(`stack ${record.name}: ${reasonOf(cause)}`);
    });
    this.#jobs.set(record.id, next);
  }

  async #restart(record: StackRecord): Promise<void> {
    this.#restarting.add(record.id);
    try {
      await this.#deploy(record);
    } catch (cause) {
      this.#context.log(`stack ${record.name} did not start: ${reasonOf(cause)}`);
    } finally {
      this.#restarting.delete(record.id);
    }
  }

  #deploy(record: StackRecord, onEvent?: (event: ResourceEvent) => void): Promise<DeployedStack> {
    return this.#context.deployer.deploy({
      name: record.name,
      arn: record.id,
      region: record.region,
      template: this.#store.template(record),
      parameters: record.parameters,
      ...(onEvent ? { onEvent } : {}),
    });
  }

  async #runCreation(record: StackRecord): Promise<void> {
    const failed: string[] = [];
    try {
      const stack = await this.#deploy(record, (event) => {
        if (event.status === 'CREATE_FAILED') failed.push(event.logicalId);
        this.#note(record, event);
      });
      if (this.#stopping) return;
      record.outputs = { ...stack.outputs };
      this.#keepResources(record);
      if (record.status === 'CREATE_IN_PROGRESS') this.#store.setStatus(record, 'CREATE_COMPLETE');
    } catch (cause) {
      if (this.#stopping) return;
      this.#keepResources(record);
      if (record.status !== 'CREATE_IN_PROGRESS') return;
      const why =
        failed.length > 0
          ? `The following resource(s) failed to create: [${failed.join(', ')}].`
          : reasonOf(cause);
      if (record.onFailure === 'DO_NOTHING') {
        this.#store.setStatus(record, 'CREATE_FAILED', why);
      } else if (record.onFailure === 'DELETE') {
        this.#store.setStatus(record, 'DELETE_IN_PROGRESS', `${why} Delete requested by user.`);
        await this.#runDeletion(record);
      } else {
        this.#store.setStatus(record, 'ROLLBACK_IN_PROGRESS', `${why} Rollback requested by user.`);
        await this.#rollBack(record);
      }
    }
  }

  async #rollBack(record: StackRecord): Promise<void> {
    const retained = (policy: string | undefined): boolean =>
      policy === 'Retain' && !record.retainExceptOnCreate;
    await this.#removeResources(record, retained, 'ROLLBACK_COMPLETE', 'ROLLBACK_FAILED');
  }

  async #runDeletion(record: StackRecord): Promise<void> {
    const retained = (policy: string | undefined): boolean =>
      policy === 'Retain' || policy === 'RetainExceptOnCreate' || policy === 'Snapshot';
    await this.#removeResources(record, retained, 'DELETE_COMPLETE', 'DELETE_FAILED');
    if (record.status === 'DELETE_COMPLETE') {
      record.deletionTime = Date.now();
      this.#store.save();
    }
  }

  async #removeResources(
    record: StackRecord,
    retained: (policy: string | undefined) => boolean,
    success: StackStatus,
    failure: StackStatus,
  ): Promise<void> {
    const failed: string[] = [];
    try {
      await this.#context.deployer.remove(this.#standing(record, retained), (event) => {
        if (event.status === 'DELETE_FAILED') failed.push(event.logicalId);
        this.#note(record, event);
      });
      if (this.#stopping) return;
      record.resources = [];
      this.#store.setStatus(record, success);
    } catch (cause) {
      if (this.#stopping) return;
      this.#keepResources(record);
      const why =
        failed.length > 0
          ? `The following resource(s) failed to delete: [${failed.join(', ')}].`
          : reasonOf(cause);
      this.#store.setStatus(record, failure, why);
    }
  }

  /** The stack as it stands, with the deletion policies that count now; after a restart, from the record. */
  #standing(record: StackRecord, retained: (policy: string | undefined) => boolean): DeployedStack {
    const template: Template = this.#store.template(record);
    for (const [logicalId, resource] of Object.entries(template.Resources)) {
      const keep = retained(resource.DeletionPolicy) || record.retainResources.includes(logicalId);
      resource.DeletionPolicy = keep ? 'Retain' : 'Delete';
    }
    const live = this.#context.stacks.get(record.id);
    if (live) return { ...live, template };
    const resources = new Map<string, LocalResource>(
      record.resources.map(fromRecord(record.id)).map((one) => [one.logicalId, one]),
    );
    const stack = { name: record.name, arn: record.id, region: record.region, template, resources };
    return { ...stack, outputs: record.outputs, parameters: record.parameters };
  }

  #keepResources(record: StackRecord): void {
    const live = this.#context.stacks.get(record.id);
    if (!live) return;
    record.resources = [...live.resources.values()].map(
      ({ logicalId, type, ref, attributes, properties }) => ({
        logicalId,
        type,
        ref,
        attributes,
        properties: Object.fromEntries(
          REMOVAL_PROPERTIES.flatMap((name) => (name in properties ? [[name, properties[name]]] : [])),
        ),
      }),
    );
  }

  #note(record: StackRecord, { logicalId, physicalId, type, status, reason }: ResourceEvent): void {
    if (!this.#stopping) this.#store.addEvent(record, { logicalId, physicalId, type, status, reason });
  }
}

const fromRecord =
  (stack: string) =>
  ({ properties = {}, ...one }: ResourceRecord): LocalResource => ({ ...one, stack, properties });
