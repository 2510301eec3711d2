import { DeployError } from '../errors.ts';
import type { Properties, Template } from '../model.ts';

/** What intrinsic functions can read of one stack. Each function throws a {@link DeployError} for unknown names. */
export interface IntrinsicScope {
  template: Template;
  region: string;
  ref(name: string): unknown;
  getAtt(logicalId: string, attribute: string): unknown;
  importValue(name: string): unknown;
  /** `{{resolve:<service>:<reference>}}`, inside a string. */
  dynamicReference(service: string, reference: string): string;
}

/** Stands for `AWS::NoValue`: the property or element with this value is dropped. */
const noValue = Symbol('AWS::NoValue');

type Arguments = readonly unknown[];

/**
 * Resolves all intrinsic functions in a value of a template.
 * @returns the value; undefined when it is `AWS::NoValue` itself
 * @throws {DeployError} naming the function that is unknown or used incorrectly
 */
export function resolveIntrinsics(value: unknown, scope: IntrinsicScope): unknown {
  const resolved = resolve(value, scope);
  return resolved === noValue ? undefined : resolved;
}

/** A resource's properties without their intrinsic functions. @throws {DeployError} as {@link resolveIntrinsics} */
export function resolveProperties(properties: Properties | undefined, scope: IntrinsicScope): Properties {
  return (resolveIntrinsics(properties ?? {}, scope) ?? {}) as Properties;
}

/** Evaluates the condition of a resource; resources without one always exist. */
export function conditionHolds(name: string | undefined, scope: IntrinsicScope): boolean {
  if (name === undefined) return true;
  const condition = scope.template.Conditions?.[name];
  if (condition === undefined) throw new DeployError(`condition ${name} is not defined`);
  return isTrue(resolve(condition, scope));
}

function resolve(value: unknown, scope: IntrinsicScope): unknown {
  if (typeof value === 'string') return withDynamicReferences(value, scope);
  if (Array.isArray(value))
    return value.map((item) => resolve(item, scope)).filter((item) => item !== noValue);
  if (value === null || typeof value !== 'object') return value;
  const entries = Object.entries(value);
  const [name, argument] = entries[0] ?? [];
  if (entries.length === 1 && name !== undefined && isIntrinsic(name, argument)) {
    const call = intrinsics[name];
    if (!call) throw new DeployError(`the intrinsic function ${name} is not supported locally`);
    const result = call(argument, scope);
    return typeof result === 'string' ? withDynamicReferences(result, scope) : result;
  }
  const result: Record<string, unknown> = {};
  for (const [key, item] of entries) {
    const resolved = resolve(item, scope);
    if (resolved !== noValue) result[key] = resolved;
  }
  return result;
}

function isIntrinsic(name: string, argument: unknown): boolean {
  // The Condition of a policy statement is an object; a reference to a condition is a name.
  return name === 'Ref' || name.startsWith('Fn::') || (name === 'Condition' && typeof argument === 'string');
}

const intrinsics: Record<string, (argument: unknown, scope: IntrinsicScope) => unknown> = {
  Ref: (argument, scope) => (argument === 'AWS::NoValue' ? noValue : scope.ref(String(argument))),
  Condition: (argument, scope) => conditionHolds(String(argument), scope),
  'Fn::GetAtt': (argument, scope) => {
    const [logicalId, ...attribute] =
      typeof argument === 'string' ? argument.split('.') : list('Fn::GetAtt', argument, scope);
    return scope.getAtt(String(logicalId), attribute.map(String).join('.'));
  },
  'Fn::Join': (argument, scope) => {
    const [separator, parts] = list('Fn::Join', argument, scope);
    return list('Fn::Join', parts, scope).map(text).join(text(separator));
  },
  'Fn::Sub': (argument, scope) => {
    const [template, variables] = Array.isArray(argument) ? argument : [argument, {}];
    const own = resolve(variables ?? {}, scope) as Record<string, unknown>;
    return String(template).replace(/\$\{(!?)([^}]+)\}/g, (_whole, literal: string, name: string) => {
      if (literal) return `\${${name}}`;
      if (Object.hasOwn(own, name)) return text(own[name]);
      const [logicalId, ...attribute] = name.trim().split('.');
      return text(
        attribute.length > 0 ? scope.getAtt(logicalId!, attribute.join('.')) : scope.ref(logicalId!),
      );
    });
  },
  'Fn::Select': (argument, scope) => {
    const [index, items] = list('Fn::Select', argument, scope);
    const from = list('Fn::Select', items, scope);
    const chosen = from[Number(index)];
    if (chosen === undefined)
      throw new DeployError(`Fn::Select: no element ${text(index)} in a list of ${from.length}`);
    return chosen;
  },
  'Fn::Split': (argument, scope) => {
    const [separator, source] = list('Fn::Split', argument, scope);
    return text(source).split(text(separator));
  },
  'Fn::If': (argument, scope) => {
    if (!Array.isArray(argument) || argument.length !== 3)
      throw new DeployError('Fn::If needs three arguments');
    // The branch that is not taken may refer to resources that do not exist.
    return resolve(conditionHolds(String(argument[0]), scope) ? argument[1] : argument[2], scope);
  },
  'Fn::Equals': (argument, scope) => {
    const [left, right] = list('Fn::Equals', argument, scope);
    return text(left) === text(right);
  },
  'Fn::And': (argument, scope) => list('Fn::And', argument, scope).every(isTrue),
  'Fn::Or': (argument, scope) => list('Fn::Or', argument, scope).some(isTrue),
  'Fn::Not': (argument, scope) => !isTrue(list('Fn::Not', argument, scope)[0]),
  'Fn::FindInMap': (argument, scope) => {
    const [map, first, second] = list('Fn::FindInMap', argument, scope).map(text);
    const found = scope.template.Mappings?.[map!]?.[first!]?.[second!];
    if (found === undefined) throw new DeployError(`Fn::FindInMap: no entry ${map}.${first}.${second}`);
    return found;
  },
  'Fn::ImportValue': (argument, scope) => scope.importValue(text(resolve(argument, scope))),
  'Fn::Base64': (argument, scope) => Buffer.from(text(resolve(argument, scope))).toString('base64'),
  'Fn::GetAZs': (argument, scope) => {
    const region = text(resolve(argument, scope)) || scope.region;
    return ['a', 'b', 'c'].map((zone) => region + zone);
  },
};

function list(name: string, argument: unknown, scope: IntrinsicScope): Arguments {
  const resolved = resolve(argument, scope);
  if (Array.isArray(resolved)) return resolved;
  // Parameters of list types are joined by commas.
  if (typeof resolved === 'string') return resolved === '' ? [] : resolved.split(',');
  throw new DeployError(`${name} needs a list`);
}

function isTrue(value: unknown): boolean {
  return value === true || value === 'true';
}

function text(value: unknown): string {
  if (typeof value === 'string') return value;
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  if (Array.isArray(value)) return value.map(text).join(',');
  throw new DeployError(`an intrinsic function needs a string, not ${JSON.stringify(value)}`);
}

function withDynamicReferences(value: string, scope: IntrinsicScope): string {
  if (!value.includes('{{resolve:')) return value;
  return value.replace(/\{\{resolve:([a-z-]+):([^{}]+)\}\}/g, (_whole, service: string, reference: string) =>
    scope.dynamicReference(service, reference),
  );
}
