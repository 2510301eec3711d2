import { DeployError } from '../errors.ts';
import type { TemplateResource } from '../model.ts';

/** A resource of a template, and what must stand before it. */
export interface OrderedResource {
  logicalId: string;
  resource: TemplateResource;
  /** Only resources of this stack that exist under the conditions. */
  dependencies: string[];
}

/**
 * Each resource after those it depends on.
 * @param resources those that exist under the template's conditions
 * @throws {DeployError} when resources depend on each other
 */
export function inDependencyOrder(
  stackName: string,
  resources: [string, TemplateResource][],
  holds: (condition: string) => boolean,
): OrderedResource[] {
  const byId = new Map(resources);
  const ordered = new Map<string, OrderedResource>();
  const visit = (logicalId: string, path: string[]) => {
    const resource = byId.get(logicalId);
    if (!resource || ordered.has(logicalId)) return;
    if (path.includes(logicalId)) {
      throw new DeployError(`${stackName}: circular dependency ${[...path, logicalId].join(' → ')}`);
    }
    const dependencies = [...referencesOf(resource, holds)].filter((id) => byId.has(id));
    for (const id of dependencies) visit(id, [...path, logicalId]);
    ordered.set(logicalId, { logicalId, resource, dependencies });
  };
  for (const [logicalId] of resources) visit(logicalId, []);
  return [...ordered.values()];
}

/**
 * Does the work for each resource once it is done for those it depends on; for independent ones at the same time.
 * After a failure nothing new is begun, and what is under way ends.
 * @throws the first failure
 */
export async function workInOrder(
  ordered: readonly OrderedResource[],
  work: (resource: OrderedResource) => Promise<void>,
): Promise<void> {
  const done = new Map<string, Promise<void>>();
  let failure: { cause: unknown } | undefined;
  for (const resource of ordered) {
    const one = async () => {
      await Promise.all(resource.dependencies.map((id) => done.get(id)));
      if (failure) return;
      try {
        await work(resource);
      } catch (cause) {
        failure ??= { cause };
      }
    };
    done.set(resource.logicalId, one());
  }
  await Promise.all(done.values());
  if (failure) throw failure.cause;
}

/**
 * Logical ids a resource's definition refers to, by `DependsOn`, `Ref`, `Fn::GetAtt` or `Fn::Sub`. Branches of an
 * `Fn::If` that is not taken do not count. Ids that are no resources (parameters, pseudo parameters) are included.
 */
export function referencesOf(
  resource: TemplateResource,
  conditionHolds: (name: string) => boolean,
): Set<string> {
  const found = new Set<string>();
  const dependsOn = resource.DependsOn ?? [];
  for (const id of Array.isArray(dependsOn) ? dependsOn : [dependsOn]) found.add(id);
  collect(resource.Properties, conditionHolds, found);
  return found;
}

function collect(value: unknown, conditionHolds: (name: string) => boolean, found: Set<string>): void {
  if (Array.isArray(value)) {
    for (const item of value) collect(item, conditionHolds, found);
    return;
  }
  if (value === null || typeof value !== 'object') return;
  for (const [name, argument] of Object.entries(value)) {
    if (name === 'Ref') found.add(String(argument));
    else if (name === 'Fn::GetAtt')
      found.add(String(Array.isArray(argument) ? argument[0] : String(argument).split('.')[0]));
    else if (name === 'Fn::If' && Array.isArray(argument)) {
      collect(conditionHolds(String(argument[0])) ? argument[1] : argument[2], conditionHolds, found);
    } else {
      if (name === 'Fn::Sub') collectFromSub(argument, found);
      collect(argument, conditionHolds, found);
    }
  }
}

function collectFromSub(argument: unknown, found: Set<string>): void {
  const [template, variables] = Array.isArray(argument) ? argument : [argument, {}];
  for (const [, name] of String(template).matchAll(/\$\{([^!}][^}]*)\}/g)) {
    if (!Object.hasOwn(variables ?? {}, name!)) found.add(name!.trim().split('.')[0]!);
  }
}
