/**
 * One deployment of a template to the running platform, like CloudFormation's UpdateStack and CreateStack.
 *
 *   updating → (all done) cleaning up → UPDATE_COMPLETE | NO_CHANGES
 *            → (a resource failed) rolling back → cleaning up → UPDATE_ROLLBACK_COMPLETE
 *                                               → (another one failed) UPDATE_ROLLBACK_FAILED
 *   creating → CREATE_COMPLETE | (a resource failed) cleaning up → ROLLBACK_COMPLETE | ROLLBACK_FAILED
 *
 * Updating makes, in the order of dependencies, each resource that is new or whose properties differ, and no other.
 * Rolling back makes the updated ones again, including the failed one, with their old properties and in the order of
 * the old template: a function has its old code again before a custom resource that it serves is invoked. Invariants:
 * the stack that other modules see (`stacks`) is complete at every moment, and each of its resources is the one that
 * was made last; nothing is removed before the outcome is certain.
 */
import { isDeepStrictEqual } from 'node:util';
import { DeployError, reasonOf } from '../errors.ts';
import type { DeployedStack, LocalResource, Properties, StackOutcome } from '../model.ts';
import { type IntrinsicScope, resolveProperties } from './intrinsics.ts';
import { type OrderedResource, workInOrder } from './resource-order.ts';

export interface StackUpdateOptions {
  stacks: Map<string, DeployedStack>;
  plan(stack: DeployedStack): { ordered: OrderedResource[]; scope: IntrinsicScope };
  make(
    stack: DeployedStack,
    wanted: { logicalId: string; type: string; properties(): Properties },
    action: 'CREATE' | 'UPDATE',
  ): Promise<LocalResource>;
  /** @param policy from the template: `Retain` keeps it */
  remove(resource: LocalResource, policy: string | undefined): Promise<void>;
  publishOutputs(stack: DeployedStack, scope: IntrinsicScope): void;
  onChanged(): void;
  afterResource(resource: LocalResource): void;
}

/** A resource that this update has begun to make. */
interface Touched {
  before: LocalResource | undefined;
  /** Absent while it is being made, and after a failure. */
  after?: LocalResource;
}

export class StackUpdate {
  readonly #options: StackUpdateOptions;
  /** By logical id, in the order of their begin. */
  readonly #touched = new Map<string, Touched>();

  constructor(options: StackUpdateOptions) {
    this.#options = options;
  }

