import { AwsError } from '../errors.ts';

/** A path of a REST protocol. */
export interface Route {
  method: string;
  /** With one capturing group per entry of `parameters`. */
  path: RegExp;
  operation: string;
  parameters?: string[];
  /** Names in the query string that are members. */
  query?: string[];
  /** The body is a payload, which becomes this member as text. */
  payload?: string;
}

/**
 * JSON as AWS writes it: dates are epoch seconds, blobs are base64. Shared by JSON 1.0, JSON 1.1 and REST-JSON.
 */
export function encodeJson(value: unknown): string {
  return JSON.stringify(value ?? {}, function replace(this: Record<string, unknown>, key: string, item) {
    // `item` has already been through toJSON, which loses the type.
    const original = this[key];
    if (original instanceof Date) return original.getTime() / 1000;
    if (original instanceof Uint8Array) return Buffer.from(original).toString('base64');
    return item;
  });
}

/** @throws {AwsError} SerializationException when the body is not a JSON object */
export function decodeJson(body: string): Record<string, unknown> {
  if (body === '') return {};
  let value: unknown;
  try {
    value = JSON.parse(body, keepLong as (key: string, value: unknown) => unknown);
  } catch {
    throw new AwsError('SerializationException', 'Could not parse request body into json');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new AwsError('SerializationException', 'Start of structure or map found where not expected.');
  }
  return value as Record<string, unknown>;
}

/** A long of the Data API has 64 bits, a number of JavaScript 53. */
function keepLong(key: string, value: unknown, { source }: { source?: string }): unknown {
  const isLong = key === 'longValue' && typeof value === 'number' && /^-?\d+$/.test(source ?? '');
  return isLong && !Number.isSafeInteger(value) ? BigInt(source as string) : value;
}

/** The operation's name in `X-Amz-Target: secretsmanager.GetSecretValue`. */
export function targetOperation(target: string): string {
  return target.slice(target.lastIndexOf('.') + 1);
}

/** Body of an error in JSON 1.0 and 1.1. */
export function encodeJsonError(error: AwsError): string {
  return encodeJson({ __type: error.code, message: error.message, ...error.detail });
}

/** The route of a request with its input, or undefined when no operation has that path. */
export function matchRoute(
  routes: Route[],
  method: string,
  path: string,
  body: string,
  query: URLSearchParams,
): { operation: string; members: Record<string, unknown> } | undefined {
  for (const route of routes) {
    const match = route.method === method ? route.path.exec(path) : null;
    if (!match) continue;
    const members = route.payload === undefined ? decodeJson(body) : { [route.payload]: body };
    route.parameters?.forEach((name, index) => {
      members[name] = decodeURIComponent(match[index + 1] ?? '');
    });
    for (const name of route.query ?? []) {
      const value = query.get(name);
      if (value !== null) members[name] = value;
    }
    return { operation: route.operation, members };
  }
  return undefined;
}

/** An error in REST-JSON has its type in a header. */
export function encodeRestJsonError(error: AwsError): { headers: Record<string, string>; body: string } {
  return {
    headers: { 'x-amzn-errortype': error.code },
    body: encodeJson({ message: error.message, ...error.detail }),
  };
}
