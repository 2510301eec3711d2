/**
 * What the API's document says about the operations of one context, besides what their routes declare already. Only the
 * document's generator imports this folder and the `descriptions.ts` of the contexts: no text of them is in a
 * function's bundle.
 */
import type * as z from 'zod/mini';
import type { MemberRole } from '../../placement/tenant-directory.ts';
import type { OperatorRoute } from '../operator-api.ts';
import type { TenantRoute } from '../tenant-api.ts';
import type { InputSchemas } from '../validated-input.ts';

export type SuccessStatus = 200 | 201 | 202 | 204;
export type RefusalStatus = 400 | 403 | 404 | 409 | 412 | 413 | 422 | 429 | 503;

export interface OperationDescription<Tag extends string = string> {
  readonly tag: Tag;
  /** What the operation does, in a few words, such as `Start a move`. */
  readonly summary: string;
  /** CommonMark. */
  readonly description?: string;
  /** The body of each success, as a schema of its JSON; `null` for a success without a body. */
  readonly answers: Readonly<Partial<Record<SuccessStatus, z.core.$ZodType | null>>>;
  /** Refusals besides those that each operation of its kind has, such as `{ 409: 'A move of the tenant is running.' }`. */
  readonly refusals?: Readonly<Partial<Record<RefusalStatus, string>>>;
  /** The schema with which the handler validates the body, when the route itself takes `z.unknown()`. */
  readonly body?: z.core.$ZodType;
  /** False for a POST without `Idempotency-Key`. */
  readonly idempotencyKey?: false;
  /** False for a PATCH or DELETE without `If-Match`. */
  readonly ifMatch?: false;
  /** Whether the success has an `ETag`. Absent: one item (GET of a path that ends with its id), PATCH, and 201 have one. */
  readonly etag?: boolean;
  /** Whether the success has a `Location`. Absent: 201 and 202 have one. */
  readonly location?: boolean;
  /** The media type of a success that is not JSON. */
  readonly mediaType?: string;
}

/** Whose API the operation belongs to, and so which token it takes; `public` takes none. */
export type ApiKind = 'tenant' | 'operator' | 'public';

export interface DescribedOperation {
  /** Such as `teams.read`. */
  readonly id: string;
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** With parameters in braces. */
  readonly path: string;
  readonly kind: ApiKind;
  /** The lowest role that may call it; absent for operations of operators and for public ones. */
  readonly access: MemberRole | undefined;
  readonly schemas: InputSchemas<unknown, unknown, unknown>;
  readonly description: OperationDescription;
}

export interface DescribedContext {
  /** Name and text of each tag, in the order of the document. */
  readonly tags: Readonly<Record<string, string>>;
  readonly operations: readonly DescribedOperation[];
}

interface ContextOf<Operation extends string, Tag extends string> {
  readonly tags: Readonly<Record<Tag, string>>;
  readonly routes: Readonly<Record<string, Operation>>;
  /** The compiler refuses an operation without a description. */
  readonly descriptions: Readonly<Record<Operation, OperationDescription<NoInfer<Tag>>>>;
}

export function describeTenantContext<Operation extends string, Tag extends string>(
  context: ContextOf<Operation, Tag> & { readonly operations: Readonly<Record<string, TenantRoute>> },
): DescribedContext {
  const { operations } = context;
  return described(context, 'tenant', (routeKey) => operations[routeKey] as TenantRoute);
}

export function describeOperatorContext<Operation extends string, Tag extends string>(
  context: ContextOf<Operation, Tag> & { readonly operations: Readonly<Record<string, OperatorRoute>> },
): DescribedContext {
  const { operations } = context;
  return described(context, 'operator', (routeKey) => operations[routeKey] as OperatorRoute);
}

/** Operations without a token; `params` are the path parameters by operation. */
export function describePublicContext<Operation extends string, Tag extends string>(
  context: ContextOf<Operation, Tag> & {
    readonly params?: Readonly<Partial<Record<NoInfer<Operation>, z.ZodMiniType>>>;
  },
): DescribedContext {
  const { routes, params } = context;
  return described(context, 'public', (routeKey) => {
    const schema = params?.[routes[routeKey] as Operation];
    return { schemas: schema ? { params: schema } : {} };
  });
}

function described<Operation extends string, Tag extends string>(
  { tags, routes, descriptions }: ContextOf<Operation, Tag>,
  kind: ApiKind,
  routeOf: (routeKey: string) => {
    readonly schemas: InputSchemas<unknown, unknown, unknown>;
    readonly access?: MemberRole;
  },
): DescribedContext {
  const operations = Object.entries(routes).map(([routeKey, id]): DescribedOperation => {
    const [method, path = ''] = routeKey.split(' ');
    const { schemas, access } = routeOf(routeKey);
    return {
      id,
      method: method as DescribedOperation['method'],
      path,
      kind,
      access,
      schemas,
      description: descriptions[id as Operation],
    };
  });
  return { tags, operations };
}
