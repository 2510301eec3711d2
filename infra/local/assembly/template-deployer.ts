/**
 * Runs templates: creates each resource once everything it refers to stands.
 *
 * Of each resource: waiting → creating → created | failed. Independent ones are created at the same time, so two
 * database clusters take as long as one. After a failure nothing new is begun; what stands stays in the stack.
 */
import { createHash } from 'node:crypto';
import { DeployError, reasonOf } from '../errors.ts';
import type {
  DeployedStack,
  LocalResource,
  PlatformContext,
  ResourceEvent,
  ResourceFactory,
  StackDeployer,
  StackSpec,
  TemplateResource,
} from '../model.ts';
import { conditionHolds, type IntrinsicScope, resolveIntrinsics } from './intrinsics.ts';
import { type DynamicValues, stackScope } from './stack-scope.ts';
import { referencesOf } from './template-references.ts';

export interface TemplateDeployerOptions extends DynamicValues {
  /** @returns undefined for a type nobody knows */
  factory(type: string): ResourceFactory | undefined;
  /** Generated names differ from home's elsewhere. Asked late; undefined: there is one region only. */
  homeRegion?(): string | undefined;
  /** Asked late: the context names the deployer too. */
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
    const { name, arn, region, template } = spec;
    const stack: DeployedStack = {
      name,
      arn,
      region,
      template,
      resources: new Map(),
      outputs: {},
      parameters: parameterValues(spec),
    };
    const context = this.#options.context();
    context.stacks.set(arn, stack);
    const scope = stackScope(stack, context.account, this.#exports, this.#options);
    await this.#createAll(stack, scope, spec.onEvent ?? (() => {}));
    for (const [outputId, output] of Object.entries(template.Outputs ?? {})) {
      if (!conditionHolds(output.Condition, scope)) continue;
      const value = String(inStack(stack, outputId, 'Output', () => resolveIntrinsics(output.Value, scope)));
      stack.outputs[outputId] = value;
      if (output.Export)
        this.#exports.set(`${region} ${String(resolveIntrinsics(output.Export.Name, scope))}`, value);
    }
    return stack;
  }

  async remove(stack: DeployedStack, onEvent: (event: ResourceEvent) => void = () => {}): Promise<void> {
    const context = this.#options.context();
    for (const resource of [...stack.resources.values()].reverse()) {
      const { logicalId, type, ref: physicalId } = resource;
      const policy = stack.template.Resources[logicalId]?.DeletionPolicy;
      if (policy === 'Retain' || policy === 'Snapshot') {
        onEvent({ logicalId, type, physicalId, status: 'DELETE_SKIPPED' });
        continue;
      }
      onEvent({ logicalId, type, physicalId, status: 'DELETE_IN_PROGRESS' });
      try {
        await this.#options.factory(type)?.remove?.(resource, context);
      } catch (cause) {
        const reason = reasonOf(cause);
        onEvent({ logicalId, type, physicalId, status: 'DELETE_FAILED', reason });
        throw new DeployError(`${stack.name}/${logicalId} (${type}) was not removed: ${reason}`);
      }
      stack.resources.delete(logicalId);
      onEvent({ logicalId, type, physicalId, status: 'DELETE_COMPLETE' });
    }
    context.stacks.delete(stack.arn);
  }

  async #createAll(
    stack: DeployedStack,
    scope: IntrinsicScope,
    onEvent: (event: ResourceEvent) => void,
  ): Promise<void> {
    const wanted = Object.entries(stack.template.Resources).filter(([logicalId, { Condition, Type }]) =>
      inStack(stack, logicalId, Type, () => conditionHolds(Condition, scope)),
    );
    const ordered = inDependencyOrder(stack, wanted, (name) => conditionHolds(name, scope));
    const created = new Map<string, Promise<void>>();
    let failure: unknown;
    for (const { logicalId, resource, dependencies } of ordered) {
      const work = async () => {
        await Promise.all(dependencies.map((id) => created.get(id)));
        if (failure) return;
        try {
          stack.resources.set(logicalId, await this.#create(stack, logicalId, resource, scope, onEvent));
        } catch (cause) {
          failure ??= cause;
        }
      };
      created.set(logicalId, work());
    }
    await Promise.all(created.values());
    if (failure) throw failure;
  }

  async #create(
    stack: DeployedStack,
    logicalId: string,
    resource: TemplateResource,
    scope: IntrinsicScope,
    onEvent: (event: ResourceEvent) => void,
  ): Promise<LocalResource> {
    const type = resource.Type;
    const event = { logicalId, type, physicalId: '' };
    onEvent({ ...event, status: 'CREATE_IN_PROGRESS' });
    try {
      const factory = this.#options.factory(type);
      if (!factory) throw new DeployError('this resource type is not supported locally');
      const properties = (resolveIntrinsics(resource.Properties ?? {}, scope) ?? {}) as Record<
        string,
        unknown
      >;
      const isHome = stack.region === (this.#options.homeRegion?.() ?? stack.region);
      const place = isHome ? stack.name : `${stack.region}/${stack.name}`;
      const request = {
        ...{ stack, logicalId, type, properties },
        defaultName: defaultName(place, stack.name, logicalId),
      };
      const { ref, attributes } = await factory.create(request, this.#options.context());
      onEvent({ ...event, physicalId: ref, status: 'CREATE_COMPLETE' });
      return { stack: stack.arn, logicalId, type, properties, ref, attributes };
    } catch (cause) {
      const reason = reasonOf(cause);
      onEvent({ ...event, status: 'CREATE_FAILED', reason });
      throw new DeployError(`${stack.name}/${logicalId} (${type}): ${reason}`);
    }
  }
}

/**
 * Stable over restarts, short enough for every service's limit on names, and another one for a stack of the same name
 * at another place: roles, buckets and APIs share one namespace over all regions.
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

interface Ordered {
  logicalId: string;
  resource: TemplateResource;
  /** Only resources of this stack that exist under the conditions. */
  dependencies: string[];
}

function inDependencyOrder(
  stack: DeployedStack,
  resources: [string, TemplateResource][],
  holds: (name: string) => boolean,
): Ordered[] {
  const byId = new Map(resources);
  const ordered = new Map<string, Ordered>();
  const visit = (logicalId: string, path: string[]) => {
    const resource = byId.get(logicalId);
    if (!resource || ordered.has(logicalId)) return;
    if (path.includes(logicalId)) {
      throw new DeployError(`${stack.name}: circular dependency ${[...path, logicalId].join(' → ')}`);
    }
    const dependencies = [...referencesOf(resource, holds)].filter((id) => byId.has(id));
    for (const id of dependencies) visit(id, [...path, logicalId]);
    ordered.set(logicalId, { logicalId, resource, dependencies });
  };
  for (const [logicalId] of resources) visit(logicalId, []);
  return [...ordered.values()];
}

function inStack<T>(stack: DeployedStack, logicalId: string, type: string, work: () => T): T {
  try {
    return work();
  } catch (cause) {
    throw new DeployError(`${stack.name}/${logicalId} (${type}): ${reasonOf(cause)}`);
  }
}
