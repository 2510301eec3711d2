import type * as z from 'zod/mini';
import { jsonPointer, type ReadInput, readInput } from '../resources/read-input.ts';
import type { ApiEvent } from './api-event.ts';
import { isStorableText, readJsonBody } from './json-body.ts';
import { invalidInput, Problem } from './problem.ts';

/** Schemas of what a route takes from the request; what has none takes nothing. */
export interface InputSchemas<Params, Query, Body> {
  readonly params?: z.ZodMiniType<Params>;
  readonly query?: z.ZodMiniType<Query>;
  readonly body?: z.ZodMiniType<Body>;
  /** A request without a body is taken like one with an empty object. */
  readonly bodyMayBeAbsent?: true;
}

/** All that a route takes from the request, validated: path first, then query, then body. @throws {Problem} */
export function readRequest(schemas: InputSchemas<unknown, unknown, unknown>, event: ApiEvent) {
  return {
    params: readParams(schemas.params, event.pathParameters),
    query: readQuery(schemas.query, event),
    body: schemas.body ? readBody(schemas.body, bodyOf(schemas, event)) : undefined,
  };
}

function bodyOf({ bodyMayBeAbsent }: InputSchemas<unknown, unknown, unknown>, event: ApiEvent): unknown {
  return bodyMayBeAbsent && !event.body ? {} : readJsonBody(event);
}

/** Path parameters. @throws {Problem} 404: a malformed id names nothing that exists. */
function readParams<Params>(schema: z.ZodMiniType<Params> | undefined, raw: unknown): Params {
  if (!schema) return {} as Params;
  const result = schema.safeParse(raw ?? {});
  if (!result.success) throw new Problem(404, 'not-found', { detail: 'There is no such resource.' });
  return result.data;
}

/** Query parameters. @throws {Problem} 400, also for parameters that the route does not know. */
function readQuery<Query>(
  schema: z.ZodMiniType<Query> | undefined,
  {
    queryStringParameters: given = {},
    rawQueryString,
  }: Pick<ApiEvent, 'queryStringParameters' | 'rawQueryString'>,
): Query {
  requireUtf8(rawQueryString);
  for (const [name, value] of Object.entries(given)) {
    if (!schema) throw invalidInput([{ parameter: name, detail: 'is not a parameter of this route' }]);
    if (!isStorableText(name) || !isStorableText(value ?? '')) {
      throw invalidInput([{ parameter: name, detail: 'contains a NUL or an unpaired surrogate' }]);
    }
  }
  if (!schema) return {} as Query;
  return orRefuse(readInput(schema, given), (path) => ({ parameter: path.join('.') }));
}

/** Decoded leniently, other bytes than UTF-8 would be looked for as another character. @throws {Problem} 400 */
function requireUtf8(rawQueryString: string): void {
  for (const parameter of rawQueryString.split('&')) {
    for (const [encoded] of parameter.matchAll(/(?:%[0-9a-f]{2})+/gi)) {
      try {
        decodeURIComponent(encoded);
      } catch {
        const [name = ''] = parameter.split('=');
        throw invalidInput([{ parameter: name, detail: 'is not text in UTF-8' }]);
      }
    }
  }
}

/** The body. @throws {Problem} 400 with a JSON pointer for each complaint. */
function readBody<Body>(schema: z.ZodMiniType<Body>, value: unknown): Body {
  return orRefuse(readInput(schema, value), (path) => ({ pointer: jsonPointer(path) }));
}

function orRefuse<Output>(
  { data, issues }: ReadInput<Output>,
  locate: (path: readonly PropertyKey[]) => { pointer: string } | { parameter: string },
): Output {
  if (issues) throw invalidInput(issues.map(({ path, message }) => ({ ...locate(path), detail: message })));
  return data as Output;
}
