import type { AwsError } from '../errors.ts';
import type { Route } from '../service.ts';
import { decodeJson, encodeJson } from './json.ts';

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

/** An error in REST-JSON names its type in a header. */
export function encodeRestJsonError(error: AwsError): { headers: Record<string, string>; body: string } {
  return {
    headers: { 'x-amzn-errortype': error.code },
    body: encodeJson({ message: error.message, ...error.detail }),
  };
}
