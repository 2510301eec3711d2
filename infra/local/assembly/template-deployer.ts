/**
 * Runs templates: creates each resource after everything that it refers to, and updates existing stacks.
 *
 * States of each resource of a new stack: waiting → creating → created | failed. Independent ones are created
 * concurrently, so two database clusters take as long as one. After a failure no resource is begun, and created ones
 * stay in the stack. stack-update.ts has the update of a stack, and its rollback.
 */
import { createHash } from 'node:crypto';
import { DeployError, reasonOf } from '../errors.ts';
import type {
  DeployedStack,
  LocalResource,
  PlatformContext,
  Properties,
  ResourceEvent,
  ResourceFactory,
  StackDeployer,
  StackOutcome,
  StackSpec,
  TimedResourceEvent,
  UpdateSpec,
} from '../model.ts';
import { conditionHolds, type IntrinsicScope, resolveIntrinsics, resolveProperties } from './intrinsics.ts';
import { inDependencyOrder, type OrderedResource, workInOrder } from './resource-order.ts';
import { type DynamicValues, stackScope } from './stack-scope.ts';
import { StackUpdate } from './stack-update.ts';

export interface TemplateDeployerOptions extends DynamicValues {
  /** @returns undefined for an unknown type */
  factory(type: string): ResourceFactory | undefined;
  /**
   * In other regions, generated names differ from home's. Read when it is needed; undefined: there is one region only.
   */
  homeRegion?(): string | undefined;
  /** Read when it is needed, because the context refers to the deployer too. */
  context(): PlatformContext;
}

export class TemplateDeployer implements StackDeployer {
  readonly #options: TemplateDeployerOptions;
  /** Exports of all stacks, keyed by region and name. */
  readonly #exports = new Map<string, string>();

  constructor(options: TemplateDeployerOptions) {
    this.#options = options;
  }

  async deploy(spec: StackSpec): Promise<DeployedStack> {
    const stack = newStack(spec);
    const onEvent = spec.onEvent ?? (() => {});
    this.#options.context().stacks.set(stack.arn, stack);
    const { ordered, scope } = this.#plan(stack);
    await workInOrder(ordered, async ({ logicalId, resource }) => {
      const properties = () => resolveProperties(resource.Properties, scope);
      const made = await this.#make(stack, { logicalId, type: resource.Type, properties }, 'CREATE', onEvent);
      stack.resources.set(logicalId, made);
    });
    this.#publishOutputs(stack, scope);
    return stack;
  }

  async update(spec: UpdateSpec): Promise<StackOutcome> {
    const { stacks } = this.#options.context();
    const before = stacks.get(spec.arn);
    let next: DeployedStack;
    try {
      next = newStack(spec);
    } catch (cause) {
      const status = before ? 'UPDATE_ROLLBACK_COMPLETE' : 'ROLLBACK_COMPLETE';
      return { name: spec.name, region: spec.region, status, reason: reasonOf(cause) };
    }
    const events: TimedResourceEvent[] = [];
    const onEvent = (event: ResourceEvent) => {
      events.push({ ...event, timestamp: Date.now() });
      spec.onEvent?.(event);
    };
    const update = new StackUpdate({
      stacks,
      plan: (stack) => this.#plan(stack),
      make: (stack, wanted, action) => this.#make(stack, wanted, action, onEvent),
      remove: (resource, policy) => this.#remove(spec.name, resource, policy, onEvent),
      publishOutputs: (stack, scope) => this.#publishOutputs(stack, scope),
      onChanged: spec.onChanged ?? (() => {}),
      afterResource: (resource) => {
        try {
          spec.afterResource?.(resource);
        } catch (cause) {
          const { logicalId, type, ref } = resource;
          const status = before?.resources.has(logicalId) ? 'UPDATE_FAILED' : 'CREATE_FAILED';
          onEvent({ logicalId, type, physicalId: ref, status, reason: reasonOf(cause) });
          throw cause;
        }
      },
    });
    const outcome = await (before ? update.update(before, next) : update.create(next));
    const stack = stacks.get(spec.arn);
    if (stack && events.length > 0) stacks.set(spec.arn, { ...stack, events });
    return outcome;
  }

  async remove(stack: DeployedStack, onEvent: (event: ResourceEvent) => void = () => {}): Promise<void> {
    for (const resource of [...stack.resources.values()].reverse()) {
      const policy = stack.template.Resources[resource.logicalId]?.DeletionPolicy;
      await this.#remove(stack.name, resource, policy, onEvent);
      stack.resources.delete(resource.logicalId);
    }
    this.#options.context().stacks.delete(stack.arn);
  }

  /** The template's resources under its conditions, in the order of dependencies, and the scope of its functions. */
  #plan(stack: DeployedStack): { ordered: OrderedResource[]; scope: IntrinsicScope } {
    const scope = stackScope(stack, this.#options.context().account, this.#exports, this.#options);
    const wanted = Object.entries(stack.template.Resources).filter(([logicalId, { Condition, Type }]) =>
      inStack(stack, logicalId, Type, () => conditionHolds(Condition, scope)),
    );
    return { ordered: inDependencyOrder(stack.name, wanted, (name) => conditionHolds(name, scope)), scope };
  }

