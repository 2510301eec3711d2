import { DeployError } from '../errors.ts';
import type { TemplateResource } from '../model.ts';
import { referencesOf } from './template-references.ts';

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
