import type { TemplateResource } from '../model.ts';

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
