import { ResourceFailure } from '../../errors.ts';

/**
 * An event pattern: each leaf is a list, one element of which must match the event's value, or one of its values if
 * that is a list. Elements are exact values and the operators of `OPERATORS`; EventBridge's others are refused by name.
 */
export type EventPattern = { [field: string]: EventPattern | PatternElement[] };
type Scalar = string | number | boolean | null;
type PatternElement = Scalar | { readonly [operator: string]: unknown };

interface Operator {
  /** What its argument has to be, for the refusal. */
  readonly takes: string;
  accepts(argument: unknown): boolean;
  /** `value` is undefined when the event lacks the field. */
  matches(argument: unknown, value: unknown): boolean;
}

const OPERATORS: Readonly<Record<string, Operator>> = {
  prefix: {
    takes: 'text',
    accepts: (argument) => typeof argument === 'string',
    matches: hasPrefix,
  },
  exists: {
    takes: 'true or false',
    accepts: (argument) => typeof argument === 'boolean',
    matches: (argument, value) => (value !== undefined) === argument,
  },
  'anything-but': {
    takes: 'a text, a number, a list of one of them, or {"prefix": text}',
    accepts: (argument) =>
      isObject(argument)
        ? Object.keys(argument).length === 1 && typeof argument.prefix === 'string'
        : isListOf(argument, 'string') || isListOf(argument, 'number'),
    matches: (argument, value) =>
      value !== undefined &&
      (isObject(argument) ? !hasPrefix(argument.prefix, value) : !listOf(argument).includes(value)),
  },
  numeric: {
    takes: 'a list such as [">", 0, "<=", 5]',
    accepts: isComparisons,
    matches: (argument, value) =>
      typeof value === 'number' &&
      comparisonsOf(argument).every(([sign, bound]) => COMPARE[sign]!(value, bound)),
  },
};

const COMPARE: Readonly<Record<string, (value: number, bound: number) => boolean>> = {
  '=': (value, bound) => value === bound,
  '<': (value, bound) => value < bound,
  '<=': (value, bound) => value <= bound,
  '>': (value, bound) => value > bound,
  '>=': (value, bound) => value >= bound,
};

/** @throws {ResourceFailure} naming the field, and the operator that is not supported here */
export function parsePattern(value: unknown, path = 'EventPattern'): EventPattern {
  if (!isObject(value) || Object.keys(value).length === 0) {
    throw new ResourceFailure(`${path} must be an object with at least one field`);
  }
  for (const [field, inner] of Object.entries(value)) {
    const at = `${path}.${field}`;
    if (field === '$or') throw new ResourceFailure(`${at}: the operator $or is not understood locally`);
    if (!Array.isArray(inner)) parsePattern(inner, at);
    else if (inner.length === 0) throw new ResourceFailure(`${at} must be a list of at least one value`);
    else for (const element of inner) checkElement(element, at);
  }
  return value as EventPattern;
}

export function matchesPattern(pattern: EventPattern, event: Record<string, unknown>): boolean {
  return Object.entries(pattern).every(([field, inner]) => {
    const value = Object.hasOwn(event, field) ? event[field] : undefined;
    // A field of an object that is absent is absent itself, which `exists` asks for.
    if (!Array.isArray(inner)) return matchesPattern(inner, isObject(value) ? value : {});
    const values = Array.isArray(value) ? value : [value];
    return values.some((one) => inner.some((element) => matchesElement(element, one)));
  });
}

function checkElement(element: unknown, path: string): void {
  if (element === null || ['string', 'number', 'boolean'].includes(typeof element)) return;
  const [name = '', ...others] = isObject(element) ? Object.keys(element) : [];
  if (!isObject(element) || name === '' || others.length > 0) {
    throw new ResourceFailure(`${path}: an element is a value, or an object with one operator`);
  }
  const operator = Object.hasOwn(OPERATORS, name) ? OPERATORS[name] : undefined;
  if (!operator) {
    const known = Object.keys(OPERATORS).join(', ');
    throw new ResourceFailure(`${path}: the operator ${name} is not understood locally (but ${known})`);
  }
  if (!operator.accepts(element[name])) throw new ResourceFailure(`${path}: ${name} takes ${operator.takes}`);
}

function matchesElement(element: PatternElement, value: unknown): boolean {
  if (!isObject(element)) return element === value;
  return Object.entries(element).every(([name, argument]) => OPERATORS[name]!.matches(argument, value));
}

function hasPrefix(prefix: unknown, value: unknown): boolean {
  return typeof value === 'string' && value.startsWith(String(prefix));
}

const listOf = (argument: unknown): unknown[] => (Array.isArray(argument) ? argument : [argument]);

function isListOf(argument: unknown, type: 'string' | 'number'): boolean {
  const list = listOf(argument);
  return list.length > 0 && list.every((one) => typeof one === type);
}

/** One comparison, or two that bound a range. */
function isComparisons(argument: unknown): boolean {
  return (
    Array.isArray(argument) &&
    (argument.length === 2 || argument.length === 4) &&
    comparisonsOf(argument).every(
      ([sign, bound]) => Object.hasOwn(COMPARE, sign) && typeof bound === 'number',
    )
  );
}

function comparisonsOf(argument: unknown): [string, number][] {
  const list = argument as (string | number)[];
  return [0, 2].filter((at) => at < list.length).map((at) => [String(list[at]), list[at + 1] as number]);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
