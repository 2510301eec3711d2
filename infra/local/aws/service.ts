import type { IncomingHttpHeaders } from 'node:http';
import type { ResourceFactory } from '../model.ts';
import type { Input } from './input.ts';
import type { Route } from './protocols/json.ts';

/** The signer of a request. */
export type Principal =
  | { kind: 'administrator'; arn: string; userId: string }
  | { kind: 'role'; arn: string; userId: string; roleArn: string };

/** A request as it came over the wire. */
export interface WireRequest {
  method: string;
  path: string;
  /** Query string, without the question mark. */
  search: string;
  headers: IncomingHttpHeaders;
  body: Buffer;
}

/** One request for an operation of a service. */
export interface Call {
  service: string;
  operation: string;
  /** From the credential scope: each region is a separate namespace. */
  region: string;
  requestId: string;
  principal: Principal;
  headers: IncomingHttpHeaders;
  /** Absent when the call did not come over the wire. */
  request?: WireRequest;
}

/** One permission that the caller needs before the operation runs. */
export interface Permission {
  action: string;
  resource: string;
  /** Condition keys besides the global ones. */
  context?: Record<string, string | string[]>;
  /** Policy of the resource itself, for the services that have one. */
  resourcePolicy?: unknown;
}

export interface Operation {
  /** Checked for every principal except administrators; may throw the service's own validation errors first. */
  permissions(input: Input, call: Call): Permission[];
  run(input: Input, call: Call): unknown;
}

/** Sent unchanged, for operations whose response is not a document. */
export class RawResponse {
  readonly status: number;
  readonly headers: Record<string, string>;
  readonly body: string | Buffer;

  constructor(status: number, headers: Record<string, string>, body: string | Buffer) {
    this.status = status;
    this.headers = headers;
    this.body = body;
  }
}

export type Protocol =
  | { kind: 'json'; version: '1.0' | '1.1' }
  | { kind: 'rest-json'; routes: Route[] }
  /** `items` is the element name of lists that do not use `member`. */
  | { kind: 'query'; namespace: string; items?: Record<string, string> }
  /** The service reads the request itself and answers with a {@link RawResponse}. */
  | { kind: 'rest-xml'; operationOf(request: WireRequest, query: URLSearchParams): string };

export interface AwsService {
  /** Its names in the credential scope. */
  signingNames: string[];
  /** Prefix of its IAM actions. */
  prefix: string;
  protocol: Protocol;
  operations: Record<string, Operation>;
  /** Error code and status for a refused permission. */
  accessDenied: { code: string; status: number };
}

/** Calls an operation of this endpoint as a principal. */
export type ServiceCall = (
  signingName: string,
  operation: string,
  members: Record<string, unknown>,
  as: Principal,
  region: string,
) => Promise<unknown>;

/** One service of the endpoint. `create-aws-endpoint.ts` lists all of them. */
export interface ServiceModule {
  /** Its operations on the wire; absent when it is used through templates only. */
  service?: AwsService;
  /** The resource types of templates that belong to it. */
  resources: ResourceFactory[];
  /** Called after all stacks are deployed: continues what the last run left. */
  resume?(): void | Promise<void>;
  /** Stops running work so that the next start can continue it. */
  stop?(): void | Promise<void>;
}