  #publishOutputs(stack: DeployedStack, scope: IntrinsicScope): void {
    for (const [outputId, output] of Object.entries(stack.template.Outputs ?? {})) {
      if (!conditionHolds(output.Condition, scope)) continue;
      const value = String(inStack(stack, outputId, 'Output', () => resolveIntrinsics(output.Value, scope)));
      stack.outputs[outputId] = value;
      if (output.Export)
        this.#exports.set(`${stack.region} ${String(resolveIntrinsics(output.Export.Name, scope))}`, value);
    }
  }

  async #make(
    stack: DeployedStack,
    wanted: { logicalId: string; type: string; properties(): Properties },
    action: 'CREATE' | 'UPDATE',
    onEvent: (event: ResourceEvent) => void,
  ): Promise<LocalResource> {
    const { logicalId, type } = wanted;
    const event = { logicalId, type, physicalId: '' };
    onEvent({ ...event, status: `${action}_IN_PROGRESS` });
    try {
      const factory = this.#options.factory(type);
      if (!factory) throw new DeployError('this resource type is not supported locally');
      const properties = wanted.properties();
      const isHome = stack.region === (this.#options.homeRegion?.() ?? stack.region);
      const place = isHome ? stack.name : `${stack.region}/${stack.name}`;
      const request = {
        stack,
        logicalId,
        type,
        properties,
        defaultName: defaultName(place, stack.name, logicalId),
      };
      const { ref, attributes } = await factory.create(request, this.#options.context());
      onEvent({ ...event, physicalId: ref, status: `${action}_COMPLETE` });
      return { stack: stack.arn, logicalId, type, properties, ref, attributes };
    } catch (cause) {
      const reason = reasonOf(cause);
      onEvent({ ...event, status: `${action}_FAILED`, reason });
      throw new DeployError(`${stack.name}/${logicalId} (${type}): ${reason}`);
    }
  }

  async #remove(
    stackName: string,
    resource: LocalResource,
    policy: string | undefined,
    onEvent: (event: ResourceEvent) => void,
  ): Promise<void> {
    const { logicalId, type, ref: physicalId } = resource;
    if (policy === 'Retain' || policy === 'Snapshot') {
      onEvent({ logicalId, type, physicalId, status: 'DELETE_SKIPPED' });
      return;
    }
    onEvent({ logicalId, type, physicalId, status: 'DELETE_IN_PROGRESS' });
    try {
      await this.#options.factory(type)?.remove?.(resource, this.#options.context());
    } catch (cause) {
      const reason = reasonOf(cause);
      onEvent({ logicalId, type, physicalId, status: 'DELETE_FAILED', reason });
      throw new DeployError(`${stackName}/${logicalId} (${type}) was not removed: ${reason}`);
    }
    onEvent({ logicalId, type, physicalId, status: 'DELETE_COMPLETE' });
  }
}

function newStack(spec: StackSpec): DeployedStack {
  const { name, arn, region, template } = spec;
  const parameters = parameterValues(spec);
  return { name, arn, region, template, resources: new Map(), outputs: {}, parameters };
}

/**
 * Stable over restarts, short enough for every service's limit on names, and different for a stack of the same name in
 * another region: roles, buckets and APIs share one namespace over all regions.
 */
function defaultName(place: string, stack: string, logicalId: string): string {
  const hash = createHash('sha256').update(`${place}/${logicalId}`).digest('hex').slice(0, 12).toUpperCase();
  return `${`${stack}-${logicalId}`.slice(0, 50)}-${hash}`;
}

function parameterValues({ name, template, parameters }: StackSpec): Record<string, string> {
  const values: Record<string, string> = {};
  for (const [parameter, definition] of Object.entries(template.Parameters ?? {})) {
    const value = parameters[parameter] ?? definition.Default;
    if (value === undefined) throw new DeployError(`${name}: parameter ${parameter} must have a value`);
    if (definition.AllowedValues && !definition.AllowedValues.map(String).includes(String(value))) {
      throw new DeployError(
        `${name}: parameter ${parameter} must be one of ${definition.AllowedValues.join(', ')}`,
      );
    }
    values[parameter] = Array.isArray(value) ? value.join(',') : String(value);
  }
  const unknown = Object.keys(parameters).find((parameter) => !(parameter in values));
  if (unknown) throw new DeployError(`${name}: parameter ${unknown} does not exist in the template`);
  return values;
}

function inStack<T>(stack: DeployedStack, logicalId: string, type: string, work: () => T): T {
  try {
    return work();
  } catch (cause) {
    throw new DeployError(`${stack.name}/${logicalId} (${type}): ${reasonOf(cause)}`);
  }
}