  /**
   * Updates an existing stack. Never rejects.
   * @param next the stack of the new template, still without resources
   */
  async update(before: DeployedStack, next: DeployedStack): Promise<StackOutcome> {
    try {
      await this.#makeAll(next, before);
    } catch (cause) {
      return this.#rollBack(before, next, reasonOf(cause));
    }
    const gone = [...before.resources.values()].filter(({ logicalId }) => !next.resources.has(logicalId));
    const replaced = [...this.#touched.values()].flatMap((one) => (isReplaced(one) ? [one.before!] : []));
    const isSame = this.#touched.size === 0 && gone.length === 0;
    const outcome = ended(before, isSame ? 'NO_CHANGES' : 'UPDATE_COMPLETE');
    // Nothing has happened to a stack without changes: it keeps the status that it had.
    this.#settle(
      isSame ? { ...next, ...(before.ended && { ended: before.ended }) } : { ...next, ended: outcome },
    );
    const { Resources } = before.template;
    await this.#cleanUp(replaced, ({ logicalId }) => Resources[logicalId]?.UpdateReplacePolicy);
    await this.#cleanUp(gone, ({ logicalId }) => {
      const policy = Resources[logicalId]?.DeletionPolicy;
      return policy === 'RetainExceptOnCreate' ? 'Retain' : policy;
    });
    return outcome;
  }

  /** Creates a new stack. Never rejects. @param next as above */
  async create(next: DeployedStack): Promise<StackOutcome> {
    const { stacks, remove } = this.#options;
    stacks.set(next.arn, next);
    try {
      await this.#makeAll(next, next);
      const outcome = ended(next, 'CREATE_COMPLETE');
      this.#settle({ ...next, ended: outcome });
      return outcome;
    } catch (cause) {
      const reason = reasonOf(cause);
      try {
        for (const resource of [...next.resources.values()].reverse()) {
          await remove(resource, next.template.Resources[resource.logicalId]?.DeletionPolicy);
        }
      } catch (failure) {
        return ended(next, 'ROLLBACK_FAILED', `${reason}; ${reasonOf(failure)}`);
      }
      stacks.delete(next.arn);
      return ended(next, 'ROLLBACK_COMPLETE', reason);
    }
  }

  async #makeAll(next: DeployedStack, before: DeployedStack): Promise<void> {
    const { plan, make, afterResource, publishOutputs } = this.#options;
    const old = new Map(before.resources);
    const { ordered, scope } = plan(next);
    await workInOrder(ordered, async ({ logicalId, resource: { Type: type, Properties } }) => {
      const properties = () => resolveProperties(Properties, scope);
      const standing = old.get(logicalId);
      if (standing && standing.type !== type) {
        throw new DeployError(`${next.name}/${logicalId}: a ${standing.type} cannot become a ${type}`);
      }
      if (standing && isSame(standing, properties)) {
        next.resources.set(logicalId, standing);
        return;
      }
      const touched: Touched = { before: standing };
      this.#touched.set(logicalId, touched);
      touched.after = await make(next, { logicalId, type, properties }, standing ? 'UPDATE' : 'CREATE');
      next.resources.set(logicalId, touched.after);
      this.#show(touched.after);
      afterResource(touched.after);
    });
    publishOutputs(next, scope);
  }

  async #rollBack(before: DeployedStack, next: DeployedStack, reason: string): Promise<StackOutcome> {
    const { stacks, plan, make, publishOutputs } = this.#options;
    const restored: DeployedStack = { ...before, resources: new Map(before.resources) };
    try {
      const { ordered } = plan(before);
      await workInOrder(ordered, async ({ logicalId }) => {
        const standing = this.#touched.get(logicalId)?.before;
        if (!standing) return;
        const { type, properties } = standing;
        const made = await make(restored, { logicalId, type, properties: () => properties }, 'UPDATE');
        restored.resources.set(logicalId, made);
        this.#show(made);
      });
      publishOutputs(restored, plan(restored).scope);
    } catch (cause) {
      const outcome = ended(before, 'UPDATE_ROLLBACK_FAILED', `${reason}; the rollback: ${reasonOf(cause)}`);
      // The stack has what was made last; the next deployment starts from there.
      stacks.set(before.arn, { ...(stacks.get(before.arn) ?? before), ended: outcome });
      return outcome;
    }
    const outcome = ended(before, 'UPDATE_ROLLBACK_COMPLETE', reason);
    this.#settle({ ...restored, ended: outcome });
    const superfluous = [...this.#touched.values()].flatMap((one) =>
      one.after && (!one.before || isReplaced(one)) ? [one.after] : [],
    );
    // `RetainExceptOnCreate` does not keep what the same deployment has made.
    await this.#cleanUp(superfluous, ({ logicalId }) => next.template.Resources[logicalId]?.DeletionPolicy);
    return outcome;
  }

  /** A stack object is replaced, never changed, so its identity shows whether cached results are still valid. */
  #show(resource: LocalResource): void {
    const { stacks } = this.#options;
    const current = stacks.get(resource.stack);
    if (!current) return;
    const resources = new Map(current.resources).set(resource.logicalId, resource);
    stacks.set(resource.stack, { ...current, resources });
  }

  #settle(stack: DeployedStack): void {
    this.#options.stacks.set(stack.arn, stack);
    this.#options.onChanged();
  }

  /**
   * In reverse order. A resource that cannot be removed stays and fails nothing: CloudFormation gives up on it as well.
   */
  async #cleanUp(
    resources: LocalResource[],
    policyOf: (resource: LocalResource) => string | undefined,
  ): Promise<void> {
    for (const resource of resources.toReversed()) {
      await this.#options.remove(resource, policyOf(resource)).catch(() => {});
    }
  }
}

/** A resource that cannot be changed in place gets another physical id: a new one was made beside the old one. */
function isReplaced({ before, after }: Touched): boolean {
  return before !== undefined && after !== undefined && before.ref !== after.ref;
}

/** When properties cannot be resolved, the resource counts as changed: making it reports the error. */
function isSame(standing: LocalResource, properties: () => Properties): boolean {
  try {
    return isDeepStrictEqual(standing.properties, properties());
  } catch {
    return false;
  }
}

function ended(
  { name, region }: DeployedStack,
  status: StackOutcome['status'],
  reason?: string,
): StackOutcome {
  return { name, region, status, ...(reason === undefined ? {} : { reason }) };
}
