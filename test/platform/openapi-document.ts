/** The served document of the API, as tests read it: operations, schemas, and whether an answer is as documented. */
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import { type Answer, call } from './running-platform.ts';

export type JsonSchema = { readonly [keyword: string]: unknown };

export interface Parameter {
  readonly name: string;
  readonly in: 'path' | 'query' | 'header';
  readonly required?: boolean;
  readonly schema: JsonSchema;
}

interface Response {
  readonly headers?: Readonly<Record<string, unknown>>;
  readonly content?: Readonly<Record<string, { readonly schema: JsonSchema }>>;
}

export interface Operation {
  readonly id: string;
  readonly method: string;
  readonly path: string;
  readonly kind: 'tenant' | 'operator' | 'public';
  /** In path, query and header. */
  readonly parameters: readonly Parameter[];
  /** Without references. */
  readonly body: JsonSchema | undefined;
  readonly bodyIsRequired: boolean;
  readonly responses: Readonly<Record<string, Response>>;
}

const METHODS = ['get', 'post', 'put', 'patch', 'delete'];

export class ApiDocument {
  // biome-ignore lint/suspicious/noExplicitAny: a JSON document.
  readonly json: any;
  readonly operations: readonly Operation[];
  readonly #ajv = new Ajv2020({ strict: false, allErrors: true, formats: FORMATS });
  readonly #validators = new Map<string, ValidateFunction>();

  // biome-ignore lint/suspicious/noExplicitAny: a JSON document.
  constructor(json: any) {
    this.json = json;
    this.operations = Object.entries<Record<string, unknown>>(json.paths).flatMap(([path, item]) =>
      METHODS.filter((method) => method in item).map((method) => this.#operation(method, path, item[method])),
    );
  }

  /** Of the running platform. */
  static async read(): Promise<ApiDocument> {
    const { status, body } = await call('GET', '/openapi.json');
    if (status !== 200) throw new Error(`GET /openapi.json answered ${status}`);
    return new ApiDocument(body);
  }

  operation(id: string): Operation {
    const found = this.operations.find((one) => one.id === id);
    if (!found) throw new Error(`the document has no operation ${id}`);
    return found;
  }

  /** A schema with its references replaced. */
  resolve(value: unknown): unknown {
    if (Array.isArray(value)) return value.map((member) => this.resolve(member));
    if (typeof value !== 'object' || value === null) return value;
    const { $ref, ...rest } = value as { $ref?: string };
    const members = Object.entries(rest).map(([key, member]) => [key, this.resolve(member)]);
    const referred = $ref === undefined ? {} : (this.resolve(this.#at($ref)) as object);
    return { ...referred, ...Object.fromEntries(members) };
  }

  /** Where an answer differs from the document; empty when it does not. */
  differences(operation: Operation, { status, headers, body }: Answer): string[] {
    const response = operation.responses[status];
    if (!response) return [`status ${status} is not documented`];
    const found = [...this.#headerDifferences(response, headers, status)];
    const content = response.content ?? {};
    const type = headers.get('content-type')?.split(';')[0] ?? '';
    const media = content[type] ?? content[type.replace(/\/.*/, '/*')];
    if (body === undefined) {
      if (Object.keys(content).length > 0) found.push('the body is missing');
      return found;
    }
    if (!media) return [...found, `a body of type ${type} is not documented`];
    const validate = this.#validator(`${operation.id} ${status} ${type}`, media.schema);
    if (!validate(body)) {
      found.push(
        ...(validate.errors ?? []).map(
          ({ instancePath, message, params }) => `${instancePath} ${message} ${JSON.stringify(params)}`,
        ),
      );
    }
    return found;
  }

  /** Whether a body is as the document demands. */
  accepts(operation: Operation, body: unknown): boolean {
    return operation.body === undefined || this.#validator(`${operation.id} body`, operation.body)(body);
  }

  *#headerDifferences(response: Response, headers: Headers, status: number): Iterable<string> {
    const documented = new Set(Object.keys(response.headers ?? {}).map((name) => name.toLowerCase()));
    const id = headers.get('x-request-id') ?? headers.get('apigw-requestid');
    if (!id) yield 'the request has no id';
    for (const name of ['etag', 'location', 'retry-after']) {
      if (documented.has(name) && !headers.has(name) && status !== 429)
        yield `the documented header ${name} is missing`;
      if (!documented.has(name) && headers.has(name)) yield `the header ${name} is not documented`;
    }
    if (!documented.has('idempotency-replayed') && headers.has('idempotency-replayed'))
      yield 'the header idempotency-replayed is not documented';
  }

  #validator(key: string, schema: JsonSchema): ValidateFunction {
    let validate = this.#validators.get(key);
    if (!validate) {
      validate = this.#ajv.compile(closed(this.resolve(schema)) as JsonSchema);
      this.#validators.set(key, validate);
    }
    return validate;
  }

  // biome-ignore lint/suspicious/noExplicitAny: a JSON document.
  #operation(method: string, path: string, item: any): Operation {
    const { requestBody, parameters, responses, operationId, security } = item;
    const token = security.map((one: object) => Object.keys(one)[0]);
    const kind = token.includes('userToken') ? 'tenant' : token.length > 0 ? 'operator' : 'public';
    return {
      id: operationId,
      method: method.toUpperCase(),
      path,
      kind,
      parameters: this.resolve(parameters) as Parameter[],
      body: requestBody && (this.resolve(requestBody.content['application/json'].schema) as JsonSchema),
      bodyIsRequired: requestBody?.required === true,
      responses: this.resolve(responses) as Operation['responses'],
    };
  }

  #at(reference: string): unknown {
    return reference
      .replace('#/', '')
      .split('/')
      .reduce((value, key) => value[key], this.json);
  }
}

/** Objects with properties take no others: a field that is not documented is an error in these tests. */
function closed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(closed);
  if (typeof value !== 'object' || value === null) return value;
  const members = Object.fromEntries(Object.entries(value).map(([key, member]) => [key, closed(member)]));
  // Also a schema's `properties`, which may have a member of that name.
  const isObjectSchema = members.type === 'object' && typeof members.properties === 'object';
  return isObjectSchema && members.additionalProperties === undefined
    ? { ...members, additionalProperties: false }
    : members;
}

export const FORMATS = {
  uuid: /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/,
  date: /^\d{4}-\d\d-\d\d$/,
  // Answers are in UTC; inputs may have an offset.
  'date-time': /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)$/,
  email: /^[^@\s]+@[^@\s]+$/,
  uri: /^[a-z]+:/,
};
