/**
 * Routes are declared once, in the `routes.ts` of each context: the route key of API Gateway, such as
 * `GET /teams/{teamId}`, and the operation that answers it, such as `teams.read`. CDK reads the keys, and the context's
 * handler binds the operations to code.
 */

type ItemRoutes<Path extends string, Key extends string, Name extends string> = {
  readonly [Route in `GET ${Path}`]: `${Name}.list`;
} & { readonly [Route in `POST ${Path}`]: `${Name}.create` } & {
  readonly [Route in `GET ${Path}/{${Key}}`]: `${Name}.read`;
} & { readonly [Route in `PATCH ${Path}/{${Key}}`]: `${Name}.update` } & {
  readonly [Route in `DELETE ${Path}/{${Key}}`]: `${Name}.remove`;
};

/** The five routes of a resource whose list is at `path` and whose items are at `path/{key}`. */
export function resource<const Path extends string, const Key extends string, const Name extends string>(
  path: Path,
  key: Key,
  name: Name,
): ItemRoutes<Path, Key, Name> {
  return {
    [`GET ${path}`]: `${name}.list`,
    [`POST ${path}`]: `${name}.create`,
    [`GET ${path}/{${key}}`]: `${name}.read`,
    [`PATCH ${path}/{${key}}`]: `${name}.update`,
    [`DELETE ${path}/{${key}}`]: `${name}.remove`,
  } as ItemRoutes<Path, Key, Name>;
}

type GroupOf<Operation> = Operation extends `${infer Group}.${string}` ? Group : never;
type NameIn<Group extends string, Operation> = Operation extends `${Group}.${infer Name}` ? Name : never;

/** The code of operations, in groups: `teams.read` is `{ teams: { read } }`. */
export type Operations<Operation extends string, Route> = {
  readonly [Group in GroupOf<Operation>]: { readonly [Name in NameIn<Group, Operation>]: Route };
};

/** The code of each route, by its route key. The compiler refuses a missing operation. */
export function bindRoutes<Operation extends string, Route>(
  routes: Readonly<Record<string, Operation>>,
  operations: Operations<Operation, Route>,
): Readonly<Record<string, Route>> {
  const groups = operations as Readonly<Record<string, Readonly<Record<string, Route>>>>;
  const bound: Record<string, Route> = {};
  for (const [routeKey, operation] of Object.entries(routes)) {
    const [group = '', name = ''] = operation.split('.');
    bound[routeKey] = groups[group]?.[name] as Route;
  }
  return bound;
}
