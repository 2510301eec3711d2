import { ResourceFailure } from '../../errors.ts';

/**
 * An event pattern: each leaf is a list, one element of which must match the event's value, or one of its values if
 * that is a list. Elements are exact values and `{ "prefix": text }`; EventBridge's other operators are refused.
 */
export type EventPattern = { [field: string]: EventPattern | PatternElement[] };
type PatternElement = string | number | boolean | null | { prefix: string };

/** @throws {ResourceFailure} naming the field whose pattern is not supported */
export function parsePattern(value: unknown, path = 'EventPattern'): EventPattern {
  if (!isObject(value) || Object.keys(value).length === 0) {
    throw new ResourceFailure(`${path} must be an object with at least one field`);
  }
  for (const [field, inner] of Object.entries(value)) {
    if (!Array.isArray(inner)) parsePattern(inner, `${path}.${field}`);
    else if (inner.length === 0 || !inner.every(isElement)) {
      throw new ResourceFailure(`${path}.${field}: only values and {"prefix": text} are understood locally`);
    }
  }
  return value as EventPattern;
}

export function matchesPattern(pattern: EventPattern, event: Record<string, unknown>): boolean {
  return Object.entries(pattern).every(([field, inner]) => {
    const value = Object.hasOwn(event, field) ? event[field] : undefined;
    if (!Array.isArray(inner)) return isObject(value) && matchesPattern(inner, value);
    const values = Array.isArray(value) ? value : [value];
    return values.some((one) => inner.some((element) => matchesElement(element, one)));
  });
}

function matchesElement(element: PatternElement, value: unknown): boolean {
  if (!isObject(element)) return element === value;
  return typeof value === 'string' && value.startsWith(element.prefix);
}

function isElement(element: unknown): boolean {
  if (!isObject(element)) return element === null || ['string', 'number', 'boolean'].includes(typeof element);
  return Object.keys(element).length === 1 && typeof element.prefix === 'string';
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
