import type { IncomingHttpHeaders } from 'node:http';
import type { Input } from './input.ts';

/** Who signed a request. */
export type Principal =
  | { kind: 'administrator'; arn: string; userId: string }
  | { kind: 'role'; arn: string; userId: string; roleArn: string };

/** One request, as a service's operation sees it. */
export interface Call {
  service: string;
  operation: string;
  /** From the credential scope: two regions are two namespaces. */
  region: string;
  requestId: string;
  principal: Principal;
  headers: IncomingHttpHeaders;
}

/** One thing the caller must be allowed to do before the operation runs. */
export interface Permission {
  action: string;
  resource: string;
  /** Condition keys besides the global ones. */
  context?: Record<string, string | string[]>;
  /** Policy of the resource itself, for the services that honour one. */
  resourcePolicy?: unknown;
}

export interface Operation {
  /** Checked for every principal but administrators; may throw the service's own validation errors first. */
  permissions(input: Input, call: Call): Permission[];
  run(input: Input, call: Call): unknown;
}

/** Answered as it is, where an operation's response is not a document. */
export class RawResponse {
  readonly status: number;
  readonly headers: Record<string, string>;
  readonly body: string;

  constructor(status: number, headers: Record<string, string>, body: string) {
    this.status = status;
    this.headers = headers;
    this.body = body;
  }
}

export interface Route {
  method: string;
  /** With one capturing group per entry of `parameters`. */
  path: RegExp;
  operation: string;
  parameters?: string[];
  /** Names in the query string that are members. */
  query?: string[];
  /** The body is a payload of its own, found under this member as text. */
  payload?: string;
}

export type Protocol =
  | { kind: 'json'; version: '1.0' | '1.1' }
  | { kind: 'rest-json'; routes: Route[] }
  /** `items` names the element of lists that are not called `member`. */
  | { kind: 'query'; namespace: string; items?: Record<string, string> };

export interface AwsService {
  /** Names in the credential scope. */
  signingNames: string[];
  /** Prefix of its IAM actions. */
  prefix: string;
  protocol: Protocol;
  operations: Record<string, Operation>;
  /** Error code and status for a refused permission. */
  accessDenied: { code: string; status: number };
}
